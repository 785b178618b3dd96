"""When a phone is read, and when again. That it is read at all is for a machine with a Bluetooth stack."""

from __future__ import annotations

from typing import cast

import pytest
from bleak.backends.device import BLEDevice

from bluezoned.advertisement import Advertisement
from bluezoned.clock import ManualClock
from bluezoned.protocols.protocol import DAY
from bluezoned.radio import bluez_reader
from bluezoned.radio.bluez_bus import Adapter, Bluez
from bluezoned.radio.bluez_reader import PhoneReader

ADAPTER = Adapter("hci0", "AA:00:00:00:00:01", False, True, False, False, True)
PHONE = BLEDevice("3A:00:00:00:00:01", "a phone", {})
SECOND, START = 1000, 20_759 * DAY
ADVERTISEMENT = Advertisement(frozenset(), {}, {})


class ReaderWithoutAir(PhoneReader):
    """Gets of each phone what the test has laid out; None for a phone that has nothing, an exception for silence."""

    def __init__(self, clock: ManualClock, answers: list[Advertisement | Exception | None]) -> None:
        super().__init__(cast(Bluez, None), clock, lambda _: None)
        self.asked: list[int] = []
        """s since START."""
        self.clock = clock
        self.answers = answers

    async def _read(self, adapter: Adapter, device: BLEDevice) -> Advertisement | None:
        self.asked.append((self.clock.now() - START) // SECOND)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


SILENCE = bluez_reader._Unanswered()


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([SILENCE], [0, 30, 90, 210, 450, 750]),
        ([SILENCE, ADVERTISEMENT], [0, 30]),
        ([None], [0, 300, 600]),
        ([ADVERTISEMENT], [0]),
        ([SILENCE, SILENCE, None, SILENCE], [0, 30, 90, 390, 420, 480, 600]),
    ],
    ids=["silent", "once busy", "another's service", "well", "a silence after an answer counts anew"],
)
async def test_who_does_not_answer_is_asked_less_and_less_often(
    answers: list[Advertisement | Exception | None], asked: list[int]
) -> None:
    clock = ManualClock(START)
    reader = ReaderWithoutAir(clock, answers)
    while clock.now() < START + 800 * SECOND:
        known = await reader._ask(ADAPTER, PHONE)
        reader._remember(PHONE.address, known)
        await clock.advance(known.until)

    assert reader.asked == asked
