"""What is soldered to which pin, what of a colour such lights can show, and boards whose pins are known.

Pure. docs/wiring.md shows the same as drawings and tables, and a test holds them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from bluezoned.alert.pattern import Colour


class Channel(Enum):
    """One light that is switched on its own."""

    ANY = "only"
    """The only one, of whatever colour: it speaks by rhythm alone."""
    RED = "red"
    AMBER = "amber"
    GREEN = "green"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Wiring:
    """BCM numbers of pins."""

    lights: Mapping[Channel, int]
    lights_are_one: bool = False
    """One RGB light, whose channels mix; else lights side by side."""
    lights_active_high: bool = True
    buzzer: int | None = None
    buzzer_is_passive: bool = False
    """It needs the tone made for it; an active one makes its own."""
    buzzer_active_high: bool = True
    buttons: tuple[int, ...] = ()
    """At most two. The first consents and acknowledges."""
    buttons_to_ground: bool = True
    """Pressed joins the pin to ground; else to 3.3 V."""


NOTHING = Wiring({})

FULL = 1.0
AMBER_GREEN = 0.3
"""How much green makes amber of red. A green die looks about three times as bright as a red one at the same current;
with all of it, amber is a yellow that half of those who see red and green alike take for green."""


def shown(colour: Colour, channels: frozenset[Channel], is_one: bool) -> dict[Channel, float]:
    """Which channels are lit for a colour, and how much of each (0 to 1). Where a light for the colour itself is
    missing, the nearest more worrying one speaks: never green, which says that all is well."""
    if colour is Colour.DARK:
        return {}
    if colour is Colour.AMBER and is_one and {Channel.RED, Channel.GREEN} <= channels:
        return {Channel.RED: FULL, Channel.GREEN: AMBER_GREEN}
    wanted = _INSTEAD[colour]
    found = next((channel for channel in wanted if channel in channels), None)
    return {} if found is None else {found: FULL}


_INSTEAD: Mapping[Colour, tuple[Channel, ...]] = {
    Colour.GREEN: (Channel.GREEN, Channel.ANY),
    Colour.RED: (Channel.RED, Channel.ANY),
    Colour.AMBER: (Channel.AMBER, Channel.RED, Channel.ANY),
    Colour.BLUE: (Channel.BLUE, Channel.AMBER, Channel.RED, Channel.ANY),
}


def _traffic(red: int, amber: int, green: int) -> dict[Channel, int]:
    return {Channel.RED: red, Channel.AMBER: amber, Channel.GREEN: green}


_RGB = {Channel.RED: 17, Channel.GREEN: 27, Channel.BLUE: 22}

PRESETS: Mapping[str, Wiring] = {
    "wearable": Wiring(_RGB, lights_are_one=True, buzzer=18, buttons=(23, 24)),
    "kiosk": Wiring(_traffic(17, 27, 22), buzzer=18, buzzer_is_passive=True, buttons=(23, 24)),
    "ledborg": Wiring(_RGB, lights_are_one=True),
    "pi-traffic": Wiring(_traffic(9, 10, 11)),
    "pi-stop-a": Wiring(_traffic(7, 8, 25)),
    "pi-stop-a-plus": Wiring(_traffic(21, 20, 16)),
    "pi-stop-b": Wiring(_traffic(10, 9, 11)),
    "pi-stop-b-plus": Wiring(_traffic(13, 19, 26)),
    "traffic-hat": Wiring(_traffic(24, 23, 22), buzzer=5, buttons=(25,)),
    "traffic-phat": Wiring(_traffic(25, 24, 23)),
    "jam-hat": Wiring(
        _traffic(5, 12, 16), buzzer=20, buzzer_is_passive=True, buttons=(19, 18), buttons_to_ground=False
    ),
    "fish-dish": Wiring(_traffic(9, 22, 4), buzzer=8, buttons=(7,), buttons_to_ground=False),
    "pibrella": Wiring(_traffic(27, 17, 4), buzzer=18, buzzer_is_passive=True, buttons=(11,), buttons_to_ground=False),
}
"""The first two are docs/wiring.md's own; the pins of the others are those that gpiozero 2.0 knows these boards by
(gpiozero.boards: LedBorg, PiTraffic, PiStop, TrafficHat, TrafficpHat, JamHat, FishDish, Pibrella). Pi-Stop C and D
stand on the serial port and the I2C bus, which others need."""

PHYSICAL: Mapping[int, int] = {
    2: 3, 3: 5, 4: 7, 14: 8, 15: 10, 17: 11, 18: 12, 27: 13, 22: 15, 23: 16, 24: 18, 10: 19, 9: 21, 25: 22, 11: 23,
    8: 24, 7: 26, 0: 27, 1: 28, 5: 29, 6: 31, 12: 32, 13: 33, 19: 35, 16: 36, 26: 37, 20: 38, 21: 40,
}  # fmt: skip
"""BCM number to the place on the 40-pin header."""


def problem(wiring: Wiring) -> str | None:
    """Why such a wiring cannot speak honestly, in words for people; None when it can."""
    pins = [*wiring.lights.values(), *filter(None, (wiring.buzzer,)), *wiring.buttons]
    if (twice := next((pin for pin in pins if pins.count(pin) > 1), None)) is not None:
        return f"GPIO{twice} is used twice"
    coloured = wiring.lights.keys() - {Channel.ANY}
    if coloured and Channel.ANY in wiring.lights:
        return "a light of its own (led) and coloured ones exclude each other"
    if coloured and not {Channel.RED, Channel.GREEN} <= coloured:
        return "coloured lights need red and green at least; a single light is set with led"
    return None
