"""The player: which pattern when, and honesty about its own freshness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time

import pytest

from bluezoned.alert.indicator import Indication
from bluezoned.alert.pattern import GRAMMAR, Answer, Colour, Tone
from bluezoned.alert.signaller import HELP_EVERY, MOST_SOUNDS, SELFTEST_EACH, Manner, QuietHours, Signaller
from bluezoned.clock import ManualClock
from bluezoned.errors import AlertError

NOON = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp() * 1000)
MINUTE = 60_000


class OutputOnPaper:
    """A double: writes down what would be lit and heard, and when."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.shown: list[tuple[int, Colour, Tone | None]] = []
        self.refuses = False

    def show(self, colour: Colour, tone: Tone | None) -> None:
        if self.refuses:
            raise AlertError("the light came off")
        self.shown.append((self._clock.now() - NOON, colour, tone))

    def parts(self) -> tuple[str, ...]:
        return ("paper",)

    def close(self) -> None:
        pass

    def sounds(self) -> int:
        return sum(tone is not None for _, _, tone in self.shown)


class Desk:
    """A signaller at work, and a box that tells its state each minute while it lives."""

    def __init__(self, clock: ManualClock, manner: Manner) -> None:
        self.clock = clock
        self.output = OutputOnPaper(clock)
        self.state = Indication.ALL_WELL
        self.is_acknowledged = False
        self.signaller = Signaller(self.output, clock, manner, lambda: (self.state, self.is_acknowledged))

    async def tell(self, state: Indication, acknowledged: bool = False) -> None:
        self.state, self.is_acknowledged = state, acknowledged
        self.signaller.show(state, acknowledged)
        await self.clock.settle()

    async def live(self, minutes: int) -> None:
        for _ in range(minutes):
            await self.clock.advance(self.clock.now() + MINUTE)
            self.signaller.show(self.state, self.is_acknowledged)


@asynccontextmanager
async def at_work(manner: Manner | None = None) -> AsyncIterator[Desk]:
    desk = Desk(ManualClock(NOON), manner or Manner(good_for=3 * MINUTE, zone=UTC))
    running = asyncio.create_task(desk.signaller.run())
    await desk.clock.settle()
    yield desk
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_pattern_of_the_state_is_repeated() -> None:
    async with at_work() as desk:
        await desk.tell(Indication.SOMEONE_NEAR)
        begun = len(desk.output.shown)
        await desk.clock.advance(NOON + 8000)

    lit = [at for at, colour, _ in desk.output.shown[begun - 1 :] if colour is Colour.GREEN]
    assert lit == [0, 320, 4000, 4320, 8000]


async def test_before_the_box_has_told_anything_it_is_dark() -> None:
    async with at_work() as desk:
        await desk.clock.advance(NOON + MINUTE)

    assert {colour for _, colour, _ in desk.output.shown} == {Colour.DARK}


async def test_a_box_that_stands_still_goes_dark_and_lights_again() -> None:
    async with at_work() as desk:
        await desk.tell(Indication.ALL_WELL)
        await desk.clock.advance(NOON + 10 * MINUTE)
        last = max(at for at, colour, _ in desk.output.shown if colour is Colour.GREEN)
        await desk.tell(Indication.ALL_WELL)

    assert 3 * MINUTE - 4000 <= last <= 3 * MINUTE
    assert desk.output.shown[-2][1] is Colour.GREEN


async def test_trouble_is_seen_within_one_repetition_without_being_told() -> None:
    async with at_work() as desk:
        await desk.tell(Indication.ALL_WELL)
        desk.state = Indication.CANNOT_HEAR
        await desk.clock.advance(NOON + 4000)

    assert desk.output.shown[-2][1:] == (Colour.AMBER, Tone.LOW)


async def test_a_case_is_heard_again_until_the_carrier_knows() -> None:
    async with at_work() as desk:
        await desk.tell(Indication.F1)
        await desk.live(1)
        first = desk.output.sounds()
        await desk.live(10)
        again = desk.output.sounds()
        await desk.tell(Indication.F1, acknowledged=True)
        await desk.live(20)

    assert first == 6
    assert again == 18
    assert desk.output.sounds() == again
    assert [colour for _, colour, _ in desk.output.shown].count(Colour.RED) > 1000


async def test_a_case_is_not_announced_for_ever() -> None:
    async with at_work() as desk:
        await desk.tell(Indication.F1)
        await desk.live(180)

    assert desk.output.sounds() == 6 * MOST_SOUNDS


async def test_an_acknowledgement_holds_for_one_state_alone() -> None:
    async with at_work() as desk:
        await desk.tell(Indication.F2, acknowledged=True)
        await desk.live(1)
        before = desk.output.sounds()
        await desk.tell(Indication.F1)
        await desk.live(1)

    assert before == 0
    assert desk.output.sounds() == 6


async def test_something_new_in_the_same_state_is_heard_again() -> None:
    async with at_work() as desk:
        await desk.tell(Indication.F1, acknowledged=True)
        await desk.live(10)
        await desk.tell(Indication.F1)
        await desk.live(1)

    assert desk.output.sounds() == 6


async def test_a_radio_that_comes_and_goes_beeps_once_an_hour() -> None:
    async with at_work() as desk:
        for minute in range(2 * HELP_EVERY // MINUTE):
            await desk.tell(Indication.CANNOT_HEAR if minute % 2 else Indication.ALL_WELL)
            await desk.live(1)

    assert desk.output.sounds() == 2


@pytest.mark.parametrize("discreet", [True, False])
async def test_discretion_makes_no_sound(discreet: bool) -> None:
    async with at_work(Manner(3 * MINUTE, is_discreet=discreet, zone=UTC)) as desk:
        await desk.tell(Indication.F1)
        desk.signaller.answer(Answer.DONE)
        await desk.live(30)

    assert bool(desk.output.sounds()) is not discreet


async def test_what_falls_into_quiet_hours_is_heard_at_their_end() -> None:
    quiet = QuietHours(time(11, 30), time(12, 30))
    async with at_work(Manner(3 * MINUTE, quiet=quiet, zone=UTC)) as desk:
        await desk.tell(Indication.F1)
        await desk.live(29)
        during = desk.output.sounds()
        await desk.live(2)

    assert during == 0
    assert desk.output.sounds() == 6


@pytest.mark.parametrize(
    ("hours", "at", "holds"),
    [
        (("22:00", "07:00"), "23:30", True),
        (("22:00", "07:00"), "06:59", True),
        (("22:00", "07:00"), "07:00", False),
        (("13:00", "14:00"), "13:00", True),
        (("13:00", "14:00"), "14:00", False),
        (("00:00", "00:00"), "00:00", False),
    ],
)
def test_quiet_hours_reach_over_midnight(hours: tuple[str, str], at: str, holds: bool) -> None:
    quiet = QuietHours(*map(time.fromisoformat, hours))

    assert quiet.holds(datetime.combine(datetime(2026, 11, 24), time.fromisoformat(at))) is holds


async def test_an_answer_comes_at_once_and_then_the_state_again() -> None:
    async with at_work() as desk:
        await desk.tell(Indication.ALL_WELL)
        await desk.clock.advance(NOON + 1000)
        desk.signaller.answer(Answer.COUNT)
        await desk.clock.settle()
        answered = desk.output.shown[-1]
        await desk.clock.advance(NOON + 2000)

    assert answered == (1000, Colour.BLUE, Tone.HIGH)
    assert desk.output.shown[-3][1] is Colour.GREEN


async def test_a_light_that_refuses_is_told_once_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with at_work() as desk:
        desk.output.refuses = True
        await desk.tell(Indication.F1)
        await desk.live(1)
        problem = desk.signaller.problem
        desk.output.refuses = False
        await desk.live(1)

    assert problem == "the light came off"
    assert caplog.messages == ["the light came off"]
    assert desk.signaller.problem == ""
    assert desk.output.shown


@pytest.mark.parametrize("discreet", [True, False])
async def test_a_self_test_plays_every_state_for_its_time_whatever_holds(discreet: bool) -> None:
    async with at_work(
        Manner(3 * MINUTE, is_discreet=discreet, quiet=QuietHours(time(11), time(13)), zone=UTC)
    ) as desk:
        await desk.tell(Indication.F1)
        begun = len(desk.output.shown)
        test = desk.signaller.selftest()
        await desk.clock.advance(NOON + 1000)
        await desk.tell(Indication.CANNOT_HEAR)
        await desk.clock.advance(NOON + len(Indication) * SELFTEST_EACH)
        played = desk.output.shown[begun:]
        await desk.clock.advance(NOON + len(Indication) * SELFTEST_EACH + 1000)
        end = len(Indication) * SELFTEST_EACH

    assert test.parts == ("paper",)
    for number, indication in enumerate(Indication):
        colours = {c for at, c, _ in played if number * test.each <= at < (number + 1) * test.each}
        assert colours == {step.colour for step in GRAMMAR[indication].steps}
    assert any(tone is not None for _, _, tone in played) is not discreet
    assert Colour.AMBER in {colour for at, colour, _ in desk.output.shown if at >= end}


async def test_the_end_is_dark() -> None:
    async with at_work() as desk:
        await desk.tell(Indication.F1)

    assert desk.output.shown[-1][1:] == (Colour.DARK, None)
