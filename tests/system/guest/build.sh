#!/bin/bash
# build.sh SUITE OUT: the guest's kernel, first file system and disk, of Debian's own packages, with the wheels that
# OUT/requirements.txt names. As root.
set -euo pipefail
suite=$1
out=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$out/root
python=$([ "$suite" = bookworm ] && echo 3.11 || echo 3.13)
packages=systemd,systemd-sysv,dbus,udev,kmod,procps,rfkill,polkitd,linux-image-amd64,initramfs-tools,bluez,python3,python3-systemd,gpiod

# linux-image-cloud-amd64 has no Bluetooth.
mmdebstrap --quiet --variant=minbase \
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --include="$packages" \
    --setup-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"; printf "MODULES=most\nCOMPRESS=zstd\n" > "$1/etc/initramfs-tools/conf.d/vm"' \
    "$suite" "$root"

platforms=$(for libc in 2_36 2_34 2_28 2_17 2_12 2_5; do echo "--platform manylinux_${libc}_x86_64"; done)
wheels() {
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$root/opt/wheels" \
        --python-version "$python" $platforms --platform manylinux2014_x86_64 --platform manylinux1_x86_64 \
        --platform any --implementation cp --only-binary=:all: "$@"
}
wheels --requirement "$out/requirements.txt"
# Only its shared library is wanted, none of what its Python side needs.
wheels --no-deps 'rootcanal==1.13.0'
if [ "$suite" = bookworm ]; then
    # It was linked against a newer C library than this suite's, which the medium alone is run with.
    mmdebstrap --quiet --variant=extract --include=libc6,libstdc++6,libgcc-s1 trixie "$root/opt/newer"
fi

bash "$here/gpio-sim.sh" "$suite" "$root"

echo bluezoned-vm > "$root/etc/hostname"
printf '127.0.0.1 localhost bluezoned-vm\n' > "$root/etc/hosts"
printf '/dev/vda / ext4 rw,noatime 0 0\n' > "$root/etc/fstab"
install -m 755 "$here/agent" "$root/usr/local/sbin/agent"
install -m 644 "$here/agent.service" "$root/etc/systemd/system/agent.service"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/etc/systemd/journald.conf.d"
ln -s ../agent.service "$root/etc/systemd/system/multi-user.target.wants/agent.service"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=64M\nRateLimitIntervalSec=0\n' \
    > "$root/etc/systemd/journald.conf.d/vm.conf"
# What a machine that lives for ten minutes need not wait for.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer systemd-pcrphase.service systemd-timesyncd.service systemd-hwdb-update.service \
    systemd-journal-flush.service systemd-update-utmp.service getty@tty1.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
chroot "$root" python3 -m compileall -q -j 2 /opt/wheels > /dev/null || true
rm -rf "$root/var/cache/apt/"* "$root/var/lib/apt/lists/"*

cp -L "$root/vmlinuz" "$out/vmlinuz"
cp -L "$root/initrd.img" "$out/initrd.img"
size=$(du -sm "$root" | cut -f1)
mke2fs -q -t ext4 -O ^has_journal -d "$root" "$out/disk.new" $((size * 13 / 10 + 300))M
rm -rf "$root"
mv "$out/disk.new" "$out/disk"
