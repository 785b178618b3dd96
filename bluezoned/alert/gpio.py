"""Lights, buzzer and buttons on GPIO pins, through gpiozero. Which pins do what is wiring's matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gpiozero import DigitalInputDevice, DigitalOutputDevice, PWMOutputDevice
from gpiozero.exc import GPIOZeroError

from bluezoned.alert.pattern import Colour, Tone
from bluezoned.alert.wiring import FULL, Channel, Wiring, shown
from bluezoned.errors import AlertError

DIM_HZ = 100
"""Of a dimmed light. Below 60 it flickers; at 200 a Pi Zero spends twice the time on it."""

LOUDEST = 0.5
"""Duty of a tone at full volume: a square wave is loudest when it is even."""


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (GPIOZeroError, OSError) as error:
        raise AlertError(f"{what}: {error}") from error


class GpioOutput:
    """Lights and buzzer. `volume` from 0 (none) to 1; it changes what a passive buzzer is given, and whether an active
    one sounds at all. AlertError where the pins cannot be had."""

    def __init__(self, wiring: Wiring, factory: Any, volume: float = 1.0, level: float = FULL) -> None:
        self._wiring = wiring
        self._volume = volume
        self._level = level
        self._lights: dict[Channel, Any] = {}
        self._buzzer: Any = None
        try:
            for channel, pin in wiring.lights.items():
                with _translated(f"the {channel.value} light on GPIO{pin}"):
                    self._lights[channel] = PWMOutputDevice(
                        pin, active_high=wiring.lights_active_high, frequency=DIM_HZ, pin_factory=factory
                    )
            if wiring.buzzer is not None:
                kind = PWMOutputDevice if wiring.buzzer_is_passive else DigitalOutputDevice
                with _translated(f"the buzzer on GPIO{wiring.buzzer}"):
                    self._buzzer = kind(wiring.buzzer, active_high=wiring.buzzer_active_high, pin_factory=factory)
        except AlertError:
            self.close()
            raise

    def show(self, colour: Colour, tone: Tone | None) -> None:
        levels = shown(colour, frozenset(self._lights), self._wiring.lights_are_one)
        with _translated("the light"):
            for channel, light in self._lights.items():
                light.value = levels.get(channel, 0.0) * self._level
        with _translated("the buzzer"):
            self._sound(tone)

    def _sound(self, tone: Tone | None) -> None:
        if self._buzzer is None:
            return
        if tone is None or not self._volume:
            self._buzzer.value = 0
        elif self._wiring.buzzer_is_passive:
            self._buzzer.frequency = tone.value
            self._buzzer.value = LOUDEST * self._volume
        else:
            self._buzzer.value = 1

    def parts(self) -> tuple[str, ...]:
        lights = [f"{channel.value} light on GPIO{pin}" for channel, pin in self._wiring.lights.items()]
        return (*lights, *([f"buzzer on GPIO{self._wiring.buzzer}"] if self._buzzer is not None else []))

    def close(self) -> None:
        for device in (*self._lights.values(), self._buzzer):
            if device is not None:
                device.off()
                device.close()


class Buttons:
    """Calls `changed(button, is_pressed)` from a thread of its own at each change, button 0 first. AlertError where the
    pins cannot be had."""

    def __init__(self, wiring: Wiring, factory: Any, changed: Callable[[int, bool], None]) -> None:
        self._devices: list[Any] = []
        try:
            for number, pin in enumerate(wiring.buttons):
                with _translated(f"the button on GPIO{pin}"):
                    device = DigitalInputDevice(pin, pull_up=wiring.buttons_to_ground, pin_factory=factory)
                    self._devices.append(device)
                    device.when_activated = lambda number=number: changed(number, True)
                    device.when_deactivated = lambda number=number: changed(number, False)
        except AlertError:
            self.close()
            raise

    def are_pressed(self) -> list[bool]:
        """Now, button 0 first."""
        return [bool(device.is_active) for device in self._devices]

    def close(self) -> None:
        for device in self._devices:
            device.close()
