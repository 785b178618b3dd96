"""The Radio on a real adapter, through bluetoothd, which it watches and helps up again.

One task looks at what is and brings it to what should be: after each news from bluetoothd, each wish and each delay.
It trusts no memory of what was registered over a restart, an unplugging or a power cut, and no `ActiveInstances`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.bus import BusError, connected, lost
from bluezoned.clock import Clock
from bluezoned.errors import RadioError
from bluezoned.event import Event
from bluezoned.radio import bluez_adapter
from bluezoned.radio.backlog import Backlog
from bluezoned.radio.bluez_adapter import Trouble
from bluezoned.radio.bluez_advertiser import Advertiser
from bluezoned.radio.bluez_bus import Adapter, Bluez, BluezError
from bluezoned.radio.bluez_reader import Iphones, PhoneReader
from bluezoned.radio.bluez_scanner import Scanner
from bluezoned.radio.bluez_session import Session
from bluezoned.radio.bluez_witness import Witness
from bluezoned.radio.hearing import ALWAYS, MINUTE, Duty, Hearing
from bluezoned.radio.radio import RadioHealth
from bluezoned.radio.recovery import ABSENT, REFUSED, SILENT, Recovery

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""Seconds between two looks when there is no news. bluetoothd dies and adapters fail without telling."""

RETRY_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each new try of what was refused; the last one for all that follow."""

AWAIT_S = 2.0
"""Seconds at most between two looks for an adapter or a bluetoothd that is not there: looking disturbs nobody."""

SWAP = 10_000
"""ms that a rotation may take before it counts as silence. A Pi's takes below one second; what takes ten is stuck."""

READYING = "the radio is being made ready"

DENIED = "what this box sends does not reach its second adapter"


class BluezRadio:
    """One adapter of this machine: `wish` is its address, its name or `auto`, the first one. `witness` is another one,
    which proves what this one does; empty for none."""

    def __init__(
        self,
        wish: str,
        uuids: Iterable[int],
        clock: Clock,
        duty: Duty = ALWAYS,
        iphones: Iphones = Iphones.IGNORE,
        witness: str = "",
        bus: str = "system",
    ) -> None:
        self._wish = wish
        self._uuids = frozenset(uuids)
        self._clock = clock
        self._duty = duty
        self._iphones = iphones
        self._witness = witness
        self._bus = bus
        self._wake = asyncio.Event()
        self._shaken = False
        """Something ended what ran on the adapter."""
        self._wanted: Advertisement | None = None
        self._wanted_since = 0
        self._on_air: Advertisement | None = None
        self._adapter: Adapter | None = None
        self._session: Session | None = None
        self._hearing = Hearing()
        self._refused, self._silent, self._absent = Recovery(REFUSED), Recovery(SILENT), Recovery(ABSENT)
        self._failures = 0
        self._problem = ""
        self._backlog = Backlog()
        self._tallied = 0
        self._looks = 0
        self._supervisor: asyncio.Task[None] | None = None

    # the port

    async def __aenter__(self) -> Self:
        self._problem = READYING
        self._hearing = Hearing()
        self._supervisor = asyncio.create_task(self._supervise(), name="radio")
        self._supervisor.add_done_callback(self._end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._supervisor is not None
        self._supervisor.cancel()
        with suppress(asyncio.CancelledError):
            await self._supervisor
        self._wanted = None
        self._problem = "the radio is off"
        self._backlog.clear()

    async def advertise(self, advertisement: Advertisement | None) -> None:
        if advertisement is not None:
            advertisement.encode()
        self._wanted = advertisement
        self._wanted_since = self._now()
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[Reception]:
        async for reception in self._backlog:
            yield reception
        assert self._supervisor is not None
        self._supervisor.result()

    def health(self) -> RadioHealth:
        session, is_ready = self._session, self._adapter is not None
        # A scan that is just being started anew, as at each rotation of a legacy controller, is no deafness.
        listens = session is not None and (session.scanner.is_scanning or self._hearing.is_resting or not self._problem)
        registered = session is not None and session.advertiser.is_registered and self._on_air is self._wanted
        # Nor is a rotation under way a silence: the light would say so for a minute, at each of them.
        on_air = self._wanted is not None and (registered or (not self._problem and self._is_swapping()))
        is_denied = session is not None and session.is_denied
        doubt = DENIED if is_denied else "" if self._hearing.is_trusted else self._hearing.doubt
        return RadioHealth(
            hearing=is_ready and listens and self._hearing.is_trusted,
            advertising=is_ready and on_air and not is_denied,
            # bluetoothd or the bus may have gone a moment ago, and no look has yet met with trouble.
            problem=self._problem or doubt or ("" if is_ready else READYING),
            dropped=self._backlog.dropped,
            degraded=self._degraded(),
            looks=self._looks,
            missed=self._hearing.missed,
            recoveries=sum(r.taken.total() for r in (self._refused, self._silent, self._absent)),
        )

    def _is_swapping(self) -> bool:
        return self._now() - self._wanted_since < SWAP

    def _degraded(self) -> str:
        session = self._session
        if session is not None and session.scanner.is_scanning and not session.scanner.hears_repetitions:
            return (
                "each sender is heard only once in a while, which is too little to judge 2 m: bluetoothd runs "
                "without --experimental"
            )
        return ""

    def _end(self, supervisor: asyncio.Task[None]) -> None:
        """Wake the listener when the supervisor fails, so that it fails with it."""
        if not supervisor.cancelled():
            self._backlog.end()

    # the supervisor

    async def _supervise(self) -> None:
        while True:
            try:
                async with connected(self._bus) as connection:
                    await self._serve(Bluez(connection))
            except (BusError, BluezError) as error:
                self._tell(str(error))
            self._looks += 1
            await self._pause(RETRY_S[1])

    async def _serve(self, bluez: Bluez) -> None:
        """Until the bus is lost."""
        reader = PhoneReader(bluez, self._clock, self._backlog.put) if self._iphones is Iphones.READ else None
        session = self._session = Session(
            bluez,
            Advertiser(self._bus, self._wake.set),
            reader,
            Scanner(bluez, self._uuids, self._clock.now, self._backlog.put, self._note_life, reader),
            Witness(self._witness, bluez, self._bus, self._wake.set) if self._witness else None,
            self._clock,
        )
        try:
            lost(bluez.connection).add_done_callback(lambda _: self._wake.set())
            await bluez.watch(self._note_news)
            while bluez.connection.connected:
                self._wake.clear()
                self._hearing.account(self._now(), self._adapter is not None and not self._problem)
                delay = await self._look(session)
                self._looks += 1
                self._tell_tally()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), delay)
        finally:
            self._session = self._on_air = self._adapter = None
            await session.close()

    def _note_news(self, is_off: bool) -> None:
        self._shaken = self._shaken or is_off
        self._wake.set()

    async def _look(self, session: Session) -> float:
        """Bring what is to what should be. Seconds until the next look."""
        try:
            adapter = self._adapter = await self._usable(session)
            try:
                await self._send(session, adapter)
            finally:
                # Who cannot be heard shall hear all the same.
                await self._listen(session, adapter)
            if session.witness is not None:
                await self._question(session.witness)
        except RadioError as error:
            self._tell(str(error))
            delay = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
            self._failures += 1
            if isinstance(error, Trouble):
                self._adapter = None
                return min(delay, AWAIT_S)
            await self._climb(session, self._refused)
            return delay
        if self._failures:
            self._failures = 0
            log.info("the radio is well again", extra=Event.RADIO_WELL.fields())
        self._problem = ""
        self._refused.note_well()
        return self._hearing.next_change(self._now(), self._duty, LOOK_S * 1000) / 1000

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s", problem, extra=Event.RADIO_TROUBLE.fields())
        self._problem = problem

    async def _usable(self, session: Session) -> Adapter:
        """The wished adapter, switched on. Trouble says what is missing."""
        owner = await session.bluez.owner()
        if owner != session.owner or self._shaken:
            self._shaken = False
            session.owner = owner
            self._adapter = self._on_air = None
            await session.close()
        if not owner:
            await self._climb(session, self._absent)
            raise Trouble("bluetoothd is not running: systemctl start bluetooth")
        self._absent.note_well()
        return await bluez_adapter.usable(session.bluez, self._wish)

    async def _send(self, session: Session, adapter: Adapter) -> None:
        if self._wanted is self._on_air and (self._wanted is None or session.advertiser.is_registered):
            return
        self._on_air = None
        if not adapter.is_extended:
            # Its random address cannot be changed while it scans or connects (Core 5.4, vol 4, part E, 7.8.4).
            await session.stop_listening()
        wanted = self._wanted
        if wanted is None:
            await session.advertiser.withdraw()
        else:
            await session.advertiser.replace(adapter, wanted)
        self._on_air = wanted

    async def _listen(self, session: Session, adapter: Adapter) -> None:
        now = self._now()
        scanner, hearing = session.scanner, self._hearing
        if scanner.is_scanning and not adapter.discovering and hearing.has_waited(now):
            log.info("bluetoothd has stopped to scan by itself")
            await scanner.stop()
        if not self._duty.is_on(now):
            hearing.rest(now)
            await session.stop_listening()
            return
        was_trusted = hearing.is_trusted
        hearing.listen(now)
        if was_trusted and not hearing.is_trusted:
            log.warning("%s", hearing.doubt, extra=Event.RADIO_TROUBLE.fields())
        if not hearing.is_trusted and (step := self._silent.due(hearing.silence)) is not None:
            await session.take(step, adapter)
        if not scanner.is_scanning or scanner.is_open != hearing.wants_open:
            await scanner.start(adapter, only_ours=not hearing.wants_open)
            hearing.begin(now)
        if session.reader is not None:
            session.reader.start(adapter)

    async def _question(self, witness: Witness) -> None:
        """Ask the second adapter for proof, where it is time."""
        if self._on_air is not None:
            witness.prove(self._on_air, self._now())
        if self._hearing.wants_open:
            await witness.speak(self._uuids)
        else:
            await witness.hush()
        if witness.denies:
            raise RadioError(DENIED)

    async def _climb(self, session: Session, recovery: Recovery) -> None:
        step = recovery.due(self._now())
        if step is not None:
            await session.take(step, self._adapter)

    # what is heard

    def _tell_tally(self) -> None:
        if self._now() - self._tallied >= MINUTE:
            self._tallied = self._now()
            tally = self._backlog.tally()
            log.debug("%d packets heard, %d dropped, %d waited at most", tally.heard, tally.dropped, tally.deepest)

    def _note_life(self) -> None:
        if not self._hearing.is_trusted:
            log.info("the radio hears again")
            self._wake.set()
        self._hearing.note_life(self._now())
        self._silent.note_well()

    async def _pause(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.now() + round(seconds * 1000))

    def _now(self) -> int:
        """Monotonic ms: recovery must not depend on a clock that is being set."""
        return round(asyncio.get_running_loop().time() * 1000)
