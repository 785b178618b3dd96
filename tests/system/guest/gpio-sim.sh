#!/bin/bash
# gpio-sim.sh SUITE ROOT: gpio-sim and irq_sim, which Debian's kernels leave out, built of Debian's own kernel source for
# the kernel in ROOT and put there as one module, gpio-sim-guest. As root.
set -euo pipefail
suite=$1
root=$2
version=$([ "$suite" = bookworm ] && echo 6.1 || echo 6.12)
kernel=$(ls "$root/lib/modules")
builder=$(mktemp -d)
trap 'rm -rf "$builder"' EXIT

mmdebstrap --quiet --variant=apt --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --include="linux-headers-$kernel,linux-source-$version,gcc,make,bc,xz-utils,kmod" "$suite" "$builder"
work=$builder/module
mkdir -p "$work"
tar -C "$work" --strip-components=3 -xf "$builder/usr/src/linux-source-$version.tar.xz" --wildcards \
    '*/drivers/gpio/gpio-sim.c' '*/drivers/gpio/gpiolib.h' '*/kernel/irq/irq_sim.c'
# irq_to_desc is not for modules; this does the same.
sed -i 's/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq_safe(irqnum)/' "$work/irq_sim.c"
printf 'obj-m := gpio-sim-guest.o\ngpio-sim-guest-y := gpio-sim.o irq_sim.o\nccflags-y += -DCONFIG_IRQ_SIM=1\n' \
    > "$work/Makefile"
chroot "$builder" make -s -C "/lib/modules/$kernel/build" M=/module modules
install -D -m 644 "$work/gpio-sim-guest.ko" "$root/lib/modules/$kernel/extra/gpio-sim-guest.ko"
chroot "$root" depmod "$kernel"
