"""The port to what can be seen and heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bluezoned.alert.pattern import Colour, Tone


class Output(Protocol):
    """Something that lights or sounds. Each call returns at once; AlertError when the hardware refuses."""

    def show(self, colour: Colour, tone: Tone | None) -> None:
        """From now on. DARK and None are off."""

    def parts(self) -> tuple[str, ...]:
        """For people, such as `red light on GPIO17`."""

    def close(self) -> None:
        """Off, and given back."""


class Outputs:
    """Several as one."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = outputs

    def show(self, colour: Colour, tone: Tone | None) -> None:
        for output in self._outputs:
            output.show(colour, tone)

    def parts(self) -> tuple[str, ...]:
        return tuple(part for output in self._outputs for part in output.parts())

    def close(self) -> None:
        for output in self._outputs:
            output.close()
