#!/bin/sh
# Makes the image lighter-apps:latest as a docker archive (target/images/apps.tar)
# of Debian's nginx, PostgreSQL, Redis and Python with all that they need, for
# the applications of docker-compat-tests/apps. No maintainer script is run: the
# packages are unpacked beside each other. Kept until this file changes.
. "$(dirname -- "$0")/lib.sh"

out=$IMAGES/apps.tar
if [ -s "$out" ] && [ "$out" -nt "$0" ]; then echo "$out"; exit 0; fi
[ "$(id -u)" = 0 ] || die "needs root, for the owners of files"

# Needed by maintainer scripts, by PostgreSQL's compiler of queries, or by nobody here.
leave_out='^(libllvm|libz3|perl|libperl|libjson-perl|liberror|locales|libc-l10n|postgresql-common|postgresql-client-common|dpkg|tar|openssl|debconf|passwd|iproute2|adduser|ssl-cert|ucf|sensible-utils|libpam-|libsemanage|libsepol|lsb-|init-system|netbase|cdebconf|gcc-)'

work=$TARGET/images/apps.$$
trap 'rm -rf "$work"' EXIT INT TERM
mkdir -p "$work/state" "$work/debs/partial" "$work/root" "$work/image"
: >"$work/state/status"
need_debian
apps() {
    apt-get -qq -o Dir::State::status="$work/state/status" -o APT::Install-Recommends=0 "$@" \
        nginx-light postgresql-15 redis-server python3-minimal python3-psycopg2 dash coreutils
}
list() { apps --print-uris install 2>/dev/null | awk '{print $2}' | sed 's/_.*//' | grep -Ev "$leave_out"; }
packages=$(list) || { as_root apt-get -qq update; packages=$(list); } || die "apt knows no such packages"
say "fetching $(echo "$packages" | wc -l) packages"
# shellcheck disable=SC2086
(cd "$work/debs" && apt-get -qq -o APT::Sandbox::User= download $packages) || {
    as_root apt-get -qq update
    packages=$(list)
    # shellcheck disable=SC2086
    (cd "$work/debs" && rm -f ./*.deb && apt-get -qq -o APT::Sandbox::User= download $packages)
} || die "cannot download the packages"

root=$work/root
umask 022
cd "$root"
mkdir -p usr/bin usr/sbin usr/lib usr/lib64
ln -s usr/bin bin && ln -s usr/sbin sbin && ln -s usr/lib lib && ln -s usr/lib64 lib64
for deb in "$work"/debs/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root" --exclude='./usr/share/doc/*' \
        --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' --exclude='*/llvmjit*' --exclude='*/bitcode/*'
done
[ -x bin/sh ] || ln -s dash bin/sh
[ -e usr/bin/python3 ] || die "the packages hold no python3"
mkdir -p tmp run etc data var/lib/postgresql/data var/lib/redis root
chmod 1777 tmp
cat >etc/passwd <<'END'
root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/false
postgres:x:101:101:postgres:/var/lib/postgresql:/bin/sh
redis:x:102:102:redis:/var/lib/redis:/bin/false
END
printf 'root:x:0:\nwww-data:x:33:\npostgres:x:101:\nredis:x:102:\n' >etc/group
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >etc/nsswitch.conf
mkdir -p run/postgresql
chown -R 101:101 var/lib/postgresql run/postgresql
chown -R 102:102 var/lib/redis

image=$work/image
tar --sort=name --mtime=@0 --numeric-owner --format=ustar -C "$root" -cf "$image/layer.tar" .
diff_id=$(sha256sum "$image/layer.tar" | cut -d' ' -f1)
mkdir "$image/$diff_id"
mv "$image/layer.tar" "$image/$diff_id/layer.tar"
arch=$(dpkg --print-architecture)
printf '{"architecture":"%s","config":{"Env":["PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin","LC_ALL=C"],"Cmd":["sh"]},"created":"1970-01-01T00:00:00Z","history":[{"created":"1970-01-01T00:00:00Z","created_by":"packages of Debian"}],"os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$arch" "$diff_id" >"$image/config.json"
config=$(sha256sum "$image/config.json" | cut -d' ' -f1)
mv "$image/config.json" "$image/$config.json"
printf '[{"Config":"%s.json","RepoTags":["lighter-apps:latest"],"Layers":["%s/layer.tar"]}]' "$config" "$diff_id" >"$image/manifest.json"
tar -C "$image" -cf "$work/apps.tar" "$config.json" "$diff_id" manifest.json
mv "$work/apps.tar" "$out"
say "made $out ($(du -h "$out" | cut -f1))"
echo "$out"
