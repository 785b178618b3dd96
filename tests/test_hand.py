"""A hand at the buttons of a box: the verbs it works, and those it must not."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bluezoned import assembly, config_source
from bluezoned.alert.indicator import Indication
from bluezoned.alert.journal import JournalIndicator
from bluezoned.alert.pattern import Answer, Colour, Tone
from bluezoned.alert.signaller import Manner, Signaller
from bluezoned.box import Box, Rhythm
from bluezoned.clock import ManualClock
from bluezoned.errors import StoreError
from bluezoned.feed.spool import Spool
from bluezoned.hand import Hand
from bluezoned.protocols.protocol import DAY
from bluezoned.recorder import Recorder
from bluezoned.tracing.device import Device
from bluezoned.tracing.store import Store
from tests.alert.test_signaller import OutputOnPaper
from tests.test_box import RadioWithoutAir

PATIENCE = 60_000


class Desk:
    """A box, its light on paper, and a hand at its two buttons."""

    def __init__(self, box: Box, clock: ManualClock) -> None:
        self.box = box
        self.clock = clock
        self.output = OutputOnPaper(clock)
        self.signaller = Signaller(self.output, clock, Manner(good_for=DAY), box.condition.shown)
        self.hand = Hand(box, clock, self.signaller, PATIENCE, erase_hours=4)
        self.done: list[str] = []

    async def pass_time(self, duration: int) -> None:
        await self.clock.advance(self.clock.now() + duration)

    async def hold(self, duration: int, *buttons: int) -> None:
        for button in buttons or (0,):
            self.hand.feel(button, True)
        await self.pass_time(duration)
        for button in buttons or (0,):
            self.hand.feel(button, False)
        await self.pass_time(200)

    def answered(self, answer: Answer) -> bool:
        """Whether the box said so, last of all."""
        lit = [(colour, tone) for _, colour, tone in self.output.shown]
        said = [(step.colour, step.tone) for step in answer.value.steps]
        return any(lit[n : n + len(said)] == said for n in range(len(lit)))

    def forget(self) -> None:
        self.output.shown.clear()


@asynccontextmanager
async def at_work(tmp_path: Path, pressed: tuple[bool, ...] = (False, False)) -> AsyncIterator[Desk]:
    with Store(tmp_path / "s.db", bytes(32), os.urandom) as store:
        device = Device(assembly.settings(config_source.load([], {}, {})), store, os.urandom)
        clock, recorder = ManualClock(20_000 * DAY), Recorder(tmp_path / "capture.jsonl")
        rhythm = Rhythm(60_000, DAY)
        box = Box(device, RadioWithoutAir(3), clock, Spool(tmp_path), JournalIndicator(), recorder, rhythm)
        desk = Desk(box, clock)
        tasks = [asyncio.create_task(desk.signaller.run()), asyncio.create_task(desk.hand.run(pressed))]
        await clock.settle()
        yield desk
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_press_takes_note_of_what_is_shown(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        before = desk.box.condition.shown()
        await desk.hold(200)
        await desk.pass_time(3000)

        assert before == (Indication.KEYS_STALE, False)
        assert desk.box.condition.shown() == (Indication.KEYS_STALE, True)
        assert desk.answered(Answer.DONE)


async def test_a_hold_is_yes_while_a_question_is_open(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        desk.hand.ask(lambda: desk.done.append("yes"))
        asked = desk.box.status().last_upload
        await desk.pass_time(5000)
        await desk.hold(3500)
        await desk.pass_time(5000)

        assert asked == "unconfirmed"
        assert desk.done == ["yes"]
        assert desk.box.status().last_upload is None
        assert [tone for _, _, tone in desk.output.shown].count(Tone.HIGH) >= 3
        assert desk.answered(Answer.QUESTION)
        assert desk.answered(Answer.DONE)


async def test_nobody_s_yes_is_taken_before_it_was_asked_for(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.hold(5000)
        desk.hand.ask(lambda: desk.done.append("yes"))
        await desk.pass_time(5000)

        assert desk.done == []
        assert desk.answered(Answer.REFUSED)


@pytest.mark.parametrize("length", [200, 2000])
async def test_less_than_a_hold_is_no_yes(tmp_path: Path, length: int) -> None:
    async with at_work(tmp_path) as desk:
        desk.hand.ask(lambda: desk.done.append("yes"))
        await desk.hold(length)
        await desk.pass_time(2 * PATIENCE)

        assert desk.done == []
        assert desk.answered(Answer.REFUSED)
        assert not desk.box.condition.awaits_yes


async def test_a_hold_that_began_before_the_question_is_no_yes(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        desk.hand.feel(0, True)
        await desk.pass_time(2000)
        desk.hand.ask(lambda: desk.done.append("yes"))
        await desk.pass_time(5000)
        desk.hand.feel(0, False)
        await desk.pass_time(1000)
        before = list(desk.done)
        await desk.hold(3500)

        assert before == []
        assert desk.done == ["yes"]


async def test_a_question_closes_by_itself(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        desk.hand.ask(lambda: desk.done.append("yes"))
        await desk.pass_time(PATIENCE + 1)
        closed = not desk.box.condition.awaits_yes
        await desk.hold(5000)

        assert closed
        assert desk.done == []


async def test_a_stuck_button_says_no_yes(tmp_path: Path) -> None:
    async with at_work(tmp_path, pressed=(True, False)) as desk:
        desk.hand.ask(lambda: desk.done.append("yes"))
        await desk.pass_time(20_000)

        assert desk.done == []
        desk.hand.feel(0, False)
        await desk.pass_time(1000)
        await desk.hold(3500)
        assert desk.done == ["yes"]


async def test_a_stuck_button_is_told_until_it_is_free(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with at_work(tmp_path, pressed=(False, True)) as desk:
        desk.box.device.keys_issued = desk.clock.now  # type: ignore[method-assign]
        await desk.pass_time(16_000)
        stuck = desk.box.condition.indication()
        desk.hand.feel(1, False)
        await desk.pass_time(1000)

        assert stuck is Indication.BUTTON_STUCK
        warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert warned == [Indication.BUTTON_STUCK.sentence]
        assert desk.box.condition.indication() is Indication.ALL_WELL


async def test_both_buttons_pause_and_resume(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.hold(3500, 0, 1)
        paused = (desk.box.condition.is_paused, desk.box.condition.indication())
        await desk.hold(3500, 1, 0)

        assert paused == (True, Indication.PAUSED)
        assert not desk.box.condition.is_paused


async def test_five_presses_and_a_hold_unlearn_the_last_hours(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        desk.box.erase_last = lambda hours: desk.done.append(f"erased {hours}")  # type: ignore[method-assign]
        for _ in range(5):
            await desk.hold(150)
        await desk.hold(3500)

        assert desk.done == ["erased 4"]


async def test_a_wish_that_fails_is_answered_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise StoreError("the disk is full")

    async with at_work(tmp_path) as desk:
        desk.hand.ask(fail)
        desk.forget()
        await desk.hold(3500)
        await desk.pass_time(2000)

        assert desk.answered(Answer.REFUSED)
        assert not desk.answered(Answer.DONE)
        assert "the disk is full" in caplog.text


async def test_answers_show_no_green(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        desk.hand.ask(lambda: None)
        await desk.hold(3500)
        await desk.pass_time(10_000)

        assert Colour.GREEN not in {colour for _, colour, _ in desk.output.shown}
