#!/usr/bin/env bash
# record.sh OUT_DIR - records the sample host: OUT_DIR/host.tar.gz and OUT_DIR/oracle/.
#
# Owns: OUT_DIR/host.tar.gz, OUT_DIR/oracle/ (both replaced) and a temporary
# directory (below DOF_SCRATCH or TMPDIR, on a file system overlayfs accepts).
# Starts an engine (engine.sh), tells the story (story.sh), asks the engine, then
# pulls the plug: nothing is stopped cleanly. Needs root, what engine.sh needs,
# and curl. The answers are kept as the engine gave them, byte for byte.
set -euo pipefail

[ $# = 1 ] || { echo "usage: record.sh OUT_DIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d "${DOF_SCRATCH:-${TMPDIR:-/tmp}}/dof-record.XXXXXX")
root=$work/root
name=record-$$
oracle=$out/oracle
socket=$root/run/docker.sock
export DOCKER="/usr/bin/docker -H unix://$socket" DOCKER_CONFIG="$work/client" LC_ALL=C.UTF-8 TZ=UTC
unset DOCKER_HOST DOCKER_CONTEXT
mkdir -p "$root" "$work/context" "$DOCKER_CONFIG"

engine_pid=
pull_plug() {
    [ -n "$engine_pid" ] || return 0
    exec {plug}>&-
    wait "$engine_pid" || true
    engine_pid=
    "$here/engine.sh" --sweep "$name"
}
trap 'pull_plug; rm -rf "$work"' EXIT

docker() {
    # shellcheck disable=SC2086  # DOCKER is a command with its options
    command $DOCKER "$@"
}
# One answer of the API, as it is.
api() { curl -sS --fail --unix-socket "$socket" "http://docker/v1.41$1"; }

states() {
    # shellcheck disable=SC2046  # ids have no spaces
    docker inspect -f '{{.Name}} {{.RestartCount}} {{json .State}}' $(docker ps -aq)
}

start() {
    coproc ENGINE { exec "$here/engine.sh" "$root" "$name" 2>"$work/engine.log"; }
    # shellcheck disable=SC2153  # coproc sets it
    engine_pid=$ENGINE_PID
    exec {plug}>&"${ENGINE[1]}"
    eval "exec ${ENGINE[1]}>&-"
    for _ in $(seq 300); do
        docker version >/dev/null 2>&1 && return
        sleep 0.1
    done
    cat "$work/engine.log" "$root/run/dockerd.log" >&2 || true
    echo "record: the engine did not start" >&2
    return 1
}

# What the engine itself says. A query that fails leaves no file.
ask() {
    local id container before
    local -a containers images volumes networks
    mkdir -p "$oracle"/{history,diff,logs}
    mapfile -t containers < <(docker ps -aq --no-trunc)
    mapfile -t images < <(docker images -aq --no-trunc | sort -u)
    mapfile -t volumes < <(docker volume ls -q)
    mapfile -t networks < <(docker network ls -q --no-trunc)
    before=$(states)
    docker inspect --type container "${containers[@]}" >"$oracle/containers.json"
    docker ps -a --no-trunc --format '{{json .}}' >"$oracle/ps.jsonl"
    docker inspect --type image "${images[@]}" >"$oracle/images.json"
    docker images -a --digests --no-trunc --format '{{json .}}' >"$oracle/images.jsonl"
    docker images --digests --no-trunc --format '{{json .}}' >"$oracle/images-shown.jsonl"
    docker volume inspect "${volumes[@]}" >"$oracle/volumes.json"
    docker network inspect "${networks[@]}" >"$oracle/networks.json"
    api /info >"$oracle/info.json"
    api /version >"$oracle/version.json"
    api /containers/json?all=1 >"$oracle/containers-list.json"
    api /images/json?all=1 >"$oracle/images-list.json"
    for id in "${images[@]}"; do
        api "/images/$id/history" >"$oracle/history/${id#sha256:}.json"
    done
    for id in "${containers[@]}"; do
        container=$(docker inspect -f '{{.Name}}' "$id")
        container=${container#/}
        api "/containers/$id/changes" >"$oracle/diff/$container.json"
        if docker logs "$id" >"$oracle/logs/$container.stdout" 2>"$oracle/logs/$container.stderr"; then
            docker logs -t "$id" >"$oracle/logs/$container.stdout.ts" 2>"$oracle/logs/$container.stderr.ts"
        else
            rm "$oracle/logs/$container".*
        fi
    done
    find "$oracle/logs" -empty -delete
    # A container that restarted meanwhile would make the answers contradict each other.
    [ "$before" = "$(states)" ] || { echo "record: the host changed while it was asked" >&2; return 1; }
}

# What lies on the disk of the dead host; not what a kernel mounts over it.
lay_out() {
    local gone
    for gone in run dev proc sys tmp usr; do
        find "$root/$gone" -mindepth 1 -delete
    done
    # Of no forensic value here: the classic image store does not use containerd's.
    rm -rf "$root/etc/alternatives" "$root/opt" "$root/var/lib/docker"/{buildkit,containerd,plugins,tmp}
    mkdir "$root/var/lib/docker/tmp"
    # The engine's private key is nobody's, but looks like a secret.
    rm -f "$root/etc/docker/key.json"
    # Sockets cannot be packed.
    find "$root" -type s -delete
}

start
WORK=$work/context HOSTROOT=$root "$here/story.sh"
rm -rf "$oracle"
ask
pull_plug
lay_out
tar -C "$root" --xattrs --xattrs-include='*' --numeric-owner --sort=name --format=posix \
    --pax-option=exthdr.name=%d/PaxHeaders/%f -c . | gzip -9n >"$out/host.tar.gz"

if grep -rlF -e "$work" -e "$here" "$oracle" || gzip -dc "$out/host.tar.gz" | grep -qaF -e "$work" -e "$here"; then
    echo "record: a path of this machine is in the sample" >&2
    exit 1
fi
du -h "$out/host.tar.gz"
