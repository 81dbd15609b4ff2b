#!/bin/sh
# Installs the client libraries of the compatibility tests under target/:
# docker-py in target/venv, dockerode in target/node. Quick when there.
#
# usage: test-clients.sh [python] [node]      (default: both)
. "$(dirname -- "$0")/lib.sh"

tests=$ROOT/docker-compat-tests
python() {
    if [ -x "$TARGET/venv/bin/python" ] && "$TARGET/venv/bin/python" -c 'import docker' 2>/dev/null; then return; fi
    have python3 && python3 -c 'import venv, ensurepip' 2>/dev/null || apt_install python3 python3-venv
    say "installing docker-py under $TARGET/venv"
    python3 -m venv "$TARGET/venv"
    "$TARGET/venv/bin/pip" install -q -r "$tests/python/requirements.txt" >&2 || die "pip could not install docker-py"
}
node() {
    [ -d "$TARGET/node/node_modules/dockerode" ] && return
    have node || apt_install nodejs
    have npm || apt_install npm
    say "installing dockerode under $TARGET/node"
    mkdir -p "$TARGET/node"
    cp "$tests/node/package.json" "$TARGET/node/"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$TARGET/node" >&2 || die "npm could not install dockerode"
}
[ $# -gt 0 ] || set -- python node
for which in "$@"; do
    case $which in
    python | node) "$which" ;;
    *) die "usage: test-clients.sh [python] [node]" ;;
    esac
done
