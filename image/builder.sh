#!/bin/bash
# builder.sh DIRECTORY: the Debian 13 that builds and boots cards, so that every machine builds the same. Its mke2fs
# writes the same bytes twice (Debian 12's does not), its Python is the card's, its QEMU knows the raspi3b well.
set -euo pipefail
mmdebstrap --mode=root --variant=apt \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --include=arch-test,ca-certificates,debian-archive-keyring,dosfstools,e2fsprogs,fdisk,mount,mtools,python3,qemu-system-arm,xz-utils,zstd \
    trixie "$1"
