#!/bin/sh
# Installs the client libraries of the compatibility tests under target/:
# docker-py in target/venv, dockerode in target/node, and the docker-compose of
# Debian 12 (version 1, in Python) in target/compose-v1. Quick when there.
#
# usage: test-clients.sh [python] [node] [compose]      (default: all)
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
# Unpacked with all that it imports, and run by the machine's own python3; nothing of it is installed.
compose() {
    home=$TARGET/compose-v1
    if [ -x "$home/docker-compose" ] && "$home/docker-compose" version >/dev/null 2>&1; then return; fi
    [ -x /usr/bin/python3 ] || apt_install python3
    suite_fetch bookworm "$home/root" docker-compose python3-attr python3-cached-property python3-certifi python3-chardet \
        python3-charset-normalizer python3-distro python3-distutils python3-docker python3-dockerpty python3-docopt python3-dotenv \
        python3-idna python3-jsonschema python3-lib2to3 python3-pkg-resources python3-pyrsistent python3-requests python3-six \
        python3-texttable python3-urllib3 python3-websocket python3-yaml
    # Compiled parts are for Debian 12's Python alone; where it is another, these modules do without.
    cat >"$home/docker-compose" <<EOF
#!/bin/sh
root=$home/root/usr
export PYTHONPATH=\$root/lib/python3/dist-packages:\$root/lib/python3.11 PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 \$root/bin/docker-compose "\$@"
EOF
    chmod +x "$home/docker-compose"
    "$home/docker-compose" version >/dev/null || die "the docker-compose of Debian 12 does not run here"
    say "$("$home/docker-compose" version --short)"
}
[ $# -gt 0 ] || set -- python node compose
for which in "$@"; do
    case $which in
    python | node | compose) "$which" ;;
    *) die "usage: test-clients.sh [python] [node] [compose]" ;;
    esac
done
