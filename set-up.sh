#!/bin/sh
# Sets up a virtual environment with the project and all it needs to run and to be tested, on Debian 12 or later,
# Raspberry Pi OS or their like. Says first what it will install with apt, and installs nothing that is there.
set -eu

venv=$1

# systemd-python is compiled (no wheels exist), the tests and the demo talk over a private D-Bus, and the tests ask
# systemd's tools and polkit what they make of ours, and groff what it makes of our man pages. They start a PostgreSQL,
# a Swift (an object store that speaks S3) and an nginx of their own; those that Debian starts nobody here uses.
# libssl-dev: what matching is held against is OpenSSL itself (tests/bench/limit.c).
packages="python3 python3-venv python3-dev gcc libssl-dev pkg-config libsystemd-dev dbus-daemon openssl polkitd \
    systemd postgresql swift-proxy swift-account swift-container swift-object nginx-light groff-base"

./need.sh $packages

python=
for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if "$candidate" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "bluezoned needs Python 3.11 or later (Debian 12, Raspberry Pi OS bookworm or newer)." >&2
    exit 1
fi

echo "Setting up $venv with $("$python" --version); this takes a minute or two."
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[authority,postgres,s3,dev]'
./compile.sh bluezoned/protocols/libsieve.so ||
    echo "Matching goes on without its compiled part: it takes up to three times as long, with the same results." >&2
