#!/usr/bin/perl
# registry.pl PORT DIR - the smallest registry docker push and pull accept.
#
# Owns DIR. Plain HTTP on 127.0.0.1, no authentication, one process a connection;
# enough of the distribution protocol (v2) that images get real repository
# digests. For the tests only. Needs nothing but perl-base and sha256sum.
use strict;
use warnings;
use IO::Socket::INET;

my ($port, $dir) = @ARGV;
mkdir $dir;
$SIG{CHLD} = 'IGNORE';
$SIG{PIPE} = 'IGNORE';
my $server = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 16, ReuseAddr => 1, Proto => 'tcp'
) or die "registry: $!";

while (1) {
    my $client = $server->accept or next;
    if (fork) { close $client; next }
    close $server;
    binmode $client;
    1 while serve($client);
    exit 0;
}

sub path { my $name = shift; $name =~ s/[^A-Za-z0-9.:-]/_/g; return "$dir/$name" }

sub digest {
    my $file = shift;
    local $SIG{CHLD} = 'DEFAULT';
    open my $pipe, '-|', 'sha256sum', $file or die;
    my ($hex) = <$pipe> =~ /^([0-9a-f]{64})/;
    close $pipe;
    return "sha256:$hex";
}

# Appends the request's body to a file.
sub body {
    my ($in, $head, $file) = @_;
    open my $out, '>>', $file or die;
    binmode $out;
    my $copy = sub {
        my $left = shift;
        while ($left > 0) {
            my $got = read $in, my $buffer, $left < 65536 ? $left : 65536;
            exit 0 unless $got;
            print $out $buffer;
            $left -= $got;
        }
    };
    if (($head->{'transfer-encoding'} // '') eq 'chunked') {
        while (defined(my $line = <$in>)) {
            my $size = hex(($line =~ /^([0-9a-fA-F]+)/)[0]);
            $copy->($size);
            <$in>;
            last unless $size;
        }
    } else {
        $copy->($head->{'content-length'} // 0);
    }
    close $out;
}

sub answer {
    my ($out, $method, $status, $head, $file) = @_;
    my $size = defined $file ? -s $file : 0;
    print $out "HTTP/1.1 $status\r\nDocker-Distribution-API-Version: registry/2.0\r\n",
        (map { "$_: $head->{$_}\r\n" } sort keys %$head), "Content-Length: $size\r\n\r\n";
    if (defined $file && $method eq 'GET') {
        open my $in, '<', $file or die;
        binmode $in;
        print $out $_ while read $in, $_, 65536;
    }
    $out->flush;
    return 1;
}

# One request; false at the end of the connection.
sub serve {
    my $io = shift;
    local $/ = "\n";
    my $first = <$io> // return 0;
    my ($method, $url) = $first =~ m{^([A-Z]+) (\S+) HTTP/1\.} or return 0;
    my %head;
    while (defined(my $line = <$io>)) {
        $line =~ s/\r?\n$//;
        last if $line eq '';
        $head{lc $1} = $2 if $line =~ /^([^:]+):\s*(.*)$/;
    }
    $url =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    my ($path, $query) = split /\?/, $url, 2;
    return answer($io, $method, '200 OK', {}) if $path eq '/v2/';
    if ($path =~ m{^(/v2/.+/blobs/uploads)/(.*)$}) {
        my ($base, $id) = ($1, $2);
        $id = "$$-" . int(rand 1e9) if $id eq '';
        my $file = path("upload-$id");
        body($io, \%head, $file);
        if ($method eq 'PUT') {
            my $digest = digest($file);
            return answer($io, $method, '400 Bad Request', {}) if ($query // '') !~ /\Q$digest\E/;
            rename $file, path($digest);
            $base =~ s{/uploads$}{/$digest};
            return answer($io, $method, '201 Created', { Location => $base, 'Docker-Content-Digest' => $digest });
        }
        my $end = (-s $file || 1) - 1;
        return answer($io, $method, '202 Accepted',
            { Location => "$base/$id", 'Docker-Upload-UUID' => $id, Range => "0-$end" });
    }
    if ($path =~ m{^/v2/.+/blobs/(sha256:[0-9a-f]{64})$}) {
        my $file = path($1);
        return answer($io, $method, '404 Not Found', {}) unless -e $file;
        return answer($io, $method, '200 OK', { 'Content-Type' => 'application/octet-stream' }, $file);
    }
    if ($path =~ m{^/v2/(.+)/manifests/(.+)$}) {
        my ($name, $ref) = ($1, $2);
        if ($method eq 'PUT') {
            my $file = path("manifest-$$");
            unlink $file;
            body($io, \%head, $file);
            my $digest = digest($file);
            for my $key ($ref, $digest) {
                my $copy = path("manifest-$name-$key");
                unlink $copy;
                link $file, $copy;
            }
            return answer($io, $method, '201 Created', { Location => $path, 'Docker-Content-Digest' => $digest });
        }
        my $file = path("manifest-$name-$ref");
        return answer($io, $method, '404 Not Found', {}) unless -e $file;
        return answer($io, $method, '200 OK', {
            'Content-Type' => 'application/vnd.docker.distribution.manifest.v2+json',
            'Docker-Content-Digest' => digest($file),
        }, $file);
    }
    return answer($io, $method, '404 Not Found', {});
}
