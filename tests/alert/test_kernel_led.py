"""A light of the kernel's. The files here are a double for sysfs; the real one: tests/system/test_gpio.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from bluezoned.alert.kernel_led import KernelLed
from bluezoned.alert.pattern import Colour
from bluezoned.errors import AlertError


@pytest.fixture
def leds(tmp_path: Path) -> Path:
    act = tmp_path / "ACT"
    act.mkdir()
    (act / "max_brightness").write_text("255\n")
    (act / "brightness").write_text("0\n")
    (act / "trigger").write_text("none rc-feedback timer [mmc0] heartbeat\n")
    return tmp_path


def test_it_is_lit_for_every_colour_alike(leds: Path) -> None:
    light = KernelLed("ACT", leds=leds)
    seen = []
    for colour in (Colour.RED, Colour.DARK, Colour.GREEN, Colour.AMBER):
        light.show(colour, None)
        seen.append((leds / "ACT" / "brightness").read_text())

    assert seen == ["255", "0", "255", "255"]


def test_a_dim_one_is_lit_at_all(leds: Path) -> None:
    (leds / "ACT" / "max_brightness").write_text("1\n")
    KernelLed("ACT", 0.2, leds).show(Colour.RED, None)

    assert (leds / "ACT" / "brightness").read_text() == "1"


def test_what_it_blinked_for_is_put_back(leds: Path) -> None:
    light = KernelLed("ACT", leds=leds)
    taken = (leds / "ACT" / "trigger").read_text()
    light.show(Colour.RED, None)
    light.close()

    assert taken == "none"
    assert (leds / "ACT" / "trigger").read_text() == "mmc0"
    assert (leds / "ACT" / "brightness").read_text() == "0"


def test_one_that_is_not_there_is_named(leds: Path) -> None:
    with pytest.raises(AlertError, match="the light PWR cannot be switched: No such file"):
        KernelLed("PWR", leds=leds)
