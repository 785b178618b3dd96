"""The card in QEMU: kernel, first file system, device tree and command line come off its own boot partition.

`virt` shows kernel, units and file systems; `raspi3b` the boot partition's content, the device tree, the card's driver
and the label on the command line besides. Neither runs the Pi's own firmware, so config.txt is not tried here. All
tools come from the builder that make image leaves; root is needed to run them there.
"""

from __future__ import annotations

import base64
import contextlib
import re
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILT = ROOT / "build" / "image"
BUILDER = BUILT / "builder"
INSIDE = (ROOT / "image" / "inside.sh", BUILDER.resolve())
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Before a machine's command: a run that is killed leaves no machine behind."""
OFFSET = "@@4M"
"""Of the boot partition."""

UNIT = """[Unit]
RequiresMountsFor=/boot/firmware
After=multi-user.target bluezoned.service
[Service]
ExecStart=/bin/sh /boot/firmware/selftest.sh
StandardOutput=tty
TTYPath=/dev/console
"""
"""Handed to systemd on the kernel's command line: what is tried is the card that is flashed."""

BOOT_S = 2400
"""Seconds. 65 to 150 on an idle machine; an emulated board under load takes ten times as long."""


def tool(*command: str | Path) -> str:
    """What a command of the builder's said."""
    done = subprocess.run([*INSIDE, *command], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


class Card:
    """A copy of the image that may be written to, `size` large."""

    def __init__(self, place: Path, size: str = "4G") -> None:
        (image,) = BUILT.glob("bluezoned-*-arm64.img")
        self.image = place / "card.img"
        self.place = place
        subprocess.run(["cp", "--sparse=always", image, self.image], check=True)
        # QEMU wants the power of two that a card's size is.
        subprocess.run(["truncate", "-s", size, self.image], check=True)
        self.names = [line.removeprefix("::/") for line in self._boot("mdir", "-b", "::/").splitlines()]
        for kind in ("vmlinuz", "initrd"):
            self.get(next(name for name in self.names if name.startswith(kind)), kind)
        self.words = self.read("cmdline.txt").split()

    def _boot(self, program: str, *words: str | Path) -> str:
        return tool(program, *(("-n", "-o") if program == "mcopy" else ()), "-i", f"{self.image}{OFFSET}", *words)

    def put(self, file: Path, name: str) -> None:
        """Onto the boot partition; of a directory all that is in it."""
        self._boot("mcopy", "-s", file, f"::/{name}")

    def write(self, text: str, name: str) -> None:
        file = self.place / "put"
        file.write_text(text)
        self.put(file, name)

    def get(self, name: str, to: str) -> None:
        self._boot("mcopy", f"::/{name}", self.place / to)

    def read(self, name: str) -> str:
        self.get(name, "got")
        return (self.place / "got").read_text()

    def listed(self) -> set[str]:
        """The names at the top of the boot partition."""
        return {line.removeprefix("::/") for line in self._boot("mdir", "-b", "::/").splitlines()}

    def partition(self, number: int) -> tuple[int, int]:
        """Start and size in bytes, from 1, by the card's MBR."""
        with self.image.open("rb") as image:
            table = image.read(512)[446:510]
        first, sectors = struct.unpack_from("<II", table, (number - 1) * 16 + 8)
        return first * 512, sectors * 512


def command(board: str, card: Card, units: dict[str, str], disk: str, more: Sequence[str | Path]) -> list[str]:
    """QEMU's, for one boot with these units besides the card's own, and `more` on the board."""
    hands = [
        f"systemd.set_credential_binary=systemd.extra-unit.{name}:{base64.b64encode(text.encode()).decode()} "
        f"systemd.wants={name}"
        for name, text in units.items()
    ]
    own = [word for word in card.words if not word.startswith("console=")]
    start: list[str | Path] = [
        "-kernel",
        card.place / "vmlinuz",
        "-initrd",
        card.place / "initrd",
        "-display",
        "none",
        "-no-reboot",
    ]
    if board == "virt":
        machine: list[str | Path] = ["-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "512", "-serial", "stdio"]
        machine += ["-drive", f"file={disk},format=raw,if=none,id=d", "-device", "virtio-blk-device,drive=d"]
        machine += ["-device", "virtio-rng-device", "-netdev", "user,id=n,restrict=on"]
        machine += ["-device", "virtio-net-device,netdev=n"]
        words = ["console=ttyAMA0"]
    else:
        card.get("bcm2837-rpi-3-b.dtb", "tree")
        # uart0 is the Bluetooth chip's in this tree, so the console is the second one.
        machine = ["-M", "raspi3b", "-m", "1G", "-dtb", card.place / "tree", "-serial", "null", "-serial", "stdio"]
        machine += ["-drive", f"file={disk},format=raw,if=sd"]
        # QEMU's power block has no timer: it resets the machine as soon as its watchdog is armed.
        words = ["console=ttyS1,115200", "systemd.watchdog_sec=off"]
    words += [*own, "quiet", "systemd.show_status=no", *hands]
    return ["qemu-system-aarch64", *map(str, [*machine, *more, *start]), "-append", " ".join(words)]


class Machine:
    """A running one. What it says on its console is kept by line, with the seconds since its start."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._begun = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        self._reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        self._reader.start()

    def _read(self, log: Path) -> None:
        assert self._process.stdout is not None
        with log.open("ab") as kept:
            for line in self._process.stdout:
                kept.write(line)
                kept.flush()
                self.lines.append((time.monotonic() - self._begun, line.decode(errors="replace").strip()))

    def wait(self, seconds: float) -> bool:
        """For its end; False when it still runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            self._reader.join()
            return True
        return False

    def kill(self) -> None:
        """The plug. Returns when nothing of it runs any more: the console's pipe is closed then."""
        self._process.kill()
        self._process.wait()
        self._reader.join()


@contextlib.contextmanager
def booted(
    board: str, card: Card, units: dict[str, str], disk: str | None = None, more: Sequence[str | Path] = ()
) -> Iterator[Machine]:
    """From `disk`, else from the card's own file."""
    words = command(board, card, units, disk or str(card.image), more)
    process = subprocess.Popen(
        [*ENDS_WITH_US, *INSIDE, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    machine = Machine(process, card.place / "console.log")
    try:
        yield machine
    finally:
        machine.kill()


Said = dict[str, list[str]]


def said_by(machine: Machine) -> Said:
    """What the self-test told, by its words."""
    said: Said = {}
    for at, line in machine.lines:
        if found := re.search(r"SELFTEST (\S+) ?(.*)", line):
            said.setdefault(found[1], []).append(found[2].strip())
            said.setdefault("at", []).append(f"{found[1]} {at:.0f}")
    return said


def selftest(board: str, card: Card, disk: str | None = None) -> Said:
    """Boot, look around, power off; what the card said of itself."""
    card.put(HERE / "selftest.sh", "selftest.sh")
    with booted(board, card, {"selftest.service": UNIT}, disk) as machine:
        assert machine.wait(BOOT_S), "the card did not come to its end"
        said = said_by(machine)
    (card.place / "said.txt").write_text("".join(f"{word} {line}\n" for word in said for line in said[word]))
    return said
