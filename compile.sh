#!/bin/sh
# compile.sh FILE: the compiled first look of matching (bluezoned/protocols/sieve.c) into FILE, by $CC. It is optional:
# those who call this go on without, and say so. One file serves every Python of the architecture.
set -eu
cd "$(dirname "$0")"

target=$1
trap 'rm -f "$target.new"' EXIT
# What was built from an older source must not stay when this fails.
rm -f "$target"
# -s: nothing in it names the directory it was built in, so that the same source gives the same bytes.
"${CC:-cc}" -std=c11 -O3 -fPIC -shared -s -Wall -Wextra -Wl,-z,relro,-z,now,--as-needed \
    -o "$target.new" bluezoned/protocols/sieve.c
chmod 755 "$target.new"
mv "$target.new" "$target"
