#!/bin/bash
# card.sh BASE.tar PACKAGE.deb OUT: the card's image OUT.img and what goes beside it. In the builder, as root. Neither
# mounts nor loop devices: mtools and mke2fs fill the file systems. The same bytes from the same base and package.
set -euo pipefail
base=$1 package=$2 out=$3
here=$(cd "$(dirname "$0")" && pwd)
export SOURCE_DATE_EPOCH MTOOLS_SKIP_CHECK=1
# The root does not grow: half of it is room for updates. DATA does, to the card's end.
firmware_mb=256 root_mb=1536 data_mb=32 align_mb=4

work=$(mktemp -d -p "$(dirname "$out")")
trap 'umount -q "$work/root/proc" || true; rm -rf "$work"' EXIT
root=$work/root
mkdir "$root"
tar -C "$root" --numeric-owner --xattrs --xattrs-include='*' -xpf "$base"
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }

# systemd-tmpfiles and systemctl do nothing without.
mount -t proc proc "$root/proc"
cp "$package" "$root/tmp/bluezoned.deb"
inside dpkg --force-confold --install /tmp/bluezoned.deb
rm "$root/tmp/bluezoned.deb"
# The version before the first update is this one: where an update goes back to.
install -D -m 600 "$package" "$root/var/lib/bluezoned-update/installed.deb"
cp -RT "$here/overlay" "$work/overlay"
chmod -R u=rwX,go=rX "$work/overlay"
chmod 440 "$work/overlay/etc/sudoers.d/pi"
cp -aT "$work/overlay" "$root"
# Keys laid on the boot partition are taken in by bluezoned-import@, whose group may read there and which has no network;
# bluezoned-sync, which has, does not see it.
spool=$(inside getent group bluezoned-spool | cut -d: -f3)
sed -i "s/fmask=0177,dmask=0077/fmask=0137,dmask=0027,gid=$spool/" "$root/etc/fstab"
grep -q "dmask=0027,gid=[0-9]" "$root/etc/fstab"
# From here on a new kernel or module brings a new first file system, as usual.
printf 'update_initramfs=yes\nbackup_initramfs=no\n' >"$root/etc/initramfs-tools/update-initramfs.conf"

# Nobody has a password; pi comes in by key, where one was given on the boot partition.
inside useradd --uid 1000 --create-home --shell /bin/bash --groups sudo,bluezoned pi
inside passwd --lock root >/dev/null
inside systemctl --quiet enable ssh-host-keys grow-data systemd-networkd systemd-resolved systemd-timesyncd \
    bluetooth bluezoned bluezoned-first-boot
inside systemctl --quiet disable ssh.service wpa_supplicant.service apt-daily.timer apt-daily-upgrade.timer \
    e2scrub_all.timer fstrim.timer
inside systemctl --quiet mask ssh.socket systemd-hwdb-update.service
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
echo bluezoned >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 bluezoned\n::1 localhost\n' >"$root/etc/hosts"

# Byte-code here, not under emulation: it is the same on every processor, and this Python is the card's.
find "$root/usr/lib/bluezoned" -name __pycache__ -prune -exec rm -rf {} +
python3 -m compileall -q -j 2 -s "$root" -p / "$root/usr/lib/python3/dist-packages" "$root/usr/lib/bluezoned/python" ||
    echo "some modules of Debian's do not compile, as they are for other Pythons"
[ -e "$root/usr/bin/py3compile" ] || cp /usr/bin/py3compile "$root/usr/bin/"

# What each card must make for itself, and what nobody needs.
: >"$root/etc/machine-id"
rm -rf "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root"/var/lib/apt/lists/* \
    "$root"/var/cache/apt/* "$root"/var/log/* "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$root"/etc/*- \
    "$root/var/lib/systemd/random-seed" "$root"/var/cache/ldconfig/aux-cache "$root"/tmp/*
python3 "$here/sbom.py" "$root" >"$out.sbom.json"

# Keys and encounters on a partition of their own.
mkdir -p "$work/data" "$root/data"
inside install -d -o bluezoned -g bluezoned -m 700 /var/lib/bluezoned
umount "$root/proc"
mv "$root/var/spool/bluezoned" "$work/data/spool"
mkdir -p -m 755 "$root/var/spool/bluezoned"
mv "$root/var/lib/bluezoned" "$work/data/state"
mkdir -m 700 "$root/var/lib/bluezoned"

mv "$root/boot/firmware" "$work/firmware"
mkdir -m 755 "$root/boot/firmware"
find "$work" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +

truncate -s ${firmware_mb}M "$work/firmware.img"
mkfs.vfat -F 32 -n FIRMWARE -i B1E20000 --invariant "$work/firmware.img" >/dev/null
mcopy -i "$work/firmware.img" -s -m -Q "$work"/firmware/* ::/

ext4() { # DIRECTORY IMAGE LABEL MEGABYTES UUID OPTION...
    local directory=$1 image=$2 label=$3 megabytes=$4 uuid=$5
    shift 5
    truncate -s "${megabytes}M" "$image"
    # Without the last two, which older kernels cannot repair; the rest of a card is read elsewhere too.
    mke2fs -q -t ext4 -L "$label" -U "$uuid" -E "hash_seed=$uuid,lazy_itable_init=0,lazy_journal_init=0" \
        -O ^metadata_csum_seed,^orphan_file -m 1 "$@" -d "$directory" "$image"
    e2fsck -fn "$image" >/dev/null
}
ext4 "$root" "$work/root.img" ROOT $root_mb b1e20000-0000-4000-8000-000000000001
# It grows a thousandfold, and what mke2fs chooses for so small a file system would not do then.
ext4 "$work/data" "$work/data.img" DATA $data_mb b1e20000-0000-4000-8000-000000000002 -b 4096 -i 16384 -J size=8

truncate -s $((align_mb + firmware_mb + root_mb + data_mb))M "$out.img"
# MBR: the boot ROM of a Pi 3 or Zero 2 W reads nothing else. Aligned to the cards' erase blocks.
sfdisk -q "$out.img" <<TABLE
label: dos
label-id: 0xb1e20000
start=$((align_mb * 2048)), size=$((firmware_mb * 2048)), type=c, bootable
start=$(((align_mb + firmware_mb) * 2048)), size=$((root_mb * 2048)), type=83
start=$(((align_mb + firmware_mb + root_mb) * 2048)), size=$((data_mb * 2048)), type=83
TABLE
lay() { dd if="$work/$1.img" of="$out.img" bs=1M seek="$2" conv=notrunc,sparse status=none; }
lay firmware $align_mb
lay root $((align_mb + firmware_mb))
lay data $((align_mb + firmware_mb + root_mb))
