#!/bin/sh
# make install, make uninstall: install.sh install|uninstall box|authority
# For a package: DESTDIR=... install.sh lay box|authority, the files beside the programs alone.
#
# The programs go into a virtual environment of their own, /opt/bluezoned: Debian's bleak is too old, its Python must
# not be added to by pip, and removing one directory removes all. Their names in $PREFIX/bin lead there. Units and
# policies stand where systemd, D-Bus, polkit and udev look, which no PREFIX moves.
#
#   DESTDIR    put everything below this directory, for a package or an image; nothing is started or reloaded
#   PREFIX     of bin, lib and share (/usr)
#   OPT        of the virtual environment (/opt/bluezoned)
#   WHEELS     take every dependency from this directory instead of the network; make wheels fills it
#   WHEEL      install this wheel of the project instead of building one
#   PIP_ARGS   more words for pip install
#   PURGE=1    uninstall: settings, keys, encounters and users too
set -eu
cd "$(dirname "$0")"

act=${1:-} part=${2:-}
DESTDIR=${DESTDIR:-} PREFIX=${PREFIX:-/usr} OPT=${OPT:-/opt/bluezoned}
for path in "$PREFIX" "$OPT"; do
    # What is removed below them must not be the machine.
    case $path in
        /?*) ;;
        *)
            echo "PREFIX and OPT are absolute paths, and not /" >&2
            exit 2
            ;;
    esac
done
root=${DESTDIR%/}
share=$PREFIX/share/bluezoned

case $act-$part in
    install-box | uninstall-box | lay-box)
        programs="bluezoned bluezoned-sync bluezoned-display bluezonectl bluezoned-first-boot"
        services="bluezoned.service bluezoned-sync.timer bluezoned-display.service"
        users="bluezoned bluezoned-sync bluezoned-display" groups="bluezoned-spool"
        kept="/etc/bluezoned /var/lib/bluezoned /var/spool/bluezoned"
        ;;
    install-authority | uninstall-authority | lay-authority)
        programs="bluezone-authority"
        services="bluezone-authority.service"
        users="bluezone-authority" groups=""
        kept="/var/lib/bluezone-authority"
        ;;
    *)
        echo "usage: install.sh install|uninstall|lay box|authority" >&2
        exit 2
        ;;
esac

# Each file of the part: where it stands here, where it goes, its mode.
files() {
    units=/usr/lib/systemd/system
    if [ "$part" = authority ]; then
        cat <<TABLE
systemd/bluezone-authority.service $units/bluezone-authority.service 644
systemd/bluezone-authority.sysusers /usr/lib/sysusers.d/bluezone-authority.conf 644
systemd/bluezone-authority.tmpfiles /usr/lib/tmpfiles.d/bluezone-authority.conf 644
TABLE
        pages
        return
    fi
    cat <<TABLE
systemd/bluezoned.service $units/bluezoned.service 644
systemd/bluezoned@.service $units/bluezoned@.service 644
systemd/bluezoned-sync.service $units/bluezoned-sync.service 644
systemd/bluezoned-sync@.service $units/bluezoned-sync@.service 644
systemd/bluezoned-sync.timer $units/bluezoned-sync.timer 644
systemd/bluezoned-sync@.timer $units/bluezoned-sync@.timer 644
systemd/bluezoned-import@.service $units/bluezoned-import@.service 644
systemd/media-bluezoned.mount $units/media-bluezoned.mount 644
systemd/bluezoned-display.service $units/bluezoned-display.service 644
systemd/bluezoned-first-boot.service $units/bluezoned-first-boot.service 644
systemd/bluezoned-bt-reset@.service $units/bluezoned-bt-reset@.service 644
systemd/bluetooth.service.d/10-bluezoned.conf $units/bluetooth.service.d/10-bluezoned.conf 644
systemd/bluezoned-update-resume.service $units/bluezoned-update-resume.service 644
systemd/update $PREFIX/sbin/bluezoned-update 755
systemd/bluezoned-update.8 $PREFIX/share/man/man8/bluezoned-update.8 644
systemd/bt-reset $PREFIX/lib/bluezoned/bt-reset 755
systemd/bluezoned.sysusers /usr/lib/sysusers.d/bluezoned.conf 644
systemd/bluezoned.catalog /usr/lib/systemd/catalog/bluezoned.catalog 644
systemd/bluezoned.tmpfiles /usr/lib/tmpfiles.d/bluezoned.conf 644
systemd/60-bluezoned.rules /usr/lib/udev/rules.d/60-bluezoned.rules 644
systemd/90-bluezoned-stick.rules /usr/lib/udev/rules.d/90-bluezoned-stick.rules 644
systemd/org.bluezoned.conf /usr/share/dbus-1/system.d/org.bluezoned.conf 644
docs/dbus/org.bluezoned.Daemon1.xml /usr/share/dbus-1/interfaces/org.bluezoned.Daemon1.xml 644
systemd/org.bluezoned.activation /usr/share/dbus-1/system-services/org.bluezoned.service 644
systemd/org.bluezoned.rules /usr/share/polkit-1/rules.d/50-bluezoned.rules 644
TABLE
    pages
}

# Man pages and completions, as far as there are: make man writes them.
pages() {
    for program in $programs $([ "$part" = authority ] || echo bluezoned.toml); do
        for page in docs/man/"$program".[1-8]; do
            [ ! -e "$page" ] || echo "$page $PREFIX/share/man/man${page##*.}/${page##*/} 644"
        done
        [ -e "docs/completion/$program.bash" ] || continue
        echo "docs/completion/$program.bash $PREFIX/share/bash-completion/completions/$program 644"
        echo "docs/completion/$program.zsh $PREFIX/share/zsh/vendor-completions/_$program 644"
        echo "docs/completion/$program.fish $PREFIX/share/fish/vendor_completions.d/$program.fish 644"
    done
}

main() {
    "$act"
    [ -n "$root" ] || [ "$act" = lay ] || "settle_$act"
}

install() {
    [ -n "$root" ] || ./need.sh python3-venv python3-dev gcc pkg-config libsystemd-dev \
        $([ "$part" = authority ] || echo bluez dbus polkitd)
    install_programs
    lay
    if [ "$part" = box ]; then
        mkdir -p "$root/etc/bluezoned/bluezoned.toml.d"
        place_settings config/bluezoned.toml /etc/bluezoned/bluezoned.toml
    fi
}

lay() {
    files | while read -r source target mode; do
        place "$source" "$target" "$mode"
    done
}

# Units and scripts name the programs by their full path.
place() {
    mkdir -p "$(dirname "$root$2")"
    sed -e "s|/usr/bin/bluezone|$PREFIX/bin/bluezone|g" -e "s|/usr/lib/bluezoned/|$PREFIX/lib/bluezoned/|g" \
        "$1" >"$root$2.new"
    chmod "$3" "$root$2.new"
    mv "$root$2.new" "$root$2"
}

# Settings that were changed stay; what we would have put there lies beside them. What was put there last time is kept
# in share, to tell the one from the other.
place_settings() {
    last=$root$share/${1##*/}
    if [ ! -e "$root$2" ] || cmp -s "$root$2" "$last"; then
        place "$1" "$2" 644
    elif ! cmp -s "$1" "$root$2" && ! cmp -s "$1" "$last"; then
        place "$1" "$2.new" 644
        echo "$2 was changed and stays; the new one is $2.new"
    fi
    place "$1" "$share/${1##*/}" 644
}

install_programs() {
    extras=
    [ "$part" = box ] && [ ! -L "$root$PREFIX/bin/bluezone-authority" ] || extras='[authority]'
    [ -z "${WHEELS:-}" ] || PIP_ARGS="--no-index --find-links=$(realpath "$WHEELS") ${PIP_ARGS:-}"
    new=$root$OPT.new
    trap 'rm -rf "$new" "$source"' EXIT
    source=$(mktemp -d)
    if [ -z "${WHEEL:-}" ]; then
        # From a copy: pip leaves its build in the tree that it builds.
        cp -R bluezoned setup.cfg pyproject.toml README.md LICENSE "$source"
        WHEEL=$source
    fi
    rm -rf "$new"
    mkdir -p "$(dirname "$new")" "$root$PREFIX/bin"
    "${PYTHON:-/usr/bin/python3}" -m venv "$new"
    "$new/bin/python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore ${PIP_ARGS:-} \
        "$WHEEL$extras"
    "$new/bin/python" -m pip uninstall --quiet --disable-pip-version-check --root-user-action=ignore -y pip
    ./compile.sh "$(echo "$new"/lib/python3*/site-packages/bluezoned/protocols)/libsieve.so" ||
        echo "Going on without the compiled part of matching: it takes up to three times as long, with the same results."
    # The commands name their Python by where it stands now.
    sed -i "1s|^#!$new/|#!$OPT/|" "$new"/bin/blue*
    sed -i "/^command = /d" "$new/pyvenv.cfg"
    rm -rf "$root$OPT"
    mv "$new" "$root$OPT"
    for program in $programs; do
        ln -sf "$OPT/bin/$program" "$root$PREFIX/bin/$program"
    done
}

settle_install() {
    systemd-sysusers
    systemd-tmpfiles --create "$([ "$part" = box ] && echo bluezoned.conf || echo bluezone-authority.conf)"
    journalctl --update-catalog
    [ -d /run/systemd/system ] || return 0
    reload
    udevadm trigger --subsystem-match=gpio --subsystem-match=leds
    # Those that run go on with what was installed now.
    systemctl try-restart bluezoned.service 'bluezoned@*.service' bluezoned-display.service bluezone-authority.service
    if [ "$part" = authority ]; then
        cat <<'NEXT'
Installed. Next:
  sudo -u bluezone-authority bluezone-authority init --data /var/lib/bluezone-authority
  sudo systemctl enable --now bluezone-authority
NEXT
        return
    fi
    cat <<'NEXT'
Installed. Next:
  sudo systemctl restart bluetooth          with the options that bluezoned needs; cuts off what is connected
  sudo cp device.toml /etc/bluezoned/bluezoned.toml.d/    from your health authority; its settings
  sudo systemctl enable --now bluezoned
  systemctl status bluezoned
NEXT
}

uninstall() {
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then
        systemctl disable --now $services 2>/dev/null || true
        [ "$part" = authority ] || systemctl stop 'bluezoned@*.service' 'bluezoned-sync@*.timer'
    fi
    files | while read -r source target mode; do
        rm -f "$root$target"
    done
    for program in $programs; do
        rm -f "$root$PREFIX/bin/$program"
    done
    if [ ! -L "$root$PREFIX/bin/bluezoned" ] && [ ! -L "$root$PREFIX/bin/bluezone-authority" ]; then
        rm -rf "$root$OPT"
    fi
    if [ "$part" = box ]; then
        rm -rf "$root$PREFIX/lib/bluezoned" "$root$share"
        rmdir "$root/usr/lib/systemd/system/bluetooth.service.d" 2>/dev/null || true
    fi
    if [ "${PURGE:-}" = 1 ]; then
        for place in $kept; do
            rm -rf "$root$place"
        done
    else
        echo "Kept: $kept (PURGE=1 removes them)"
    fi
}

settle_uninstall() {
    if [ "${PURGE:-}" = 1 ]; then
        for user in $users; do
            userdel "$user" 2>/dev/null || true
        done
        for group in $groups; do
            groupdel "$group" 2>/dev/null || true
        done
    fi
    journalctl --update-catalog
    [ ! -d /run/systemd/system ] || reload
}

reload() {
    systemctl daemon-reload
    systemctl reload dbus.service
    udevadm control --reload
}

main
