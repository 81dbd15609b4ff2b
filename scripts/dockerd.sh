#!/bin/sh
# Runs a real dockerd, with roots, socket, containerd and bridge of its own, as
# the reference of the compatibility tests and the benchmarks.
#
# usage: dockerd.sh start|stop|host [NAME]     (NAME: default "dockerd")
#   DOCKERD_HOME  where it all lives (default /tmp/lighter/NAME)
#   DOCKERD_BIN   directory of the programs (default target/peers/bin)
#   DOCKERD_FLAGS more flags for dockerd
. "$(dirname -- "$0")/lib.sh"

verb=${1:-} name=${2:-dockerd}
home=${DOCKERD_HOME:-/tmp/lighter/$name}
bin=${DOCKERD_BIN:-$PEERS/bin}
sock=$home/docker.sock
# An interface name has at most 15 characters; keep one daemon's apart.
bridge=ldr$(printf %s "$home" | cksum | cut -c1-6)
subnet=172.28.$(($(printf %s "$home" | cksum | cut -d' ' -f1) % 250 + 1))

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

start() {
    [ "$(id -u)" = 0 ] || die "needs root"
    [ -x "$bin/dockerd" ] || "$ROOT/scripts/peers.sh"
    if alive "$home/docker.pid"; then echo "unix://$sock"; return; fi
    mkdir -p "$home"
    if ! ip link show "$bridge" >/dev/null 2>&1; then
        ip link add "$bridge" type bridge
        ip addr add "$subnet.1/24" dev "$bridge"
        ip link set "$bridge" up
    fi
    printf '{}' >"$home/daemon.json"
    # What it changes on the machine and would leave behind: note it first.
    [ -e "$home/ip_forward" ] || cat /proc/sys/net/ipv4/ip_forward >"$home/ip_forward"
    [ -e "$home/rules" ] || iptables-save >"$home/rules" 2>/dev/null || :
    # shellcheck disable=SC2086
    PATH=$bin:$PATH setsid "$bin/dockerd" -H "unix://$sock" \
        --config-file "$home/daemon.json" --data-root "$home/data" --exec-root "$home/exec" \
        --pidfile "$home/docker.pid" --bridge "$bridge" --userland-proxy=false --ip-forward-no-drop \
        --log-level warn ${DOCKERD_FLAGS:-} >"$home/log" 2>&1 </dev/null &
    pid=$!
    n=0
    until curl -fsS --unix-socket "$sock" http://d/_ping >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || { tail -n 15 "$home/log" >&2; die "dockerd did not start"; }
        n=$((n + 1)); [ "$n" -lt 300 ] || { tail -n 15 "$home/log" >&2; die "dockerd does not answer"; }
        sleep 0.1
    done
    echo "unix://$sock"
}

stop() {
    if alive "$home/docker.pid"; then
        pid=$(cat "$home/docker.pid")
        # Containers that outlive it would keep shims and mounts.
        for c in $(curl -fsS --unix-socket "$sock" 'http://d/containers/json?all=1' 2>/dev/null |
            grep -o '"Id":"[0-9a-f]*"' | cut -d'"' -f4); do
            curl -fsS -X DELETE --unix-socket "$sock" "http://d/containers/$c?force=1&v=1" >/dev/null 2>&1 || :
        done
        kill "$pid"
        n=0
        while kill -0 "$pid" 2>/dev/null; do
            n=$((n + 1)); [ "$n" -lt 150 ] || { kill -9 "$pid"; break; }
            sleep 0.1
        done
    fi
    if alive "$home/exec/containerd/containerd.pid"; then kill "$(cat "$home/exec/containerd/containerd.pid")" || :; fi
    grep -F " $home/" /proc/mounts | cut -d' ' -f2 | sort -r | while read -r m; do umount -l "$m" || :; done
    if ip link show "$bridge" >/dev/null 2>&1; then ip link delete "$bridge"; fi
    # Its own chains only: another firewall's rules are not ours to touch.
    if [ -e "$home/rules" ]; then clear_rules; fi
    if [ "$(cat "$home/ip_forward" 2>/dev/null)" = 0 ] && ! grep -q '^:DOCKER' "$home/rules" 2>/dev/null; then
        echo 0 >/proc/sys/net/ipv4/ip_forward
    fi
    # Empty groups only (rmdir refuses the others).
    find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name docker -exec rmdir {} + 2>/dev/null || :
    rm -rf "$home"
}

# clear_rules: takes out the rules that name our bridge, and the DOCKER chains
# too if there were none before us.
clear_rules() {
    pattern=$bridge
    grep -q '^:DOCKER' "$home/rules" || pattern="DOCKER|$bridge"
    for cmd in iptables ip6tables; do
        for t in filter nat raw; do
            $cmd -t $t -S 2>/dev/null | grep -E "^-A .*($pattern)" | while read -r _ rest; do
                # shellcheck disable=SC2086
                eval $cmd -t $t -D $rest 2>/dev/null || :
            done
            [ "$pattern" != "$bridge" ] || continue
            for verb in F X; do
                for c in $($cmd -t $t -S 2>/dev/null | sed -n 's/^-N \(DOCKER[^ ]*\)$/\1/p'); do
                    $cmd -t $t -$verb "$c" || :
                done
            done
        done
    done
}

case $verb in
start) start ;;
stop) stop ;;
host) echo "unix://$sock" ;;
*) die "usage: dockerd.sh start|stop|host [NAME]" ;;
esac
