#!/bin/sh
# Gets what the registry tests talk to: Debian's docker-registry, and with
# --makers the other image makers (skopeo, umoci). Unpacked under target/peers,
# never installed (but for libraries that skopeo misses); starts nothing.
#
# usage: registry.sh [--makers]
. "$(dirname -- "$0")/lib.sh"

want=docker-registry
[ "${1:-}" != --makers ] || want="docker-registry skopeo umoci"
for p in $want; do
    [ -x "$PEERS/root/usr/bin/$p" ] || stable_fetch "$PEERS/root" "$p"
done
# The libraries of skopeo, which is the only one that is not linked statically.
case $want in
*skopeo*) ! ldd "$PEERS/root/usr/bin/skopeo" | grep -q 'not found' || apt_install libgpgme11 libdevmapper1.02.1 ;;
esac
