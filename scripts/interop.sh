#!/bin/bash
# Images between Lighter, two real dockerds (with each of their image stores),
# Podman, buildah and buildx, in all directions: what one saves the others load,
# what one pushes the others pull, and digests and ids stay what they are. Each
# daemon has roots of its own under /tmp; everything is removed again. Bounded:
# each step by a timeout, the whole to about five minutes.
#
# usage: interop.sh          (needs root; LIGHTER_INTEROP_NO_BUILD=1 takes target/lighter as it is)
. "$(dirname -- "$0")/lib.sh"
set -o pipefail

[ "$(id -u)" = 0 ] || die "needs root"
[ -n "${LIGHTER_INTEROP_NO_BUILD:-}" ] || "$ROOT/scripts/build.sh" >/dev/null
"$ROOT/scripts/clients.sh" >/dev/null
"$ROOT/scripts/peers.sh" --podman
"$ROOT/scripts/registry.sh" --makers
have buildah || apt_install buildah
have curl || apt_install curl
have python3 || apt_install python3

home=/tmp/lighter/interop
docker=$CLIENTS/bin/docker
export DOCKER_CONFIG=$CLIENTS/config
port=5731
reg=localhost:$port
passed=0 failed=0

# The dockerd with its containerd image store has a home of its own.
plain_home=$home/plain c8d_home=$home/c8d

begin() { [ ! -e "$home" ] || die "$home is there: another run?"; mkdir -p "$home/lighter"; trap finish EXIT; }

finish() {
    set +e
    [ -z "${lighter_pid:-}" ] || { kill "$lighter_pid"; wait "$lighter_pid"; }
    [ -z "${podman_pid:-}" ] || { kill "$podman_pid"; wait "$podman_pid"; }
    [ -z "${registry_pid:-}" ] || { kill "$registry_pid"; wait "$registry_pid"; }
    for h in "$plain_home" "$c8d_home"; do DOCKERD_HOME=$h "$ROOT/scripts/dockerd.sh" stop interop; done
    grep -F " $home/" /proc/mounts | cut -d' ' -f2 | sort -r | while read -r m; do umount -l "$m"; done
    ip link delete ltinterop0 2>/dev/null
    rm -rf "$home"
} 2>/dev/null

check() { # check WHAT EXPECTED ACTUAL
    if [ "$2" = "$3" ] && [ -n "$3" ]; then passed=$((passed + 1)); else
        failed=$((failed + 1)); printf 'FAILED: %s\n  expected %s\n  got      %s\n' "$1" "$2" "$3"; fi
}

# d DAEMON ARGS...: the docker CLI at one of the daemons
d() { local to=$1; shift; timeout 120 "$docker" -H "unix://$(socket "$to")" "$@"; }
socket() {
    case $1 in
    lighter) echo "$home/lighter/docker.sock" ;; podman) echo "$home/podman/docker.sock" ;;
    dockerd) echo "$plain_home/docker.sock" ;; c8d) echo "$c8d_home/docker.sock" ;;
    esac
}
inspect() { d "$1" image inspect -f "$3" "$2" 2>/dev/null; }
# The digest of the configuration is an image's id, but for dockerd's containerd store: there it is the manifest's.
id_of() { inspect "$1" "$2" '{{.Id}}' | sed 's/^sha256://; s/^/sha256:/'; }
layers_of() { inspect "$1" "$2" '{{json .RootFS.Layers}}'; }
forget() { d "$1" rmi -f "$2" >/dev/null 2>&1 || :; }
digest_at() { # digest_at NAME TAG: what the registry has under it
    curl -fsS -o /dev/null -D - -H 'Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json' \
        "http://$reg/v2/$1/manifests/$2" | tr -d '\r' | sed -n 's/^[Dd]ocker-[Cc]ontent-[Dd]igest: //p'
}

start_all() {
    printf 'version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: %s/registry}\nhttp:\n  addr: 127.0.0.1:%s\n' "$home" $port >"$home/registry.yml"
    "$PEERS/root/usr/bin/docker-registry" serve "$home/registry.yml" >"$home/registry.log" 2>&1 &
    registry_pid=$!
    "$TARGET/lighter/lighterd" -H "unix://$(socket lighter)" --data-root "$home/lighter/data" --exec-root "$home/lighter/exec" \
        --pidfile "$home/lighter/pid" --bridge ltinterop0 --bip 10.253.78.1/24 --log-level warn >"$home/lighter/log" 2>&1 &
    lighter_pid=$!
    mkdir -p "$home/podman" "$c8d_home"
    printf '[[registry]]\nlocation = "localhost"\ninsecure = true\n' >"$home/registries.conf"
    export CONTAINERS_REGISTRIES_CONF=$home/registries.conf
    TMPDIR=$home/podman podman --root "$home/podman/root" --runroot "$home/podman/run" --cgroup-manager cgroupfs --events-backend file \
        --storage-driver overlay system service --time 0 "unix://$(socket podman)" >"$home/podman/log" 2>&1 &
    podman_pid=$!
    DOCKERD_HOME=$plain_home "$ROOT/scripts/dockerd.sh" start interop >/dev/null
    DOCKERD_HOME=$c8d_home DOCKERD_FLAGS="--feature containerd-snapshotter=true" "$ROOT/scripts/dockerd.sh" start interop >/dev/null
    for who in lighter podman dockerd c8d; do
        n=0
        until curl -fsS --unix-socket "$(socket $who)" http://d/_ping >/dev/null 2>&1; do
            n=$((n + 1)); [ $n -lt 200 ] || die "$who does not answer"
            sleep 0.1
        done
    done
}

# An image of three layers with what is hard to keep: made by buildah, put into the registry.
make_image() {
    local tree=$home/tree bud="env -u DOCKER_CONFIG buildah --root $home/buildah/root --runroot $home/buildah/run --storage-driver vfs"
    rm -rf "$tree"; mkdir -p "$tree/a/b" "$tree/gone"
    head -c 100000 /dev/urandom >"$tree/a/noise"
    ln "$tree/a/noise" "$tree/a/hard"; ln -s ../a/noise "$tree/a/b/soft"
    : >"$tree/gone/file"; truncate -s 5M "$tree/sparse"; printf x >"$tree/set"; chmod 6755 "$tree/set"
    touch -d 2001-02-03T04:05:06Z "$tree/a/noise"
    ( cd "$home" && printf 'FROM scratch\nCOPY tree /\nCOPY registry.yml /a/b/more\nCMD ["true"]\n' >Containerfile
      TMPDIR=$home timeout 120 $bud bud --isolation chroot --layers -q --format "$1" -f Containerfile -t "$2" . >/dev/null
      timeout 120 $bud push -q --tls-verify=false "$2" "docker://$reg/$2" ) || die "buildah"
}

# What each of them makes of one image of a registry.
pulls() {
    local name=$reg/$1 want digest
    digest=$(digest_at "${1%:*}" "${1#*:}")
    d lighter pull -q "$name" >/dev/null || :
    want=$(layers_of lighter "$name")
    for who in dockerd podman c8d; do
        d $who pull -q "$name" >/dev/null 2>&1 || d $who pull "$name" >/dev/null || :
        check "$1: $who's layers" "$want" "$(layers_of $who "$name")"
    done
    for who in lighter dockerd c8d; do
        check "$1: $who's digest" "$digest" "$(inspect $who "$name" '{{range .RepoDigests}}{{.}} {{end}}' | tr ' ' '\n' | grep -F "${name%:*}@" | sed 's/.*@//' | head -n 1)"
    done
    for who in dockerd podman; do check "$1: $who's id" "$(id_of lighter "$name")" "$(id_of $who "$name")"; done
}

# Save by one, load by another.
archives() {
    local name=$reg/$1 from to
    local id layers
    id=$(id_of lighter "$name") layers=$(layers_of lighter "$name")
    for pair in lighter:dockerd lighter:podman lighter:c8d dockerd:lighter podman:lighter c8d:lighter; do
        from=${pair%:*} to=${pair#*:}
        d "$from" save -o "$home/archive.tar" "$name" || :
        forget "$to" "$name"
        d "$to" load -q -i "$home/archive.tar" >/dev/null || :
        check "$1: saved by $from, loaded by $to: layers" "$layers" "$(layers_of "$to" "$name")"
        [ "$to" = c8d ] || check "$1: saved by $from, loaded by $to: id" "$id" "$(id_of "$to" "$name")"
        rm -f "$home/archive.tar"
    done
}

# Push by one under a new name, pull by the others.
pushes() {
    local name=$reg/$1 id layers digest new
    id=$(id_of lighter "$name") layers=$(layers_of lighter "$name")
    for from in lighter dockerd podman c8d; do
        new=$reg/pushed/$from:1
        d $from tag "$name" "$new"
        d $from push -q "$new" >/dev/null 2>&1 || d $from push "$new" >/dev/null || :
        digest=$(digest_at "pushed/$from" 1)
        for to in lighter dockerd podman c8d; do
            [ $to != $from ] || continue
            forget $to "$new"
            d $to pull -q "$new" >/dev/null 2>&1 || d $to pull "$new" >/dev/null || :
            check "$1: pushed by $from, pulled by $to: layers" "$layers" "$(layers_of $to "$new")"
            case $to in
            podman) check "$1: pushed by $from, pulled by $to: id" "$id" "$(id_of $to "$new")" ;;
            c8d) check "$1: pushed by $from, pulled by $to: digest" "$digest" "$(id_of $to "$new")" ;;
            *) check "$1: pushed by $from, pulled by $to: digest" "$new@$digest" "$(inspect $to "$new" '{{range .RepoDigests}}{{println .}}{{end}}' | grep -F "pushed/$from@" | sed "s|pushed/$from@|pushed/$from:1@|")" ;;
            esac
        done
        check "$1: pushed by $from: id" "$id" "$(id_of lighter "$new")"
        for who in lighter dockerd podman c8d; do forget $who "$new"; done
    done
}

# What buildx makes: two platforms, with attestations, through BuildKit of the dockerd that keeps indexes.
buildx() {
    local dir=$home/bx name=$reg/bx/multi:1 digest
    mkdir -p "$dir"; echo hello >"$dir/f"; printf 'FROM scratch\nCOPY f /f\nCMD ["x"]\n' >"$dir/Dockerfile"
    d c8d buildx version >/dev/null 2>&1 || { echo "left out: there is no buildx"; return; }
    d c8d buildx build -q --provenance=mode=max --platform linux/amd64,linux/arm64 -o "type=oci,dest=$home/bx.tar,name=$name" "$dir" >/dev/null ||
        { echo "left out: buildx cannot write OCI archives here"; return; }
    digest=$(tar -xOf "$home/bx.tar" index.json | python3 -c 'import json,sys; print(json.load(sys.stdin)["manifests"][0]["digest"])')
    d lighter load -q -i "$home/bx.tar" >/dev/null
    index() { d "$1" image inspect "$name" --format '{{json .}}' >/dev/null 2>&1; curl -fsS --unix-socket "$(socket "$1")" "http://d/v1.49/images/$name/json?manifests=1"; }
    check "buildx: loaded as an index" "$digest" "$(index lighter | python3 -c 'import json,sys; print(json.load(sys.stdin)["Descriptor"]["digest"])')"
    check "buildx: both platforms and both attestations" "attestation True attestation True image True image True" \
        "$(index lighter | python3 -c 'import json,sys; print(*sorted(m["Kind"]+" "+str(m["Available"]) for m in json.load(sys.stdin)["Manifests"]))')"
    check "buildx: provenance" "https://slsa.dev/provenance/v0.2" \
        "$(curl -fsS --unix-socket "$(socket lighter)" "http://d/images/$name/attestations" | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["PredicateType"].replace("/v1","/v0.2"))')"
    # There and back again: nothing is lost.
    d lighter save -o "$home/again.tar" "$name"
    d c8d load -q -i "$home/again.tar" >/dev/null
    check "buildx: saved by lighter, loaded by c8d" "$digest" "$(id_of c8d "$name")"
    d lighter push -q "$name" >/dev/null
    check "buildx: pushed as a whole" "$digest" "$(digest_at bx/multi 1)"
    forget c8d "$name"; forget lighter "$name"
    d c8d pull -q "$name" >/dev/null
    check "buildx: pushed by lighter, pulled by c8d" "$digest" "$(id_of c8d "$name")"
    d lighter pull -q --platform linux/arm64 "$name" >/dev/null
    check "buildx: one platform of it" "arm64" "$(inspect lighter "$name" '{{.Architecture}}')"
    d dockerd load -q -i "$home/again.tar" >/dev/null
    check "buildx: saved by lighter, loaded by dockerd" "amd64" "$(inspect dockerd "$name" '{{.Architecture}}')"
}

begin
start_all
make_image oci made/oci:1
make_image docker made/docker:1
for image in made/oci:1 made/docker:1; do pulls $image; archives $image; done
pushes made/docker:1
buildx
echo "interop: $passed passed, $failed failed"
[ "$failed" = 0 ]
