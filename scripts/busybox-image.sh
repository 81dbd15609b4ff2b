#!/bin/sh
# Makes the image busybox:latest as a docker archive (target/images/busybox.tar)
# from Debian's busybox-static, for machines with no registry at hand. Uses
# nothing beyond dpkg-deb, tar, coreutils and the busybox it unpacks, and gives
# the same bytes for the same package.
. "$(dirname -- "$0")/lib.sh"

out=$IMAGES/busybox.tar
if [ -s "$out" ] && [ "$out" -nt "$0" ]; then echo "$out"; exit 0; fi

work=$TARGET/images/work.$$
trap 'rm -rf "$work"' EXIT INT TERM
mkdir -p "$work/deb" "$work/root" "$work/image"
stable_fetch "$work/deb" busybox-static
busybox=$(find "$work/deb" -type f -name busybox -perm -u+x | head -n 1)
[ -n "$busybox" ] || die "the package busybox-static holds no busybox"

root=$work/root
(
    umask 022
    cd "$root"
    mkdir -p bin dev etc home/app lib proc root run sbin sys tmp usr/bin usr/sbin var/log var/spool/mail var/tmp
    chmod 1777 tmp var/tmp
    chmod 700 root
    install -m 0755 "$busybox" bin/busybox
    for applet in $("$busybox" --list); do
        [ "$applet" = busybox ] || ln -s /bin/busybox "bin/$applet"
    done
    ln -s /bin/env usr/bin/env
    cat >etc/passwd <<'END'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
app:x:1000:1000:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/home:/bin/false
END
    cat >etc/group <<'END'
root:x:0:
daemon:x:1:
wheel:x:10:root
extra:x:2000:app
app:x:1000:
nogroup:x:65534:
END
    printf 'root:!::0:::::\napp:!::0:::::\nnobody:!::0:::::\n' >etc/shadow
    chmod 640 etc/shadow
    printf 'passwd: files\ngroup: files\nhosts: files dns\n' >etc/nsswitch.conf
)

# det_tar ARCHIVE DIR NAME...: a tar that depends on the contents only.
det_tar() {
    archive=$1 dir=$2; shift 2
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -C "$dir" -cf "$archive" "$@"
}
image=$work/image
# The home of `app` belongs to it; one owner for a whole tar, so two passes.
(cd "$root" && tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar \
    --exclude=./home/app -cf "$image/layer.tar" ./* &&
    tar --mtime=@0 --owner=1000 --group=1000 --numeric-owner --format=ustar -rf "$image/layer.tar" ./home/app)
diff_id=$(sha256sum "$image/layer.tar" | cut -d' ' -f1)
mkdir "$image/$diff_id"
mv "$image/layer.tar" "$image/$diff_id/layer.tar"
case $(dpkg --print-architecture) in
arm64) arch=arm64 variant=',"variant":"v8"' ;;
*) arch=$(dpkg --print-architecture) variant= ;;
esac
printf '{"architecture":"%s"%s,"config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["sh"]},"created":"1970-01-01T00:00:00Z","history":[{"created":"1970-01-01T00:00:00Z","created_by":"ADD busybox-static of Debian in /"},{"created":"1970-01-01T00:00:00Z","created_by":"CMD [\\"sh\\"]","empty_layer":true}],"os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$arch" "$variant" "$diff_id" >"$image/config.json"
config=$(sha256sum "$image/config.json" | cut -d' ' -f1)
mv "$image/config.json" "$image/$config.json"
printf '[{"Config":"%s.json","RepoTags":["busybox:latest"],"Layers":["%s/layer.tar"]}]' "$config" "$diff_id" >"$image/manifest.json"
det_tar "$work/busybox.tar" "$image" "$config.json" "$diff_id" manifest.json
mv "$work/busybox.tar" "$out"
say "made $out (image sha256:$config)"
echo "$out"
