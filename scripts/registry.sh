#!/bin/sh
# Gets what the registry tests talk to: Debian's docker-registry, and with
# --makers the other image makers (skopeo, umoci). Unpacked under target/peers,
# never installed; starts nothing.
#
# usage: registry.sh [--makers]
. "$(dirname -- "$0")/lib.sh"

want=docker-registry
[ "${1:-}" != --makers ] || want="docker-registry skopeo umoci"
for p in $want; do
    [ -x "$PEERS/root/usr/bin/$p" ] || stable_fetch "$PEERS/root" "$p"
done
