"""gpiozero's pins over libgpiod 2, the kernel's own interface to GPIO lines.

gpiozero 2.0 brings none (its issue 840; pull requests 1165 and 1185). Its lgpio factory leaves pipes where it was
started, has no wheel for Python 3.13, is in no Debian, and asks /proc for the board, which the unit hides. libgpiod is
in every Debian and on PyPI, needs /dev/gpiochip* alone, and serves a Pi 5 as any other.
"""

from __future__ import annotations

import os
import select
import struct
import threading
from pathlib import Path
from typing import Any

import gpiod
from gpiod.line import Bias, Direction, Edge, Value
from gpiozero.exc import PinInvalidFunction, PinInvalidPull, PinSetInput
from gpiozero.pins.local import LocalPiFactory
from gpiozero.pins.pi import PiFactory, PiPin

from bluezoned.errors import AlertError

REVISION = Path("/sys/firmware/devicetree/base/system/linux,revision")
"""Four bytes, big-endian. Raspberry Pi's own kernels have it."""
ANY_PI = 0xC03111
"""A Pi 4: the 40 pins are numbered alike on every board that has them."""

LABELS = ("pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1")
"""Of the chip with the 40 pins: up to Pi 3 and Zero 2, Pi 4, Pi 5. Its number differs between kernels."""

_BIAS = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN, "floating": Bias.DISABLED}
_EDGES = {"both": Edge.BOTH, "rising": Edge.RISING, "falling": Edge.FALLING}


def find_chip(name: str = "auto") -> str:
    """The path of the chip with the 40 pins, or of the one that is named (`gpiochip0`). AlertError where there is
    none that we may open."""
    if name != "auto":
        return f"/dev/{name}"
    refused = ""
    for path in sorted(Path("/dev").glob("gpiochip*")):
        try:
            with gpiod.Chip(str(path)) as chip:
                if chip.get_info().label in LABELS:
                    return str(path)
        except OSError as error:
            refused = f"; {path}: {error.strerror}"
    raise AlertError(f"no GPIO pins of a Raspberry Pi were found (alert.gpio_chip names another chip){refused}")


class GpiodFactory(PiFactory):  # type: ignore[misc]  # gpiozero has no types
    """Pins of one chip."""

    def __init__(self, path: str) -> None:
        super().__init__()
        try:
            self.chip = gpiod.Chip(path)
        except OSError as error:
            raise AlertError(f"{path} cannot be opened: {error.strerror}; is the user in the group gpio?") from error
        self.pin_class = GpiodPin

    def close(self) -> None:
        super().close()
        if self.chip:
            self.chip.close()

    def _get_revision(self) -> int:
        try:
            (revision,) = struct.unpack(">L", REVISION.read_bytes())
        except OSError:
            return ANY_PI
        return int(revision)

    ticks = staticmethod(LocalPiFactory.ticks)
    ticks_diff = staticmethod(LocalPiFactory.ticks_diff)


class GpiodPin(PiPin):  # type: ignore[misc]
    """One line, requested when it is first used. PWM is made here, in a thread, for dimming and tones of some 100 ms:
    the header's hardware has it on few pins, and not for libgpiod."""

    def __init__(self, factory: GpiodFactory, info: Any) -> None:
        super().__init__(factory, info)
        self._line = int(info.name.removeprefix("GPIO"))
        self._function, self._pull, self._edges = "input", "floating", "both"
        self._is_watching = False
        self._value = Value.INACTIVE
        self._request: gpiod.LineRequest | None = None
        self._frequency: float | None = None
        self._duty = 0.0
        self._pwm: _Pwm | None = None
        self._watch: _Watch | None = None

    def close(self) -> None:
        self._stop_pwm()
        self._disable_event_detect()
        if self._request is not None:
            self._request.release()
            self._request = None

    def _configure(self) -> gpiod.LineRequest:
        if self._function == "output":
            settings = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=self._value)
        else:
            edges = _EDGES[self._edges] if self._is_watching else Edge.NONE
            settings = gpiod.LineSettings(direction=Direction.INPUT, bias=_BIAS[self._pull], edge_detection=edges)
        if self._request is None:
            self._request = self.factory.chip.request_lines(consumer="bluezoned", config={self._line: settings})
        else:
            self._request.reconfigure_lines({self._line: settings})
        return self._request

    def output_with_state(self, state: bool) -> None:
        self._function, self._value = "output", Value(int(state))
        self._configure()

    def input_with_pull(self, pull: str) -> None:
        self._function, self._pull = "input", pull
        self._configure()

    def _get_function(self) -> str:
        return self._function

    def _set_function(self, value: str) -> None:
        if value not in ("input", "output"):
            raise PinInvalidFunction(f"{self!r} can be input or output, not {value}")
        self._function = value
        self._configure()

    def _get_state(self) -> float:
        if self._frequency is not None:
            return self._duty
        request = self._request or self._configure()
        return int(request.get_value(self._line) is Value.ACTIVE)

    def _set_state(self, value: float) -> None:
        if self._function != "output":
            raise PinSetInput(f"{self!r} is an input")
        self._duty = float(value)
        self._stop_pwm()
        if self._frequency is not None and 0 < self._duty < 1:
            self._pwm = _Pwm(self.drive, self._frequency, self._duty)
            self._pwm.start()
        else:
            self.drive(self._duty >= 0.5)

    def drive(self, high: bool) -> None:
        """Set the line itself, as the PWM does."""
        self._value = Value(int(high))
        (self._request or self._configure()).set_value(self._line, self._value)

    def _get_frequency(self) -> float | None:
        return self._frequency

    def _set_frequency(self, value: float | None) -> None:
        self._frequency = value or None
        if self._pwm is not None:
            self._set_state(self._duty)

    def _stop_pwm(self) -> None:
        if self._pwm is not None:
            self._pwm.stop()
            self._pwm = None

    def _get_pull(self) -> str:
        return self._pull

    def _set_pull(self, value: str) -> None:
        if value not in _BIAS:
            raise PinInvalidPull(f"{self!r} can be pulled up, down or float, not {value}")
        self._pull = value
        self._configure()

    def _get_bounce(self) -> None:
        return None  # gestures settle contacts by themselves, on a clock that tests can move

    def _set_bounce(self, value: float | None) -> None:
        del value

    def _get_edges(self) -> str:
        return self._edges

    def _set_edges(self, value: str) -> None:
        self._edges = value
        self._configure()

    def _enable_event_detect(self) -> None:
        self._is_watching = True
        self._watch = _Watch(self._configure(), self._call_when_changed)
        self._watch.start()

    def _disable_event_detect(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
            self._is_watching = False
            self._configure()


class _Watch(threading.Thread):
    """Waits for edges without ever waking in vain."""

    def __init__(self, request: gpiod.LineRequest, call: Any) -> None:
        super().__init__(name="button", daemon=True)
        self._request = request
        self._call = call
        self._stop_reading, self._stop_writing = os.pipe()

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._request.fd, select.POLLIN)
        poll.register(self._stop_reading, select.POLLIN)
        while all(ready != self._stop_reading for ready, _ in poll.poll()):
            for event in self._request.read_edge_events():
                self._call(event.timestamp_ns / 1e9, int(event.event_type is event.Type.RISING_EDGE))

    def stop(self) -> None:
        os.write(self._stop_writing, b".")
        if threading.current_thread() is not self:
            self.join()
            os.close(self._stop_reading)
            os.close(self._stop_writing)


class _Pwm(threading.Thread):
    """Switches a line on and off until stopped, and leaves it off."""

    def __init__(self, drive: Any, frequency: float, duty: float) -> None:
        super().__init__(name="pwm", daemon=True)
        self._drive = drive
        self._on, self._off = duty / frequency, (1 - duty) / frequency
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            self._drive(True)
            self._stopped.wait(self._on)
            self._drive(False)
            self._stopped.wait(self._off)

    def stop(self) -> None:
        self._stopped.set()
        self.join()
