# shellcheck shell=sh
# Helpers shared by the scripts of this directory; sourced, never run.
# Everything these scripts fetch or make lives under <repository>/target, so
# that a clone stays clean and `cargo clean` takes it all away.

set -eu

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
CLIENTS=$TARGET/clients
PEERS=$TARGET/peers
IMAGES=$TARGET/images
DEBS=$TARGET/debs
export ROOT TARGET CLIENTS PEERS IMAGES DEBS

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

have() { command -v "$1" >/dev/null 2>&1; }

need_debian() {
    have apt-get && have dpkg-deb || die "needs apt-get and dpkg-deb (Debian or Ubuntu)"
}

# as_root CMD...: run it as root, through sudo when we are not.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo; then sudo "$@"
    else die "needs root for: $*"; fi
}

# apt_install PACKAGE...: install what is missing, starting no service.
apt_install() {
    missing=
    for p in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -q '^installed$' || missing="$missing $p"
    done
    [ -n "$missing" ] || return 0
    say "installing$missing"
    guard=
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        # 101 = "action forbidden by policy": maintainer scripts start nothing.
        guard=$(mktemp)
        printf '#!/bin/sh\nexit 101\n' >"$guard"
        as_root install -m 0755 "$guard" /usr/sbin/policy-rc.d
    fi
    rc=0
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update || say "apt-get update failed; trying with the lists there are"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends $missing >/dev/null || rc=$?
    if [ -n "$guard" ]; then as_root rm -f /usr/sbin/policy-rc.d "$guard"; fi
    [ "$rc" = 0 ] || die "apt-get could not install:$missing"
}

# suite_apt SUITE CMD...: apt-get with its own sources, state and cache, which
# know only that suite of Debian. The machine's own apt configuration is neither
# read for sources nor written, so nothing of it can reach an installed package.
# A mirror that lags by weeks will do: the lists' signatures are checked, their
# age is not.
suite_apt_dir() {
    if [ "$1" = sid ]; then echo "$CLIENTS/apt"; else echo "$CLIENTS/apt-$1"; fi
}
suite_apt_setup() {
    need_debian
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -r "$keyring" ] || die "no $keyring: install the package debian-archive-keyring"
    dir=$(suite_apt_dir "$1")
    mkdir -p "$dir/etc/preferences.d" "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/empty"
    : >"$dir/state/status"
    mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$1" >"$dir/etc/sources.list"
}
suite_apt() {
    dir=$(suite_apt_dir "$1"); shift
    apt-get -qq \
        -o Dir::Etc::SourceList="$dir/etc/sources.list" \
        -o Dir::Etc::SourceParts="$dir/empty" \
        -o Dir::Etc::Preferences="$dir/empty/none" \
        -o Dir::Etc::PreferencesParts="$dir/etc/preferences.d" \
        -o Dir::State="$dir/state" \
        -o Dir::State::Lists="$dir/state/lists" \
        -o Dir::State::status="$dir/state/status" \
        -o Dir::Cache="$dir/cache" \
        -o Acquire::Languages=none \
        -o Acquire::Check-Valid-Until=false \
        -o APT::Sandbox::User= \
        -o Acquire::Retries=3 \
        "$@"
}

# suite_fetch SUITE DEST PACKAGE...: download the packages of that suite and
# unpack them into DEST, replacing nothing else there.
suite_fetch() {
    suite=$1 dest=$2; shift 2
    suite_apt_setup "$suite"
    say "fetching from Debian $suite: $*"
    suite_apt "$suite" update || die "cannot read the package lists of Debian $suite (is the network or the mirror down?)"
    mkdir -p "$dest" "$DEBS/$suite"
    for p in "$@"; do
        rm -f "$DEBS/$suite/${p}"_*.deb
        (cd "$DEBS/$suite" && suite_apt "$suite" download "$p") || die "cannot download the package $p of Debian $suite"
        dpkg-deb -x "$DEBS/$suite/${p}"_*.deb "$dest" || die "cannot unpack the package $p"
    done
}
sid_fetch() { suite_fetch sid "$@"; }

# stable_fetch DEST PACKAGE...: the same from the sources this machine has.
stable_fetch() {
    dest=$1; shift
    need_debian
    mkdir -p "$dest" "$DEBS/stable"
    for p in "$@"; do
        rm -f "$DEBS/stable/${p}"_*.deb
        (cd "$DEBS/stable" && apt-get -qq -o APT::Sandbox::User= download "$p") || {
            as_root apt-get -qq update
            (cd "$DEBS/stable" && apt-get -qq -o APT::Sandbox::User= download "$p")
        } || die "cannot download the package $p"
        dpkg-deb -x "$DEBS/stable/${p}"_*.deb "$dest" || die "cannot unpack the package $p"
    done
}

# cargo_cmd: finds cargo; under sudo that is the calling user's, and it runs as
# that user, so that neither their target directory nor ~/.cargo becomes root's.
# Afterwards: run_cargo CMD...
cargo_cmd() {
    if [ "$(id -u)" = 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ]; then
        user_home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
        run_cargo() { sudo -H -u "$SUDO_USER" env PATH="$user_home/.cargo/bin:$PATH" "$@"; }
        run_cargo cargo --version >/dev/null 2>&1 && return
    fi
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    export PATH
    run_cargo() { "$@"; }
    have cargo || die "no cargo: install Rust first (https://rustup.rs)"
}
