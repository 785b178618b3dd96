#!/bin/bash
# build.sh: a flashable card into build/image, from the package in build/deb. As root, on Debian. Builder and base are
# kept, by the content of what they are made from, in BLUEZONED_IMAGE_CACHE or ~/.cache/bluezoned/image.
#
#   URL    where the image will be fetched, for Raspberry Pi Imager's list
#   CARD   builder: make the builder alone, which boots cards too
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD/image
cache=${BLUEZONED_IMAGE_CACHE:-$HOME/.cache/bluezoned/image}

say() { printf 'image: %s (%d:%02d)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }
refuse() {
    echo "image: $*" >&2
    exit 1
}
[ "$(id -u)" -eq 0 ] || refuse "only root can give files away and build in a chroot: sudo make image"

recipe() { cat "$@" | sha256sum | cut -c1-16; }
early() { find image/early -type f | LC_ALL=C sort; }
builder=$cache/builder-$(recipe image/builder.sh)
base=$cache/base-$(recipe image/base.sh image/packages $(early)).tar
mkdir -p "$cache" build/image
if [ ! -e "$builder" ]; then
    ./need.sh mmdebstrap
    say "making the Debian that builds and boots cards, in $builder: one to three minutes, once"
    rm -rf "$builder.new"
    image/builder.sh "$builder.new"
    mv "$builder.new" "$builder"
fi
ln -sfT "$builder" build/image/builder
[ "${CARD:-}" != builder ] || exit 0

version=$(dpkg-parsechangelog -S Version)
package=$PWD/build/deb/bluezoned_${version}_arm64.deb
[ -e "$package" ] || refuse "there is no $package: make deb"
if [ ! -e "$base" ]; then
    ./need.sh mmdebstrap qemu-user-static binfmt-support arch-test
    mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    # Where nothing is started at an installation, as in a container, it was not told of to the kernel either.
    arch-test arm64 >/dev/null || update-binfmts --enable qemu-aarch64 || true
    arch-test arm64 >/dev/null || refuse "this machine runs no arm64 programs: qemu-user-static, binfmt-support"
    say "making the card's Debian in $base: ten minutes of an idle machine and more, once"
    image/base.sh "$base.new.tar"
    mv "$base.new.tar" "$base"
fi

SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -S Timestamp)
export SOURCE_DATE_EPOCH
out=$PWD/build/image/bluezoned-$version-arm64
rm -f "$out".* build/image/bluezoned.rpi-imager-manifest build/image/SHA256SUMS
say "putting bluezoned on the card: a minute"
image/inside.sh "$builder" "$here/card.sh" "$base" "$package" "$out" >"$out.log" 2>&1 || {
    tail -n 30 "$out.log" >&2
    refuse "the card could not be made: $out.log"
}
say "packing it: a minute or two"
xz -T2 -3 -k "$out.img"
python3 image/manifest.py "$out.img" "$out.img.xz" "${URL:-}" >build/image/bluezoned.rpi-imager-manifest
(cd build/image && sha256sum "${out##*/}.img.xz" "${out##*/}.sbom.json" bluezoned.rpi-imager-manifest >SHA256SUMS)
say "done: $out.img.xz, $(($(stat -c %s "$out.img.xz") / 1000000)) MB"
ls -l build/image
