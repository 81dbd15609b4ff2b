#!/bin/sh
# make bench: Lighter, a real dockerd and Podman on this machine in one run,
# each on roots of its own under /tmp; prints a Markdown table and removes
# everything again. Needs root. Flags: benches/run.sh --help
set -eu
repo=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
case " $* " in *" --help "* | *" -h "*) exec python3 "$repo/benches/bench.py" --help ;; esac
[ "$(id -u)" = 0 ] || { echo "the benchmarks run containers and need root: sudo make bench" >&2; exit 1; }
target=${CARGO_TARGET_DIR:-$repo/target}
command -v python3 >/dev/null || { apt-get -qq update && apt-get -qq -y install --no-install-recommends python3 curl iproute2; }
# LIGHTER_BENCH_NO_BUILD=1: take target/lighter as it is.
[ -n "${LIGHTER_BENCH_NO_BUILD:-}" ] || "$repo/scripts/build.sh" >/dev/null
(cd "$repo" && PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin cargo build -q --release -p docker-compat-tests --example load --example turn)
"$repo/scripts/clients.sh" >/dev/null
"$repo/scripts/busybox-image.sh" >/dev/null
"$repo/scripts/peers.sh" --podman
"$repo/scripts/registry.sh"
sh -c ". \"$repo/scripts/lib.sh\"; apt_install iperf3"
exec python3 "$repo/benches/bench.py" --target "$target" "$@"
