# Run in the card, from its boot partition, by a unit that the test hands to systemd on the kernel's command line.
# Says what it finds as lines beginning with SELFTEST, on the console.
say() { while read -r line; do echo "SELFTEST $1 $line"; done; }
systemctl is-system-running --wait | say state
systemctl --failed --no-legend --plain | cut -d' ' -f1 | say failed
for unit in bluezoned bluetooth ssh systemd-timesyncd grow-data; do echo "$unit $(systemctl is-active $unit)" | say active; done
systemd-analyze time | head -n 1 | say time
systemd-analyze blame | head -n 6 | say blame
free -m | sed -n 's/^Mem: *\([0-9]*\) *\([0-9]*\).*/total \1 used \2/p' | say memory
systemctl show bluezoned -p MemoryCurrent -p NRestarts -p StatusText -p User | say bluezoned
tries=40
until bluezonectl --json status >/run/status.json 2>&1 && { [ ! -e /boot/firmware/keys ] || ! grep -q '"keys_updated_at": null' /run/status.json; } ||
    [ $tries -eq 0 ]; do tries=$((tries - 1)); sleep 3; done
{ tr -d '\n' </run/status.json; echo; } | say status
systemctl show 'bluezoned-import@boot-firmware-keys' -p Result -p ExecMainStatus -p ConditionResult | xargs | say import
echo "$(hostname) $(tr -d '\0' </proc/device-tree/model), $(uname -r)" | say machine
ls /boot/firmware | grep bluezoned | xargs | say boot
grep -h = /etc/bluezoned/bluezoned.toml.d/*.toml 2>/dev/null | say setting
cat /home/pi/.ssh/authorized_keys 2>/dev/null | cut -d' ' -f3 | say key
sed -n 's/^ *\(ssid\|psk\)=.*/\1/p' /etc/wpa_supplicant/wpa_supplicant-wlan0.conf 2>/dev/null | say wifi
# The brackets: this script lies there too.
grep -a -c 'its-password-on-the-[c]ard' "$(findmnt -no SOURCE /boot/firmware)" | say password-on-fat
[ ! -e /boot/firmware/bluezoned-problems.txt ] || grep '^- ' /boot/firmware/bluezoned-problems.txt | say problem
findmnt -nro TARGET,FSTYPE,OPTIONS / /boot/firmware /data /tmp 2>/dev/null | say mount
for place in / /boot/firmware /data /var/lib/bluezoned /var/spool/bluezoned /tmp; do
    findmnt -nro TARGET,SOURCE,FSTYPE,SIZE,OPTIONS --bytes "$place" | say mount
done
stat -c '%U %G %a %n' /var/lib/bluezoned /var/spool/bluezoned /boot/firmware/config.txt | say owner
swapon --noheadings --show=NAME | say swap
database=/var/lib/bluezoned/bluezoned.db
[ ! -e $database ] || python3 -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("PRAGMA integrity_check").fetchone()[0])' $database 2>&1 | say database
ls -l /dev/gpiochip* 2>&1 | say gpio
getent shadow | awk -F: '$2 !~ /^[!*]/ { print $1 }' | say password
ss -Hltnu 2>/dev/null | awk '{ print $1, $5 }' | say listens
journalctl -b -u data.mount -u systemd-fsck@* -u grow-data -u systemd-growfs@* -o cat --no-pager | tail -n 8 | say data-log
journalctl -b -u bluezoned -u bluezoned-first-boot -u bluezoned-import@* -o cat --no-pager | tail -n 12 | say log
journalctl -b -p warning -o short-monotonic --no-pager | head -n 25 | say warning
echo SELFTEST done
sync
systemctl poweroff
