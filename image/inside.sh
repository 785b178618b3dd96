#!/bin/bash
# inside.sh BUILDER COMMAND...: run a command in the builder, with this machine's network and /proc, and with the
# directories of the tree and of the cache where they stand here. Its mounts and processes end with it. As root.
set -euo pipefail
builder=$1
shift
if [ "${CARD_BUILDER:-}" != inside ]; then
    CARD_BUILDER=inside exec unshare --mount --pid --fork --kill-child "$0" "$builder" "$@"
fi
tree=$(cd "$(dirname "$0")/.." && pwd)
cache=$(dirname "$builder")
mount -t proc proc "$builder/proc"
mount -t sysfs sysfs "$builder/sys"
mount --rbind /dev "$builder/dev"
cp /etc/hosts /etc/resolv.conf "$builder/etc/"
for place in "$tree" "$cache"; do
    mkdir -p "$builder$place"
done
mount --bind "$tree" "$builder$tree"
# Not --rbind: the builder lies in the cache itself.
mount --bind "$cache" "$builder$cache"
exec chroot "$builder" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
    SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-}" "$@"
