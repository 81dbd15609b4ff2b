#!/bin/sh
# Runs the fuzz targets of fuzz/ one after the other; what they find is a file
# under fuzz/artifacts, and belongs into fuzz/corpus once it is fixed: ordinary
# tests replay that. Needs a nightly compiler, and root (layers have owners).
#
# usage: fuzz.sh [SECONDS] [TARGET...]       (default: 60 s for each of them all)
. "$(dirname -- "$0")/lib.sh"

cd "$ROOT/fuzz"
cargo_cmd
have g++ || have clang++ || apt_install g++
seconds=${1:-60}
[ $# = 0 ] || shift
[ $# -gt 0 ] || set -- tar archive layer manifest
[ "$(id -u)" = 0 ] || die "needs root"
triple=$(rustc -vV | sed -n 's/^host: //p')
# As cargo-fuzz sets them, without needing it.
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address --cfg fuzzing"
export RUSTFLAGS
cargo +nightly build --release --target "$triple" --target-dir "$TARGET/fuzz"
for target in "$@"; do
    mkdir -p "corpus/$target" "artifacts/$target" "$TARGET/fuzz/found/$target"
    say "$target for $seconds s"
    # New inputs go outside the repository; the committed corpus is read only.
    ASAN_OPTIONS=detect_leaks=0 "$TARGET/fuzz/$triple/release/$target" \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" "$TARGET/fuzz/found/$target" "corpus/$target" 2>&1 |
        grep -E "^(#[0-9]+.*(DONE|pulse)|stat::|SUMMARY|==|thread .* panicked|Done)" || :
    if [ -n "$(ls -A "artifacts/$target")" ]; then die "$target found something: fuzz/artifacts/$target"; fi
done
rm -rf /dev/shm/lighter-fuzz-*
