"""One running box: four loops around the device, and what its carrier may ask of it.

    listen      what the radio hears goes to the device
    broadcast   one advertisement per rotation goes to the radio
    inbox       what sync brought is checked and applied; what was consented to is laid out for it
    tick        what changed is stored, and the light is set

A loop that fails for a reason it cannot name takes the process down, and the service manager starts it again.
Layer 4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from bluezoned.alert.indicator import Indication, Indicator
from bluezoned.clock import Clock
from bluezoned.condition import Condition
from bluezoned.control.report import EncounterDay, ExposureDay, SelfTestReport, StatusReport
from bluezoned.errors import RadioError, StoreError
from bluezoned.event import Event
from bluezoned.exchange import Exchange
from bluezoned.feed.spool import Spool
from bluezoned.fork_evidence import ForkEvidence
from bluezoned.radio.radio import Radio
from bluezoned.recorder import Recorder
from bluezoned.tracing.calibration import LevelWindow
from bluezoned.tracing.device import Device, Settings

log = logging.getLogger(__name__)

LOOK = 60_000
"""ms between two looks into the inbox, and between two tries while something is missing. Sync comes every few hours:
at ten minutes an alert would be that much later, at ten seconds a Pi never sleeps."""


HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often, in ms."""

    tick: int
    stale_after: int
    """Age of the newest complete list after which silence is no all-clear."""
    chaff: int = 0
    """Mean between two uploads that say nothing; 0 for none."""


class Box:
    """One running box."""

    def __init__(
        self,
        device: Device,
        radio: Radio,
        clock: Clock,
        spool: Spool,
        indicator: Indicator,
        recorder: Recorder,
        rhythm: Rhythm,
    ) -> None:
        self.device = device
        self.radio = radio
        self.clock = clock
        self.on_change: Callable[[], None] = lambda: None
        """Called when something that the control interface shows may have changed."""
        self.asks: Callable[[Callable[[], None]], None] = lambda act: act()
        """Does what was asked for once the carrier agrees; at once where the one who calls is trusted to have asked."""
        self._exchange = Exchange(device, clock, spool, self._tell)
        self._indicator = indicator
        self._recorder = recorder
        self._rhythm = rhythm
        self._looks: int | None = -1
        self._renewed = asyncio.Event()
        self._missed = 0
        self._paused, self._resumed = asyncio.Event(), asyncio.Event()
        (self._paused if device.is_paused() else self._resumed).set()
        self.condition = Condition(device, radio, clock, self._exchange, recorder, rhythm.stale_after)
        self.condition.is_paused = self._paused.is_set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._on_air(), name="on air")
            loops.create_task(self._inbox(), name="inbox")
            loops.create_task(self._tick(), name="tick")

    def adopt(self, settings: Settings, rhythm: Rhythm) -> None:
        """The operator chose anew: see Device.adopt."""
        self._rhythm = rhythm
        self.condition.stale_after = rhythm.stale_after
        self.device.adopt(settings)
        self._tell()

    def answers(self) -> bool:
        """Whether the store answers now, and the radio has since the last call. That one is in trouble, and says so, is
        an answer: starting anew mends no full disk and no missing adapter, and loses what is open."""
        with suppress(StoreError):
            self.device.is_paused()
        before, self._looks = self._looks, self.radio.health().looks
        return self._paused.is_set() or self._looks is None or self._looks != before

    async def _on_air(self) -> None:
        """The two loops of the radio, between pauses. The radio is entered here, so that whatever ends them leaves it
        silent."""
        while True:
            await self._resumed.wait()
            async with self.radio, asyncio.TaskGroup() as loops:
                listen = loops.create_task(self._listen(), name="listen")
                while not self._paused.is_set():
                    self._renewed.clear()
                    broadcast = loops.create_task(self._broadcast(), name="broadcast")
                    await self._renewed.wait()
                    broadcast.cancel()
                listen.cancel()

    # the loops

    async def _listen(self) -> None:
        async for reception in self.radio:
            self._recorder.hear(reception)
            if self.clock.is_synchronized():
                self.device.hear(reception)

    async def _broadcast(self) -> None:
        while True:
            at = self.clock.now()
            wait_until = at + LOOK
            if self.clock.is_synchronized():
                try:
                    await self.radio.advertise(self.device.advertisement(at))
                    wait_until = self.device.next_rotation(at)
                except StoreError as error:
                    # An identifier whose key is not stored could never be published, and one that is over would link
                    # its carrier's ways: better silent than either.
                    await self.radio.advertise(None)
                    self.condition.note_store_failure(error)
            await self.clock.sleep_until(wait_until)

    async def _inbox(self) -> None:
        while True:
            try:
                await self._exchange.look_into_inbox()
                self._exchange.lay_out_uploads()
                self._exchange.lay_out_chaff(self._rhythm.chaff)
            except StoreError as error:
                self.condition.note_store_failure(error)
            await self.clock.sleep_until(self.clock.now() + LOOK)

    async def _tick(self) -> None:
        while True:
            at = self.clock.now()
            self._note_missed()
            try:
                self.device.tick(at)
                self.condition.note_store_well()
            except StoreError as error:
                self.condition.note_store_failure(error)
            self._recorder.look(at)
            self.condition.count(at)
            self._tell()
            await self.clock.sleep_until(at - at % self._rhythm.tick + self._rhythm.tick)

    def _note_missed(self) -> None:
        """What the radio has not listened to is a gap, and no silence of others."""
        missed = self.radio.health().missed
        # It counts from 0 after each pause, in which everybody is gone.
        self.device.miss(missed - self._missed if missed >= self._missed else missed)
        self._missed = missed

    def _tell(self) -> None:
        """Light and bus, at once: news of a case must not wait for the next tick."""
        self._indicator.show(*self.condition.shown())
        self.on_change()

    # what the carrier may ask, as control.interface.ControlledDaemon lists it

    def status(self) -> StatusReport:
        """How the box is."""
        return self.condition.status()

    def encounters(self) -> list[EncounterDay]:
        """Totals of each day kept, newest first."""
        return [
            EncounterDay(_date(d.day), d.rolling_ids, d.minutes, round(d.minutes_near))
            for d in self.device.encounters(self.clock.now())
        ]

    def exposures(self) -> list[ExposureDay]:
        """Days that count for something, newest first."""
        return [
            ExposureDay(
                _date(e.risk.day),
                e.tier.name,
                e.risk.level.name.lower(),
                *(round(minutes) for minutes in (e.risk.minutes, e.risk.least, e.risk.most)),
            )
            for e in self.device.exposures()
        ]

    def fork(self) -> ForkEvidence | None:
        """Two signed logs of the authority that contradict each other; None when none were seen."""
        return self.device.witness.fork()

    def consent(self, code: str, hours: tuple[int, int] | None = None) -> None:
        """The carrier's yes, to the keys of all days or of some `hours` (seconds UTC): see Device.consent. The upload
        lies in the outbox when this returns, or when the carrier has held the button, where settings ask for that."""
        self.device.check_consent(code)
        self.asks(lambda: self._publish(code, hours))
        self._tell()

    def _publish(self, code: str, hours: tuple[int, int] | None) -> None:
        self.device.consent(code, self.clock.now(), None if hours is None else (hours[0] * 1000, hours[1] * 1000))
        log.info("consent given: own keys are sealed and wait to be sent", extra=Event.CONSENT.fields())
        self._exchange.lay_out_uploads()
        self._tell()

    def calibrate(self) -> None:
        """Begin to gather the levels of the loudest peer. RadioError while paused."""
        if self._paused.is_set():
            raise RadioError("the box is paused and hears nobody: bluezonectl resume")
        self.device.calibrate(self.clock.now())

    def calibration(self) -> tuple[LevelWindow, ...]:
        """Windows of 5 s since `calibrate`."""
        return self.device.calibration(self.clock.now())

    def record(self, seconds: int) -> Path:
        """Write down what is heard, for so long; gives the file. RadioError while paused."""
        if self._paused.is_set():
            raise RadioError("the box is paused and hears nobody: bluezonectl resume")
        self._recorder.begin(self.clock.now(), seconds * 1000)
        log.info("recording what is heard, for %d s", seconds)
        return self._recorder.path

    def end_recording(self) -> None:
        """Before its time."""
        self._recorder.end()

    def note_button(self, *, is_stuck: bool) -> None:
        """A button is pressed without end, or is free again."""
        self.condition.button_is_stuck = is_stuck
        if is_stuck:
            log.warning("%s", Indication.BUTTON_STUCK.sentence)
        self._tell()

    def pause(self) -> None:
        """Neither send nor hear until `resume`, also over a restart."""
        self.device.pause()
        self._resumed.clear()
        self._paused.set()
        self.condition.is_paused = True
        self._renewed.set()
        log.info("paused by the carrier", extra=Event.PAUSE.fields())
        self._tell()

    def resume(self) -> None:
        """End a pause."""
        self.device.resume()
        self._paused.clear()
        self.condition.is_paused = False
        self._resumed.set()
        log.info("resumed by the carrier", extra=Event.PAUSE.fields())
        self._tell()

    def acknowledge(self) -> None:
        """The carrier has taken note of what is shown: it calls for attention no more, until something new comes. Of an
        alert that is remembered over a restart."""
        self.device.acknowledge()
        self.condition.acknowledge()
        log.info("acknowledged by the carrier")
        self._tell()

    def erase(self) -> None:
        """The owner's wipe: see Device.erase. What waits to be sent goes too."""
        self.device.erase()
        self._recorder.erase()
        self._exchange.forget_uploads()
        log.info("all encounters, own keys and matches were erased by the owner", extra=Event.ERASED.fields())
        self._renew()

    def erase_last(self, hours: int) -> None:
        """Unlearn the last hours: see Device.erase_since."""
        self._recorder.erase()
        self.device.erase_since(self.clock.now() - hours * HOUR)
        log.info("the last hours were erased by the carrier", extra=Event.ERASED.fields())
        self._renew()

    def _renew(self) -> None:
        """What is on the air comes from a key that is no more: another one, at once."""
        self._renewed.set()
        self.condition.count(self.clock.now())
        self._tell()

    def selftest(self) -> SelfTestReport:
        """Play every indication on the box's hardware, for a person to compare."""
        log.info("self-test of the light begins")
        played = self._indicator.selftest()
        return SelfTestReport(played.each / 1000, played.parts)


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)
