"""Forty pins made of the kernel's gpio-sim: what a box drives can be read, and its buttons pressed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.conftest import run, within

CONFIG = Path("/sys/kernel/config")
BANK = CONFIG / "gpio-sim" / "pi"
LINES = 54
LABEL = "pinctrl-bcm2835"


class Chip:
    """Lines by their BCM number."""

    def __init__(self, place: Path, device: Path) -> None:
        self._place = place
        self.device = device

    def is_high(self, line: int) -> bool:
        """What the world sees of an output; of a line that nobody drives, its pull."""
        return (self._place / f"sim_gpio{line}" / "value").read_text().strip() == "1"

    def pull(self, line: int, way: str) -> None:
        """`up` or `down`: what the world does to an input."""
        (self._place / f"sim_gpio{line}" / "pull").write_text(f"pull-{way}")

    @contextmanager
    def pressed(self, *lines: int) -> Iterator[None]:
        """Buttons to ground."""
        for line in lines:
            self.pull(line, "down")
        yield
        for line in lines:
            self.pull(line, "up")


class Lamp:
    """Watches lines aside, until asked."""

    def __init__(self, chip: Chip, *lines: int) -> None:
        self._chip = chip
        self._lines = lines
        self._ended = threading.Event()
        self.lit: dict[int, int] = dict.fromkeys(lines, 0)
        """How often each went on."""
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Lamp:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        before = dict.fromkeys(self._lines, False)
        while not self._ended.is_set():
            for line in self._lines:
                level = self._chip.is_high(line)
                self.lit[line] += level and not before[line]
                before[line] = level
            time.sleep(0.01)


@contextmanager
def plugged_in() -> Iterator[Chip]:
    """A chip with a Pi's label, as udev hands it to the group gpio."""
    run("modprobe", "configfs")
    run("modprobe", "gpio-sim-guest")
    if not (CONFIG / "gpio-sim").is_dir():
        run("mount", "-t", "configfs", "none", str(CONFIG))
    (BANK / "gpio-bank0").mkdir(parents=True)
    (BANK / "gpio-bank0" / "num_lines").write_text(str(LINES))
    (BANK / "gpio-bank0" / "label").write_text(LABEL)
    (BANK / "live").write_text("1")
    try:
        name = (BANK / "gpio-bank0" / "chip_name").read_text().strip()
        place = Path("/sys/devices/platform") / (BANK / "dev_name").read_text().strip() / name
        chip = Chip(place, Path("/dev") / name)
        within(20, chip.device.exists, f"{chip.device} of udev")
        run("udevadm", "settle")
        yield chip
    finally:
        (BANK / "live").write_text("0")
        (BANK / "gpio-bank0").rmdir()
        BANK.rmdir()
