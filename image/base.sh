#!/bin/bash
# base.sh OUT.tar: the card's Debian without bluezoned, for arm64. As root; the long part, and kept. Not in the builder:
# there mmdebstrap mounts no /proc for what it makes, and raspi-firmware's hook fails without.
#
# Three things keep the emulated part short: a first file system with few modules, no byte-compiling (the builder's own
# Python does it in card.sh, as the code is the same on every processor), and no question about changed settings files.
set -euo pipefail
out=$1
here=$(cd "$(dirname "$0")" && pwd)
packages=$(sed 's/#.*//' "$here/packages" | xargs | tr ' ' ',')
keep() { echo "--dpkgopt=path-include=$1"; }
drop() { echo "--dpkgopt=path-exclude=$1"; }
modules=/usr/lib/modules/*/kernel

mmdebstrap --mode=root --architectures=arm64 --variant=minbase --components='main non-free-firmware' \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt=force-confold --dpkgopt=force-confdef \
    "$(drop '/usr/share/man/*')" "$(drop '/usr/share/locale/*')" "$(keep '/usr/share/locale/locale.alias')" \
    "$(drop '/usr/share/doc/*')" "$(keep '/usr/share/doc/*/copyright')" "$(drop /usr/bin/py3compile)" \
    "$(drop "$modules/sound/*")" "$(drop "$modules/drivers/infiniband/*")" "$(drop "$modules/drivers/media/*")" \
    "$(drop "$modules/drivers/gpu/drm/amd/*")" "$(drop "$modules/drivers/gpu/drm/nouveau/*")" \
    "$(drop "$modules/drivers/gpu/drm/radeon/*")" \
    --essential-hook="mkdir -p \"\$1/boot/firmware\" && cp -RT '$here/early' \"\$1\"" \
    --include="$packages" \
    trixie "$out"
