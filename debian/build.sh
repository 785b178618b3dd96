#!/bin/sh
# build.sh ARCHITECTURE...: the Debian packages into build/deb, from a copy of what git knows of the tree. The same bytes
# from the same tree and compiler; the wheels are in build/wheels already.
set -eu
cd "$(dirname "$0")/.."
umask 022

./need.sh debhelper dpkg-dev fakeroot
mkdir -p build/deb
for architecture; do
    work=build/deb/$architecture
    rm -rf "$work"
    mkdir -p "$work/bluezoned"
    git ls-files --cached --others --exclude-standard -z -- \
        bluezoned config debian docs systemd compile.sh install.sh setup.cfg |
        xargs -0 sh -c 'for path; do [ ! -e "$path" ] || echo "$path"; done' sh |
        tar -c -T - | tar -x -C "$work/bluezoned"
    if [ "$architecture" = "$(dpkg --print-architecture)" ]; then
        ./need.sh gcc libc6-dev
    else
        ./need.sh "gcc-$(dpkg-architecture -a "$architecture" -qDEB_HOST_GNU_TYPE | tr _ -)" \
            "libc6-dev-$architecture-cross"
    fi
    # -d: what is needed was brought above; of the other architecture nothing else is.
    (cd "$work/bluezoned" && WHEELS="$PWD/../../../wheels" \
        dpkg-buildpackage --no-sign --build=binary -d -a "$architecture" >../build.log 2>&1) || {
        tail -n 30 "$work/build.log" >&2
        exit 1
    }
    mv "$work"/*.deb build/deb/
    rm -rf "$work/bluezoned"
done
ls -l build/deb/*.deb
