"""Lights, buzzer and buttons as the settings describe them. Layer 4.

Nothing here is needed to trace: what cannot be had is told in words, and the box goes on without it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import time
from typing import TYPE_CHECKING, Any

from bluezoned import config as options
from bluezoned.alert import wiring as wirings
from bluezoned.alert.indicator import Indication
from bluezoned.alert.kernel_led import KernelLed
from bluezoned.alert.output import Output, Outputs
from bluezoned.alert.signaller import Manner, QuietHours, Signaller
from bluezoned.alert.wiring import FULL, Channel, Wiring
from bluezoned.clock import Clock
from bluezoned.config import Config
from bluezoned.errors import AlertError, ConfigError

if TYPE_CHECKING:
    from bluezoned.alert.gpio import Buttons

log = logging.getLogger(__name__)

DISCREET_LEVEL = 0.2
"""Of full light. Seen in a shadow, not across a room."""

TICKS_GOOD = 3
"""Ticks that a box may miss before its light goes dark. One is late on a slow SD card."""


def wiring(alert: options.Alert) -> Wiring:
    """The preset with what was set beside it. ConfigError where it could not speak honestly."""
    preset = wirings.PRESETS.get(alert.preset, wirings.NOTHING)
    given = {
        Channel.ANY: alert.led,
        Channel.RED: alert.led_red,
        Channel.AMBER: alert.led_amber,
        Channel.GREEN: alert.led_green,
        Channel.BLUE: alert.led_blue,
    }
    buttons = [pin for pin in (alert.button, alert.button_2) if pin]
    described = Wiring(
        lights={**preset.lights, **{channel: pin for channel, pin in given.items() if pin}},
        lights_are_one=_either(alert.led_kind, "rgb", preset.lights_are_one),
        lights_active_high=_either(alert.led_active, "high", preset.lights_active_high),
        buzzer=alert.buzzer or preset.buzzer,
        buzzer_is_passive=_either(alert.buzzer_kind, "passive", preset.buzzer_is_passive),
        buzzer_active_high=_either(alert.buzzer_active, "high", preset.buzzer_active_high),
        buttons=tuple(buttons) or preset.buttons,
        buttons_to_ground=_either(alert.button_to, "ground", preset.buttons_to_ground),
    )
    if alert.button_2 and not alert.button:
        described = replace(described, buttons=(*preset.buttons[:1], alert.button_2))
    if alert.consent == "button" and not described.buttons:
        raise ConfigError('alert.consent: "button" needs a button (alert.button or a preset that has one)')
    if (problem := wirings.problem(described)) is not None:
        raise ConfigError(f"alert: {problem}")
    return described


def _either(given: str, meaning: str, preset: bool) -> bool:
    return given == meaning if given else preset


def manner(config: Config) -> Manner:
    """How loud and how often."""
    start, _, end = config.alert.quiet_hours.partition("-")
    quiet = QuietHours(time.fromisoformat(start), time.fromisoformat(end)) if end else QuietHours()
    return Manner(
        good_for=TICKS_GOOD * config.beacon.tick_s * 1000,
        remind=config.alert.remind_s * 1000,
        is_discreet=config.alert.discreet,
        quiet=quiet,
    )


class Hardware:
    """What of it there is, until closed."""

    def __init__(self, alert: options.Alert) -> None:
        self.problem = ""
        """Why a part of it cannot be had, for people; empty when all is well."""
        self._alert = alert
        self._wiring = wiring(alert)
        self._parts = ExitStack()
        self._factory: Any = None
        try:
            if self._wiring.lights or self._wiring.buzzer or self._wiring.buttons:
                self._factory = self._pins()
        except AlertError as error:
            self._note(error)

    def signaller(self, clock: Clock, manner: Manner, ask: Callable[[], tuple[Indication, bool]]) -> Signaller | None:
        """None where nothing lights or sounds."""
        outputs: list[Output] = []
        level = DISCREET_LEVEL if manner.is_discreet else FULL
        if self._factory is not None and (self._wiring.lights or self._wiring.buzzer):
            # Here, because gpiozero takes a second to import on a small Pi.
            from bluezoned.alert.gpio import GpioOutput

            volume = self._alert.volume / 100
            self._add(outputs, lambda: GpioOutput(self._wiring, self._factory, volume, level))
        if self._alert.kernel_led:
            self._add(outputs, lambda: KernelLed(self._alert.kernel_led, level))
        return Signaller(Outputs(outputs), clock, manner, ask) if outputs else None

    def buttons(self, changed: Callable[[int, bool], None]) -> Buttons | None:
        """None where there are none, or none that can be had."""
        if self._factory is None or not self._wiring.buttons:
            return None
        from bluezoned.alert.gpio import Buttons

        try:
            buttons = Buttons(self._wiring, self._factory, changed)
        except AlertError as error:
            self._note(error)
            return None
        self._parts.callback(buttons.close)
        return buttons

    def close(self) -> None:
        """Dark, silent, given back."""
        self._parts.close()

    def _pins(self) -> Any:
        from bluezoned.alert import gpiod_pins

        factory = gpiod_pins.GpiodFactory(gpiod_pins.find_chip(self._alert.gpio_chip))
        self._parts.callback(factory.close)
        return factory

    def _add(self, outputs: list[Output], make: Callable[[], Output]) -> None:
        try:
            output = make()
        except AlertError as error:
            self._note(error)
        else:
            self._parts.callback(output.close)
            outputs.append(output)

    def _note(self, error: AlertError) -> None:
        log.warning("%s", error)
        self.problem = str(error)
