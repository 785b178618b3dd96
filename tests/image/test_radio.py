"""The card with a Bluetooth controller at a serial line, as a Pi's own chip is: the kernel's driver and bluetoothd are
real, and what comes out at the other end is on the air."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.image.machine import BOOT_S, BUILT, INSIDE, ROOT, Card, Machine, booted, said_by

ATTACH = """[Unit]
After=multi-user.target
[Service]
ExecStart=/usr/bin/btattach -B /dev/ttyS0 -P h4 -S 115200
"""
LOOK = """[Service]
ExecStart=/bin/sh -c 'while sleep 5; do echo SELFTEST status $(bluezonectl --json status); done'
StandardOutput=tty
TTYPath=/dev/console
"""


@pytest.fixture(scope="module")
def rootcanal() -> Path:
    """Its shared library, unpacked. It needs a newer C library than Debian 12's: the builder's."""
    target = BUILT / "rootcanal"
    if not target.exists():
        words = ("--quiet", "--no-deps", "--target", target, "rootcanal==1.13.0")
        subprocess.run([sys.executable, "-m", "pip", "install", *words], check=True)
    return target


@pytest.fixture(scope="module")
def card(place: Path) -> Card:
    (place / "radio").mkdir()
    return Card(place / "radio")


@pytest.fixture(scope="module")
def machine(card: Card) -> Iterator[Machine]:
    line = card.place / "line"
    port = ("-chardev", f"socket,id=bt,path={line},server=on,wait=off", "-device", "pci-serial,chardev=bt")
    units = {"attach.service": ATTACH, "look.service": LOOK}
    with booted("virt", card, units, more=port) as running:
        yield running


@pytest.fixture(scope="module")
def air(card: Card, machine: Machine, rootcanal: Path) -> Iterator[subprocess.Popen[str]]:
    line = card.place / "line"
    while not line.exists():
        assert not machine.wait(1)
    command = ("env", f"PYTHONPATH={rootcanal}:{ROOT}", "python3", "-B", "-m", "tests.image.air", line)
    with subprocess.Popen([*INSIDE, *command], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def status(machine: Machine, air: subprocess.Popen[str]) -> dict[str, Any]:
    """Of the box, when it hears, is heard and has met somebody; else the last that it told."""
    end = time.monotonic() + BOOT_S
    told: dict[str, Any] = {}
    while time.monotonic() < end:
        assert not machine.wait(2)
        for text in said_by(machine).get("status", []):
            if text.endswith("}"):
                told = json.loads(text)
        if told.get("hearing") and told.get("advertising") and told.get("nearby"):
            break
    return told


def test_the_box_hears_and_is_heard(status: dict[str, Any]) -> None:
    assert (status["hearing"], status["advertising"]) == (True, True)


def test_the_box_meets_the_phone(status: dict[str, Any]) -> None:
    assert status["nearby"] == 1


def test_what_is_on_the_air_lists_bluezones_uuid(status: dict[str, Any], air: subprocess.Popen[str]) -> None:
    assert air.stdout is not None

    assert "0303564e" in air.stdout.readline()
