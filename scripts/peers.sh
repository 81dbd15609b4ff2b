#!/bin/sh
# Gets the daemons we compare ourselves with: dockerd (of Debian sid, unpacked
# under target/peers, never installed; and with --stable also Debian 12's
# docker.io) and Podman of Debian 12. Starts nothing.
#
# usage: peers.sh [--podman] [--stable]
. "$(dirname -- "$0")/lib.sh"

need_debian
# dockerd of sid is linked against these; iptables it calls for its bridge.
apt_install iproute2 curl ca-certificates iptables libseccomp2 libsystemd0 libnftables1 kmod
if ! [ -x "$PEERS/root/usr/sbin/dockerd" ]; then
    sid_fetch "$PEERS/root" docker.io containerd
fi
# sid's runc and tini want a newer glibc than Debian 12 has; take our own's.
if ! [ -x "$PEERS/root/usr/sbin/runc" ] || ! "$PEERS/root/usr/sbin/runc" --version >/dev/null 2>&1; then
    stable_fetch "$PEERS/root" runc tini
fi
mkdir -p "$PEERS/bin"
for f in usr/sbin/dockerd usr/bin/docker-proxy usr/sbin/docker-proxy usr/bin/containerd \
    usr/bin/containerd-shim-runc-v2 usr/bin/runc usr/sbin/runc; do
    [ -e "$PEERS/root/$f" ] && ln -sf "$PEERS/root/$f" "$PEERS/bin/${f##*/}"
done
# dockerd looks for its init under the name docker-init.
for f in usr/bin/tini-static usr/bin/tini; do
    if [ -e "$PEERS/root/$f" ]; then ln -sf "$PEERS/root/$f" "$PEERS/bin/docker-init"; break; fi
done
for p in dockerd containerd runc containerd-shim-runc-v2; do
    "$PEERS/bin/$p" --version >/dev/null 2>&1 || "$PEERS/bin/$p" -v >/dev/null 2>&1 ||
        die "$p of Debian sid does not run here: $("$PEERS/bin/$p" --version 2>&1 | head -n 3)"
done
say "$("$PEERS/bin/dockerd" --version)"
for a in "$@"; do
    case $a in
    --podman) apt_install podman crun conmon catatonit ;;
    --stable) apt_install docker.io ;;
    *) die "usage: peers.sh [--podman] [--stable]" ;;
    esac
done
