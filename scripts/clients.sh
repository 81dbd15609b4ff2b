#!/bin/sh
# Fetches current Docker clients (CLI, compose, buildx) of Debian sid into
# target/clients, without installing anything: Debian 12's own are years old,
# and a test against the client that people use must use that one.
# Prints the directory to put on PATH. Quick when all is there already.
. "$(dirname -- "$0")/lib.sh"

bin=$CLIENTS/bin
ready() {
    [ -x "$bin/docker" ] && "$bin/docker" --version >/dev/null 2>&1
}
if ! ready || [ "${1:-}" = --refresh ]; then
    sid_fetch "$CLIENTS/root" docker-cli docker-compose docker-buildx
    mkdir -p "$bin"
    # The CLI looks for plugins in $DOCKER_CONFIG/cli-plugins and in fixed
    # system directories only; scripts/docker-env.sh points it here.
    mkdir -p "$CLIENTS/config/cli-plugins"
    for p in docker-compose docker-buildx; do
        f=$(find "$CLIENTS/root" -type f -name "$p" -path '*cli-plugins*' | head -n 1)
        [ -n "$f" ] || f=$(find "$CLIENTS/root" -type f -name "$p" -perm -u+x | head -n 1)
        [ -n "$f" ] || die "the package $p holds no program of that name"
        ln -sf "$f" "$CLIENTS/config/cli-plugins/$p"
    done
    ln -sf "$CLIENTS/root/usr/bin/docker" "$bin/docker"
    ready || die "the CLI of Debian sid does not run here: $("$bin/docker" --version 2>&1 | head -n 3)"
    say "$("$bin/docker" --version)"
fi
echo "$bin"
