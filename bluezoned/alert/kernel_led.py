"""A light that the kernel owns, such as the green ACT light of every Pi: /sys/class/leds/NAME."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from bluezoned.alert.pattern import Colour, Tone
from bluezoned.alert.wiring import Channel, shown
from bluezoned.errors import AlertError

LEDS = Path("/sys/class/leds")

_CHANNELS = frozenset({Channel.ANY})


class KernelLed:
    """One light, which speaks by rhythm alone. Its trigger, by which the kernel lets it blink for something else (the
    SD card), is put back at the end. The kernel's own timers are left unused: they would go on for a dead program."""

    def __init__(self, name: str, level: float = 1.0, leds: Path = LEDS) -> None:
        self._place = leds / name
        self._is_lit = False
        try:
            full = int((self._place / "max_brightness").read_text())
            triggers = (self._place / "trigger").read_text().split()
            self._trigger = next((word.strip("[]") for word in triggers if word.startswith("[")), "none")
            self._level = max(1, round(full * level))
            self._write("trigger", "none")
        except OSError as error:
            raise self._refused(error) from error

    def show(self, colour: Colour, tone: Tone | None) -> None:
        del tone
        is_lit = bool(shown(colour, _CHANNELS, False))
        if is_lit == self._is_lit:
            return
        try:
            self._write("brightness", str(self._level if is_lit else 0))
        except OSError as error:
            raise self._refused(error) from error
        self._is_lit = is_lit

    def parts(self) -> tuple[str, ...]:
        return (f"light {self._place.name} of the kernel",)

    def close(self) -> None:
        with suppress(OSError):  # a light that is gone needs no care
            self._write("brightness", "0")
            self._write("trigger", self._trigger)

    def _write(self, file: str, text: str) -> None:
        # Opened for each write: 50 us, and a light that was unplugged and came back works again.
        (self._place / file).write_text(text)

    def _refused(self, error: OSError) -> AlertError:
        return AlertError(f"the light {self._place.name} cannot be switched: {error.strerror}; see docs/wiring.md")
