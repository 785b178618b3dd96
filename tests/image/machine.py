"""The card in QEMU: its kernel, its first file system and its boards' trees come off its own boot partition.

    python -m tests.image.machine virt|raspi3b IMAGE [--boot-file FILE] [--cuts N]

`virt` shows kernel, units and file systems; `raspi3b` the boot partition's content, the device tree, the card's driver
and the label on the command line besides. Neither runs the Pi's own firmware, so config.txt is not tried here.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
OFFSET = "@@4M"
"""Of the boot partition."""

UNIT = """[Unit]
After=multi-user.target bluezoned.service
[Service]
ExecStart=/bin/sh /boot/firmware/selftest.sh
StandardOutput=tty
TTYPath=/dev/console
"""

BOOT_S = 1800
"""Seconds. 65 to 150 on an idle machine; an emulated board under load takes ten times as long."""


class Card:
    """A copy of the image that may be written to, as large as a card would be."""

    def __init__(self, image: Path, place: Path, size: str = "4G") -> None:
        self.image = place / "card.img"
        self.place = place
        subprocess.run(["cp", "--sparse=always", image, self.image], check=True)
        # QEMU wants the power of two that a card's size is.
        subprocess.run(["truncate", "-s", size, self.image], check=True)
        self.put(HERE / "selftest.sh", "selftest.sh")
        names = subprocess.run(["mdir", "-b", "-i", f"{self.image}{OFFSET}", "::/"], check=True, capture_output=True)
        self.names = [name.strip().removeprefix("::/") for name in names.stdout.decode().splitlines()]
        for kind in ("vmlinuz", "initrd"):
            self.get(next(name for name in self.names if name.startswith(kind)), kind)

    def put(self, file: Path, name: str) -> None:
        subprocess.run(["mcopy", "-n", "-o", "-i", f"{self.image}{OFFSET}", file, f"::/{name}"], check=True)

    def get(self, name: str, to: str) -> None:
        subprocess.run(["mcopy", "-n", "-o", "-i", f"{self.image}{OFFSET}", f"::/{name}", self.place / to], check=True)


def command(board: str, card: Card) -> list[str]:
    """QEMU's, for one boot."""
    unit = base64.b64encode(UNIT.encode()).decode()
    hand = f"systemd.set_credential_binary=systemd.extra-unit.selftest.service:{unit} systemd.wants=selftest.service"
    words = f"root=LABEL=ROOT rw rootwait fsck.repair=yes net.ifnames=0 quiet {hand}"
    start = ["-kernel", card.place / "vmlinuz", "-initrd", card.place / "initrd", "-display", "none", "-no-reboot"]
    disk = ["-drive", f"file={card.image},format=raw,cache=writethrough"]
    match board:
        case "virt":
            own = ["-M", "virt", "-cpu", "cortex-a53", "-smp", "4", "-m", "512", "-serial", "stdio"]
            disk[1] += ",if=none,id=d"
            own += [*disk, "-device", "virtio-blk-device,drive=d", "-device", "virtio-rng-device"]
            words = f"console=ttyAMA0 {words}"
        case _:
            card.get("bcm2837-rpi-3-b.dtb", "tree")
            disk[1] += ",if=sd"
            # uart0 is the Bluetooth chip's in this tree, so the console is the second one.
            own = [
                "-M",
                "raspi3b",
                "-m",
                "1G",
                "-dtb",
                card.place / "tree",
                "-serial",
                "null",
                "-serial",
                "stdio",
                *disk,
            ]
            # QEMU's power block has no timer: it resets the machine as soon as its watchdog is armed.
            words = f"console=ttyS1,115200 {words} systemd.watchdog_sec=off"
    return ["qemu-system-aarch64", *map(str, [*own, *start]), "-append", words]


@contextlib.contextmanager
def booted(board: str, card: Card) -> Iterator[subprocess.Popen[bytes]]:
    log = (card.place / "console.log").open("wb")
    with log, subprocess.Popen(command(board, card), stdin=subprocess.DEVNULL, stdout=log, stderr=log) as machine:
        try:
            yield machine
        finally:
            machine.kill()


def selftest(board: str, card: Card) -> dict[str, list[str]]:
    """Boot to the end; what the card said of itself, by word."""
    begun = time.monotonic()
    with booted(board, card) as machine:
        machine.wait(BOOT_S)
    said: dict[str, list[str]] = {}
    for line in (card.place / "console.log").read_text(errors="replace").splitlines():
        if found := re.search(r"SELFTEST (\S+) ?(.*)", line):
            said.setdefault(found[1], []).append(found[2].strip())
    said["wall"] = [f"{time.monotonic() - begun:.0f} s"]
    return said


def cut(board: str, card: Card, seconds: float) -> None:
    """Boot, and pull the plug after so long."""
    with booted(board, card) as machine, contextlib.suppress(subprocess.TimeoutExpired):
        machine.wait(seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("board", choices=("virt", "raspi3b"))
    parser.add_argument("image", type=Path)
    parser.add_argument("--boot-file", type=Path, help="bluezoned.toml for the first boot")
    parser.add_argument("--cuts", type=int, default=0, help="how often the plug is pulled before")
    parser.add_argument("--longest", type=float, default=120, help="seconds until the plug is pulled, at most")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(dir=given.image.parent))
    try:
        card = Card(given.image, place)
        if given.boot_file is not None:
            card.put(given.boot_file, "bluezoned.toml")
        chance = random.Random(given.seed)
        for number in range(given.cuts):
            seconds = chance.uniform(2, given.longest)
            cut(given.board, card, seconds)
            print(f"cut {number + 1} after {seconds:.0f} s", flush=True)
        said = selftest(given.board, card)
        for word, lines in said.items():
            for line in lines:
                print(word, line)
        return 0 if said.get("state") == ["running"] and "done" in said else 1
    finally:
        shutil.copy(place / "console.log", given.image.parent / f"console-{given.board}.log")
        shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(main())
