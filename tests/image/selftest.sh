# Run in the card, from its boot partition, by a unit that the test hands to systemd on the kernel's command line.
# Says what it finds as lines beginning with SELFTEST, on the console.
say() { while read -r line; do echo "SELFTEST $1 $line"; done; }
systemctl is-system-running --wait | say state
systemctl --failed --no-legend --plain | cut -d' ' -f1 | say failed
systemctl is-active bluezoned bluetooth ssh | xargs | say active
systemd-analyze time | head -n 1 | say time
free -m | sed -n 's/^Mem: *\([0-9]*\) *\([0-9]*\).*/\1 \2/p' | say memory
systemctl show bluezoned -p MemoryCurrent -p NRestarts -p StatusText | say bluezoned
tries=10
until bluezonectl --json status >/run/status.json 2>&1 || [ $tries -eq 0 ]; do tries=$((tries - 1)); sleep 3; done
say status </run/status.json
hostname | say hostname
ls /boot/firmware | grep bluezoned | xargs | say boot
cat /etc/bluezoned/bluezoned.toml.d/*.toml 2>/dev/null | grep = | say setting
[ ! -e /boot/firmware/bluezoned-problems.txt ] || grep '^- ' /boot/firmware/bluezoned-problems.txt | say problem
findmnt -bnro TARGET,SOURCE,SIZE,OPTIONS / /data 2>/dev/null | say mount
findmnt -bnro SIZE /data | say data
findmnt -nro TARGET /var/lib/bluezoned | say state-dir
sqlite=$(ls /var/lib/bluezoned/*.db 2>/dev/null | head -n 1)
[ -z "$sqlite" ] || python3 -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("PRAGMA integrity_check").fetchone()[0])' "$sqlite" 2>&1 | say database
ls -l /dev/gpiochip* 2>&1 | say gpio
getent shadow | awk -F: '$2 !~ /^[!*]/ { print $1 }' | say password
journalctl -b -u data.mount -u systemd-fsck@* -u grow-data -o cat --no-pager | tail -n 5 | say data-log
journalctl -b -u bluezoned -u bluezoned-first-boot -o cat --no-pager | tail -n 8 | say log
echo SELFTEST done
sync
[ -e /boot/firmware/selftest.stay ] || systemctl poweroff
