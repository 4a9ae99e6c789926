#!/usr/bin/env bash
# engine.sh ROOT NAME - one Docker engine in namespaces of its own.
#
# Owns: the namespaces, the skeleton of the host root (ROOT/etc and the empty
# top directories) and the processes in it. ROOT becomes `/` of the engine, so
# every path it writes (LogPath, bind sources, Mountpoint) is right for whoever
# later takes ROOT as the mounted host. Nothing outside ROOT is changed, except
# the control groups under dof-NAME; call `engine.sh --sweep NAME` afterwards to
# remove them (and to let a paused container die, if this script was killed).
#
# The engine lives as long as stdin stays open. At its end (or when this
# process is killed) daemon, containerd, shims and containers get SIGKILL at once:
# a power cut. When this script has returned, all of them are gone and so are their mounts.
#
# KEEP_CONFIG=1 leaves the host's own files as they are: an engine that ran there starts again.
# USERNS_REMAP=1 has the engine shift its containers' users (userns-remap), NO_BRIDGE=1 make no default network.
#
# Needs root, dockerd, containerd, runc, iptables, iproute2, util-linux, perl.
# STORAGE_DRIVER is the storage driver (default overlay2).
# The socket is ROOT/run/docker.sock; registry.pl serves registry.example.com:5443.
set -euo pipefail

usage() {
    echo "usage: engine.sh ROOT NAME | engine.sh --sweep NAME" >&2
    exit 2
}

# The host's own files: what stands there before any engine runs.
skeleton() {
    local root=$1
    [ -z "${KEEP_CONFIG-}" ] || return 0
    mkdir -p "$root"/{etc/docker,etc/alternatives,var/lib/docker,run,usr,dev,proc,sys,tmp,root,srv}
    for d in bin sbin lib lib64; do
        [ -e "$root/$d" ] || [ -L "$root/$d" ] || ln -s "usr/$d" "$root/$d"
    done
    chmod 1777 "$root/tmp"
    [ -L "$root/var/run" ] || ln -s ../run "$root/var/run"
    [ -L "$root/etc/localtime" ] || ln -s /usr/share/zoneinfo/Europe/Berlin "$root/etc/localtime"
    printf 'shop01\n' >"$root/etc/hostname"
    printf 'Europe/Berlin\n' >"$root/etc/timezone"
    printf '0dd0f0dd0f0dd0f0dd0f0dd0f0dd0f00\n' >"$root/etc/machine-id"
    printf '127.0.0.1 localhost registry.example.com\n127.0.1.1 shop01\n' >"$root/etc/hosts"
    printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
    printf 'nameserver 192.0.2.53\n' >"$root/etc/resolv.conf"
    printf 'root:x:0:0:root:/root:/bin/bash\n' >"$root/etc/passwd"
    printf 'root:x:0:\ndocker:x:998:\n' >"$root/etc/group"
    cat >"$root/etc/os-release" <<'OS'
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
OS
    cat >"$root/etc/docker/daemon.json" <<JSON
{
  "data-root": "/var/lib/docker",
  "storage-driver": "${STORAGE_DRIVER:-overlay2}",
  "labels": ["site=shop", "rack=7"],
  "insecure-registries": ["registry.example.com:5443"]
}
JSON
    [ -z "${USERNS_REMAP-}" ] || remap "$root"
    [ -z "${NO_BRIDGE-}" ] || sed -i 's/^{$/{\n  "bridge": "none",/' "$root/etc/docker/daemon.json"
}

# An engine that shifts its containers' users, into two ranges.
remap() {
    local root=$1
    sed -i 's/^{$/{\n  "userns-remap": "default",/' "$root/etc/docker/daemon.json"
    printf 'dockremap:x:997:997::/:/bin/false\n' >>"$root/etc/passwd"
    printf 'dockremap:x:997:\n' >>"$root/etc/group"
    printf 'other:50:10\ndockremap:231072:65536\ndockremap:400000:5000000\n' |
        tee "$root/etc/subuid" >"$root/etc/subgid"
}

# Runs as the first process of the new namespaces.
inside() {
    local root=$1 name=$2
    exec 3<&0 </dev/null
    mount --bind "$root" "$root"
    mount --bind /usr "$root/usr"
    mount -o remount,bind,ro "$root/usr"
    mount --bind /etc/alternatives "$root/etc/alternatives"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    cp "$here/registry.pl" "$root/tmp/registry.pl"
    cd "$root"
    pivot_root . .
    umount -l .
    cd /
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
    hostname "$(cat /etc/hostname)"
    ip link set lo up
    # Whatever this machine's environment says about proxies is not the host's.
    unset http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY
    unset DOCKER_HOST DOCKER_CONFIG DOCKER_CONTEXT TMPDIR
    perl /tmp/registry.pl 5443 /tmp/registry >/run/registry.log 2>&1 &
    dockerd --cgroup-parent "/dof-$name" -H unix:///run/docker.sock --pidfile /run/docker.pid \
        >/run/dockerd.log 2>&1 &
    local dockerd=$!
    cat <&3 >/dev/null &
    wait -n "$dockerd" $! || true
    kill -KILL -1
    thaw "$name"
}

# A paused container is frozen, and a frozen process dies only when thawed.
thaw() {
    local state
    for state in /sys/fs/cgroup/freezer/"dof-$1"/*/freezer.state; do
        [ -e "$state" ] && echo THAWED >"$state"
    done
    return 0
}

# Removes the control groups the containers left behind.
sweep() {
    local group
    thaw "$1"
    for group in /sys/fs/cgroup/*/"dof-$1" /sys/fs/cgroup/"dof-$1"; do
        [ -d "$group" ] || continue
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}

here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || usage
case $1 in
    --sweep) sweep "$2" ;;
    --inside) inside "$2" "$3" ;;
    -*) usage ;;
    *)
        skeleton "$1"
        root=$(cd "$1" && pwd -P)
        exec unshare --mount --net --uts --ipc --pid --fork --kill-child --propagation private \
            bash "$here/engine.sh" --inside "$root" "$2"
        ;;
esac
