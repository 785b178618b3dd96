#!/bin/bash -e
install -m 644 files/bluezoned_*_arm64.deb "$ROOTFS_DIR/tmp/bluezoned.deb"
# A card wears by writing: the log lives in memory.
install -D -m 644 ../../../overlay/etc/systemd/journald.conf.d/10-card.conf \
	"$ROOTFS_DIR/etc/systemd/journald.conf.d/10-card.conf"
install -m 644 ../../../overlay/boot/firmware/bluezoned.toml.example "$ROOTFS_DIR/boot/firmware/"
on_chroot <<-EOF
	apt-get install -y --no-install-recommends /tmp/bluezoned.deb
	rm /tmp/bluezoned.deb
	systemctl enable bluetooth.service bluezoned.service bluezoned-first-boot.service
EOF
