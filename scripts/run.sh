#!/bin/sh
# make run: from a fresh clone to a daemon that runs containers. Builds, starts
# lighterd in the background on its built-in defaults, registers the docker
# context `lighter`, loads the image busybox, and prints the line to type next.
# Leaves every other daemon, socket and context as it is.
#
# usage: run.sh [LIGHTERD-FLAGS...]; run.sh --stop
#   LIGHTER_EXEC_ROOT  where the daemon's socket and pid file are
#                      (default /run/lighter; the daemon's own default)
. "$(dirname -- "$0")/lib.sh"

run_dir=${LIGHTER_EXEC_ROOT:-/run/lighter}
socket=$run_dir/docker.sock
pidfile=$run_dir/make-run.pid
log=$run_dir/lighterd.log

running() { [ -s "$pidfile" ] && pid=$(cat "$pidfile") && [ "$(readlink "/proc/$pid/exe" 2>/dev/null | sed 's/ (deleted)$//')" = "$(readlink -f "$TARGET/lighter/lighterd")" ]; }

stop() {
    running || { say "no daemon of make run is running"; return 0; }
    kill "$pid"
    n=0
    while kill -0 "$pid" 2>/dev/null; do
        n=$((n + 1)); [ "$n" -lt 150 ] || die "the daemon (pid $pid) does not end"
        sleep 0.1
    done
    rm -f "$pidfile"
    say "stopped; containers that were running still run"
}

engine_flag() {
    for a in "$@"; do case $a in --engine=*) echo "${a#*=}"; return ;; --engine) want=1 ;; *) [ -z "${want:-}" ] || { echo "$a"; return; } ;; esac; done
    echo auto
}

if [ "${1:-}" = --stop ]; then stop; exit; fi

if [ "$(id -u)" != 0 ] && [ "$(engine_flag "$@")" != memory ]; then
    cat >&2 <<END
Running containers takes root, and you are $(id -un). Either
    sudo make run
or, with pretended containers and no privileges,
    make run ARGS='--engine memory'
END
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    # An ordinary user has no place in /run and /var/lib.
    home=${XDG_STATE_HOME:-$HOME/.local/state}/lighter
    run_dir=${XDG_RUNTIME_DIR:-/tmp/lighter-$(id -u)}/lighter
    socket=$run_dir/docker.sock pidfile=$run_dir/make-run.pid log=$run_dir/lighterd.log
    set -- --data-root "$home" --exec-root "$run_dir" --pidfile "$run_dir/lighterd.pid" -H "unix://$socket" "$@"
fi

"$ROOT/scripts/build.sh" >/dev/null

# The CLI: the user's own if there is one, else Debian's current one.
if have docker; then
    docker=docker
else
    bin=$("$ROOT/scripts/clients.sh")
    docker=$bin/docker
    if [ "$(id -u)" = 0 ] && [ ! -e /usr/local/bin/docker ]; then
        ln -s "$bin/docker" /usr/local/bin/docker
        say "there was no docker CLI: made /usr/local/bin/docker -> $bin/docker"
        docker=docker
    fi
fi

mkdir -p "$run_dir"
if running; then
    say "already running (pid $pid)"
else
    setsid "$TARGET/lighter/lighterd" "$@" >>"$log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$pidfile"
    n=0
    until "$docker" -H "unix://$socket" version >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || { tail -n 15 "$log" >&2; rm -f "$pidfile"; die "the daemon did not start (its log: $log)"; }
        n=$((n + 1)); [ "$n" -lt 200 ] || { tail -n 15 "$log" >&2; die "the daemon does not answer at $socket"; }
        sleep 0.05
    done
fi

# The context, for root and for whoever called sudo.
context() { # context COMMAND-PREFIX...
    if "$@" "$docker" context inspect lighter >/dev/null 2>&1; then
        "$@" "$docker" context update lighter --docker "host=unix://$socket" >/dev/null
    else
        "$@" "$docker" context create lighter --description "Lighter" --docker "host=unix://$socket" >/dev/null
    fi
    # Only where nobody's choice is overridden: no other daemon, no other context.
    if [ -z "${DOCKER_HOST:-}" ] && [ ! -S /var/run/docker.sock ] &&
        [ "$("$@" "$docker" context show 2>/dev/null)" = default ]; then
        "$@" "$docker" context use lighter >/dev/null 2>&1 || :
    fi
}
context env -u DOCKER_HOST -u DOCKER_CONTEXT
if [ "$(id -u)" = 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ]; then
    context sudo -H -u "$SUDO_USER" env -u DOCKER_HOST -u DOCKER_CONTEXT
    who="sudo "
fi

if ! "$docker" -H "unix://$socket" image inspect busybox >/dev/null 2>&1; then
    "$docker" -H "unix://$socket" load -q -i "$("$ROOT/scripts/busybox-image.sh")" >/dev/null
fi

at=
if [ -n "${DOCKER_HOST:-}" ] || [ "$(env -u DOCKER_CONTEXT "$docker" context show 2>/dev/null)" != lighter ]; then at="--context lighter "; fi
say "lighterd runs (pid $pid, socket $socket, log $log); stop it with: make stop"
printf '\nNow type:\n\n    %s%s %srun --rm busybox echo hello\n\n' "${who:-}" "$docker" "$at"
