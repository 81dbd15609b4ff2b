#!/bin/bash
# The tests, from the state of a fresh clone: installs what is missing, runs,
# and prints the totals.
#
# usage: test.sh check|unit|compat|compat-dockerd [TEST-FILTER...]
. "$(dirname -- "$0")/lib.sh"
set -o pipefail

cargo_cmd
cd "$ROOT"
have cc || apt_install gcc libc6-dev
verb=${1:-}
shift || :
logs=$TARGET/test-logs
mkdir -p "$logs"

# totals LOG...: adds up libtest's result lines.
totals() {
    awk '/^test result:/ { p += $4; f += $6; i += $8 } END { printf "tests: %d passed, %d failed, %d ignored\n", p, f, i }' "$@"
}

host=$(rustc -vV | sed -n 's/^host: //p')

# The supervisor and the init that containers are run with, linked statically.
static_programs() {
    RUSTFLAGS='-C target-feature=+crt-static -C relocation-model=static' \
        cargo build --profile supervisor --locked --target "$host" -p lighter-supervisor
}

case $verb in
check)
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    # Left out of "all", for they need a daemon.
    cargo clippy --workspace --test compat --test crashes --test soak -- -D warnings
    ;;
unit)
    # The whole workspace at once: a part of it would be compiled with other features of the same crates, all of them twice.
    have ps || apt_install procps
    scripts/busybox-image.sh >/dev/null
    static_programs
    rc=0
    cargo test --workspace --no-fail-fast 2>&1 | tee "$logs/unit.log" || rc=$?
    totals "$logs/unit.log"
    exit $rc
    ;;
compat | compat-dockerd)
    [ "$(id -u)" = 0 ] || die "THE COMPATIBILITY TESTS NEED ROOT: they run real containers. Try: sudo -E make $verb"
    scripts/clients.sh >/dev/null
    scripts/busybox-image.sh >/dev/null
    scripts/test-clients.sh
    scripts/registry.sh --makers
    # `script` of bsdutils gives the terminal; stty is coreutils; `docker top` asks the machine's ps.
    have script || apt_install bsdutils
    have openssl || apt_install openssl
    # What the kernel has of our rules is read with nft.
    have nft || apt_install nftables
    have ps || apt_install procps
    if [ "$verb" = compat ]; then
        static_programs
        LIGHTER_SUPERVISOR=$TARGET/$host/supervisor/lighter-supervisor
        LIGHTER_INIT=$TARGET/$host/supervisor/lighter-init
        export LIGHTER_SUPERVISOR LIGHTER_INIT
        unset LIGHTER_COMPAT_HOST
    else
        have curl || apt_install curl
        have ip || apt_install iproute2
        scripts/peers.sh
        trap 'scripts/dockerd.sh stop reference' EXIT
        # As people run it, by its proxy; the benchmarks leave that out.
        DOCKERD_FLAGS="--userland-proxy=true --userland-proxy-path=$PEERS/bin/docker-proxy"
        export DOCKERD_FLAGS
        LIGHTER_COMPAT_HOST=$(scripts/dockerd.sh start reference)
        export LIGHTER_COMPAT_HOST
    fi
    rc=0
    # Bounded: a test that hangs is a failure, not a lost hour.
    cargo test --workspace --no-run
    timeout 1200 cargo test --workspace --test compat --test crashes --test soak --no-fail-fast -- --test-threads "${TEST_THREADS:-4}" "$@" 2>&1 |
        tee "$logs/$verb.log" || rc=$?
    totals "$logs/$verb.log"
    exit $rc
    ;;
*) die "usage: test.sh check|unit|compat|compat-dockerd [TEST-FILTER...]" ;;
esac
