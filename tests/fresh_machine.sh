#!/usr/bin/env bash
# README's two commands on a machine that has nothing yet: a minimal Debian in a directory, a clone of HEAD in it, and
# an ordinary user who may sudo, as on Raspberry Pi OS. Says how long each took. Needs root, debootstrap and a network.
#
#   sudo tests/fresh_machine.sh [SUITE] [DIRECTORY]      bookworm unless told otherwise; DIRECTORY keeps the bare system
#
# The processor and the kernel are this machine's: it shows what is missing, not how fast a Pi is.
set -euo pipefail

suite=${1:-bookworm}
place=${2:-/var/tmp/fresh-$suite}
source=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)

# Its own mounts and processes, so that nothing of them outlives this script, however it ends.
if [ "${FRESH_MACHINE:-}" != inside ]; then
    FRESH_MACHINE=inside exec unshare --mount --pid --fork --kill-child "$0" "$suite" "$place"
fi

mkdir -p "$place"
bare=$place/bare
if [ ! -e "$bare.whole" ]; then
    rm -rf "$bare"
    debootstrap --variant=minbase --include=ca-certificates,git,make,sudo "$suite" "$bare" >"$bare.log"
    touch "$bare.whole"
fi
machine=$place/machine
rm -rf "$machine"
cp -a "$bare" "$machine"

# Behind a proxy that signs for others, only this machine knows whom to believe.
cp /etc/ssl/certs/ca-certificates.crt "$machine/etc/ssl/certs/ca-certificates.crt"
cp /etc/hosts /etc/resolv.conf "$machine/etc/"
mount -t proc proc "$machine/proc"
mount --rbind /dev "$machine/dev"

chroot "$machine" useradd --create-home --shell /bin/bash person
echo 'person ALL=(ALL) NOPASSWD: ALL' >"$machine/etc/sudoers.d/person"
git clone --quiet --no-hardlinks "$source" "$machine/home/person/bluezoned"
chroot "$machine" chown -R person: /home/person/bluezoned

# What a command says stands in DIRECTORY/NAME.log, its end here.
run() {
    local name=$1 start=$SECONDS ended=0
    shift
    chroot "$machine" runuser -u person -- env -i HOME=/home/person PATH=/usr/local/bin:/usr/bin:/bin \
        LC_ALL=C.UTF-8 PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
        bash -c 'cd ~/bluezoned && exec "$@"' - "$@" </dev/null >"$place/$name.log" 2>&1 || ended=$?
    tail -n 12 "$place/$name.log"
    echo "== $suite: $*: exit status $ended after $((SECONDS - start)) s"
    return "$ended"
}

run set-up make
run demo make demo
run test make test
