#!/bin/bash
# build.sh: a flashable card into build/image. As root, on Debian. Builder and base are kept, by the content of what they
# are made from, in BLUEZONED_IMAGE_CACHE or ~/.cache/bluezoned/image: 1 minute and 10 of an idle machine, once. The
# card itself takes 2. URL: where the image will be fetched, for Raspberry Pi Imager.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD/image
cache=${BLUEZONED_IMAGE_CACHE:-$HOME/.cache/bluezoned/image}
[ "$(id -u)" -eq 0 ] || { echo "make image needs root: its owners and its chroots" >&2; exit 1; }

./need.sh mmdebstrap qemu-user-static binfmt-support arch-test
mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
update-binfmts --enable 2>/dev/null || true
arch-test arm64 >/dev/null || { echo "this machine does not run arm64 programs (qemu-user-static, binfmt)" >&2; exit 1; }

recipe() { cat "$@" | sha256sum | cut -c1-16; }
mkdir -p "$cache" build/image
builder=$cache/builder-$(recipe image/builder.sh)
base=$cache/base-$(cd image && recipe base.sh packages early/etc/*/*/card early/etc/*/modules early/etc/default/* early/etc/fstab).tar
if [ ! -e "$builder" ]; then
    echo "building the builder in $builder: one or two minutes"
    rm -rf "$builder.new"
    image/builder.sh "$builder.new"
    mv "$builder.new" "$builder"
fi
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -S Timestamp)
export SOURCE_DATE_EPOCH
if [ ! -e "$base" ]; then
    echo "building the base in $base: ten minutes and more"
    image/base.sh "$base.new.tar"
    mv "$base.new.tar" "$base"
fi

version=$(dpkg-parsechangelog -S Version)
out=$PWD/build/image/bluezoned-$version-arm64
image/inside.sh "$builder" "$here/card.sh" "$base" "$PWD/build/deb/bluezoned_${version}_arm64.deb" "$out"
echo "packing"
xz -T2 -3 -k -f "$out.img"
python3 image/manifest.py "$out.img" "$out.img.xz" "${URL:-}" >"build/image/bluezoned.rpi-imager-manifest"
(cd build/image && sha256sum "$(basename "$out").img.xz" | tee SHA256SUMS)
ls -l build/image
