"""Lights, buzzer and buttons through gpiozero, on its own pins without a Pi. Real lines: tests/system/test_gpio.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from bluezoned.alert.gpio import Buttons, GpioOutput
from bluezoned.alert.pattern import Colour, Tone
from bluezoned.alert.wiring import AMBER_GREEN, PRESETS, Channel, Wiring
from bluezoned.errors import AlertError


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    factory = MockFactory(pin_class=MockPWMPin)
    yield factory
    factory.reset()


def state(pins: MockFactory, number: int) -> float:
    return float(pins.pin(f"GPIO{number}").state)


def test_lights_side_by_side_are_lit_by_their_colour(pins: MockFactory) -> None:
    output = GpioOutput(PRESETS["kiosk"], pins)
    seen = {}
    for colour in (Colour.RED, Colour.AMBER, Colour.GREEN, Colour.BLUE, Colour.DARK):
        output.show(colour, None)
        seen[colour] = tuple(state(pins, number) for number in (17, 27, 22))

    assert seen == {
        Colour.RED: (1, 0, 0),
        Colour.AMBER: (0, 1, 0),
        Colour.GREEN: (0, 0, 1),
        Colour.BLUE: (0, 1, 0),
        Colour.DARK: (0, 0, 0),
    }


def test_an_rgb_light_mixes_amber(pins: MockFactory) -> None:
    output = GpioOutput(PRESETS["wearable"], pins, level=0.5)
    output.show(Colour.AMBER, None)

    assert [state(pins, number) for number in (17, 27, 22)] == pytest.approx([0.5, 0.5 * AMBER_GREEN, 0])


def test_a_light_with_a_common_anode_is_lit_by_a_low_pin(pins: MockFactory) -> None:
    output = GpioOutput(Wiring({Channel.ANY: 4}, lights_active_high=False), pins)
    before = state(pins, 4)
    output.show(Colour.GREEN, None)

    assert (before, state(pins, 4)) == (1, 0)


def test_a_passive_buzzer_is_given_its_tone_no_louder_than_asked(pins: MockFactory) -> None:
    output = GpioOutput(PRESETS["kiosk"], pins, volume=0.4)
    output.show(Colour.DARK, Tone.HIGH)
    sounding = (pins.pin("GPIO18").frequency, state(pins, 18))
    output.show(Colour.DARK, None)

    assert sounding[0] == Tone.HIGH.value
    assert sounding[1] == pytest.approx(0.2)
    assert state(pins, 18) == 0


@pytest.mark.parametrize(("volume", "level"), [(1.0, 1), (0.1, 1), (0.0, 0)])
def test_an_active_buzzer_sounds_at_any_volume_but_none(pins: MockFactory, volume: float, level: int) -> None:
    output = GpioOutput(PRESETS["wearable"], pins, volume=volume)
    output.show(Colour.DARK, Tone.LOW)

    assert state(pins, 18) == level


def test_closing_leaves_all_dark_and_silent(pins: MockFactory) -> None:
    output = GpioOutput(PRESETS["kiosk"], pins)
    output.show(Colour.RED, Tone.HIGH)
    driven = [pins.pin(f"GPIO{number}") for number in (17, 27, 22, 18)]
    output.close()

    assert [pin.state for pin in driven] == [0, 0, 0, 0]
    GpioOutput(PRESETS["kiosk"], pins).close()


def test_a_pin_that_cannot_be_had_is_named_and_the_others_given_back(pins: MockFactory) -> None:
    taken = GpioOutput(Wiring({Channel.ANY: 22}), pins)

    with pytest.raises(AlertError, match="the green light on GPIO22"):
        GpioOutput(PRESETS["kiosk"], pins)

    taken.close()
    GpioOutput(PRESETS["kiosk"], pins).close()


@pytest.mark.parametrize("to_ground", [True, False])
def test_buttons_tell_each_change(pins: MockFactory, to_ground: bool) -> None:
    changes: list[tuple[int, bool]] = []
    wiring = Wiring({}, buttons=(23, 24), buttons_to_ground=to_ground)
    buttons = Buttons(wiring, pins, lambda button, pressed: changes.append((button, pressed)))
    pressed, released = ("drive_low", "drive_high") if to_ground else ("drive_high", "drive_low")

    getattr(pins.pin("GPIO24"), pressed)()
    during = buttons.are_pressed()
    getattr(pins.pin("GPIO24"), released)()
    buttons.close()

    assert changes == [(1, True), (1, False)]
    assert during == [False, True]
