#!/bin/sh
# Builds the release programs and puts them side by side in target/lighter:
# the daemon looks for its supervisor and its init next to itself. Those two run
# in every container's shadow, so they are linked statically: smaller, faster to
# start, and independent of the machine's libraries.
. "$(dirname -- "$0")/lib.sh"

cargo_cmd
cd "$ROOT"
out=$TARGET/lighter
host=$(run_cargo rustc -vV | sed -n 's/^host: //p')
[ -n "$host" ] || die "rustc does not say what it builds for"
have cc || apt_install gcc libc6-dev
run_cargo cargo build --release --locked -p lighterd -p lighter-cli || die "the daemon does not build"
run_cargo env RUSTFLAGS='-C target-feature=+crt-static -C relocation-model=static' \
    cargo build --profile supervisor --locked --target "$host" -p lighter-supervisor || die "the supervisor does not build"
run_cargo mkdir -p "$out"
put() { # replaced by rename: the old one may be running
    run_cargo cp "$1" "$out/.$2.new" && run_cargo mv -f "$out/.$2.new" "$out/$2"
}
put "$TARGET/release/lighterd" lighterd
put "$TARGET/release/lighter" lighter
for p in lighter-supervisor lighter-init; do
    put "$TARGET/$host/supervisor/$p" "$p"
    # Beside target/release/lighterd too, for whoever runs that one.
    run_cargo cp "$TARGET/$host/supervisor/$p" "$TARGET/release/.$p.new" && run_cargo mv -f "$TARGET/release/.$p.new" "$TARGET/release/$p"
done
echo "$out"
