"""What is on which pin, and what such lights can show."""

from __future__ import annotations

from typing import Any, get_args

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from bluezoned import config, hardware
from bluezoned.alert import wiring
from bluezoned.alert.pattern import Colour
from bluezoned.alert.wiring import PHYSICAL, PRESETS, Channel, Wiring
from bluezoned.config import Alert
from bluezoned.errors import ConfigError

BOARDS = {
    "ledborg": gpiozero.LedBorg,
    "pi-traffic": gpiozero.PiTraffic,
    "pi-stop-a": lambda **options: gpiozero.PiStop("A", **options),
    "pi-stop-a-plus": lambda **options: gpiozero.PiStop("A+", **options),
    "pi-stop-b": lambda **options: gpiozero.PiStop("B", **options),
    "pi-stop-b-plus": lambda **options: gpiozero.PiStop("B+", **options),
    "traffic-hat": gpiozero.TrafficHat,
    "traffic-phat": gpiozero.TrafficpHat,
    "jam-hat": gpiozero.JamHat,
    "fish-dish": gpiozero.FishDish,
    "pibrella": gpiozero.Pibrella,
}
"""gpiozero's own classes for boards that are sold."""


def pin(device: Any) -> int:
    inner = getattr(device, "pwm_device", device)
    return int(inner.pin.info.name.removeprefix("GPIO"))


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_preset_has_the_pins_that_gpiozero_knows_the_board_by(name: str) -> None:
    board = BOARDS[name](pin_factory=MockFactory(pin_class=MockPWMPin))
    lights = getattr(board, "lights", getattr(board, "lights_1", board))
    buttons = [getattr(board, part) for part in ("button", "button_1", "button_2") if hasattr(board, part)]
    preset = PRESETS[name]

    colours = {Channel.RED: "red", Channel.GREEN: "green"}
    if name == "ledborg":
        found = dict(zip(("red", "green", "blue"), (pin(led) for led in board._leds), strict=True))
    else:
        colours[Channel.AMBER] = "yellow" if name == "jam-hat" else "amber"
        found = {colour: pin(getattr(lights, colour)) for colour in colours.values()}
    for channel, colour in colours.items():
        assert preset.lights[channel] == found[colour]
    assert preset.buttons == tuple(map(pin, buttons))
    assert all((button.pull_up is True) == preset.buttons_to_ground for button in buttons)
    buzzer = getattr(board, "buzzer", None)
    assert preset.buzzer == (None if buzzer is None else pin(buzzer))
    if buzzer is not None:
        assert preset.buzzer_is_passive == isinstance(buzzer, gpiozero.TonalBuzzer)
    board.close()


def test_every_preset_can_be_set_and_no_other() -> None:
    assert set(get_args(config.Preset)) == PRESETS.keys() | {"none"}
    assert set(PRESETS) == BOARDS.keys() | {"wearable", "kiosk"}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_can_speak_honestly(name: str) -> None:
    preset = PRESETS[name]

    assert wiring.problem(preset) is None
    assert {*preset.lights.values(), *preset.buttons, preset.buzzer} - {None} <= PHYSICAL.keys()
    for colour in set(Colour) - {Colour.DARK}:
        assert wiring.shown(colour, frozenset(preset.lights), preset.lights_are_one)


def test_the_header_is_gpiozeros() -> None:
    header = gpiozero.pins.pi.PiBoardInfo.from_revision(0xC03111).headers["J8"]

    assert {int(p.name[4:]): p.number for p in header.pins.values() if p.name.startswith("GPIO")} == PHYSICAL


def test_without_amber_red_speaks_for_it_and_never_green() -> None:
    assert wiring.shown(Colour.AMBER, frozenset({Channel.RED, Channel.GREEN}), False) == {Channel.RED: 1.0}


def test_one_rgb_light_mixes_amber_of_more_red() -> None:
    mixed = wiring.shown(Colour.AMBER, frozenset({Channel.RED, Channel.GREEN, Channel.BLUE}), True)

    assert mixed[Channel.GREEN] < mixed[Channel.RED] / 2


def test_settings_change_a_preset_or_stand_alone() -> None:
    changed = hardware.wiring(Alert(preset="kiosk", buzzer=12, buzzer_kind="active", led_active="low", button_2=26))

    assert changed == Wiring(PRESETS["kiosk"].lights, lights_active_high=False, buzzer=12, buttons=(23, 26))
    assert hardware.wiring(Alert(led=4)) == Wiring({Channel.ANY: 4})
    assert hardware.wiring(Alert()) == wiring.NOTHING


@pytest.mark.parametrize(
    ("alert", "complaint"),
    [
        (Alert(led=4, button=4), "GPIO4 is used twice"),
        (Alert(led=4, led_red=5, led_green=6), "exclude each other"),
        (Alert(led_green=6), "need red and green at least"),
        (Alert(preset="traffic-hat", buzzer=22), "GPIO22 is used twice"),
    ],
)
def test_a_wiring_that_cannot_speak_honestly_is_refused(alert: Alert, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        hardware.wiring(alert)
