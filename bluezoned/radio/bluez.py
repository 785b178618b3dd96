"""The Radio on a real adapter, through bluetoothd, which it watches and helps up again.

One task looks at what is and brings it to what should be: after each news from bluetoothd, each wish and each delay.
It trusts no memory of what was registered over a restart, an unplugging or a power cut, and no `ActiveInstances`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.bus import BusError, connected
from bluezoned.clock import Clock
from bluezoned.errors import RadioError
from bluezoned.event import Event
from bluezoned.radio.bluez_advertiser import Advertiser
from bluezoned.radio.bluez_bus import Adapter, Bluez, BluezError, block_of
from bluezoned.radio.bluez_scanner import Scanner
from bluezoned.radio.hearing import ALWAYS, Duty, Hearing
from bluezoned.radio.radio import RadioHealth
from bluezoned.radio.recovery import REFUSED, SILENT, Recovery, Step

log = logging.getLogger(__name__)

QUEUE = 1024
"""Receptions that wait for a listener who is at other work; what comes then is dropped and counted. A crowd of a
hundred sends that in about ten seconds."""

LOOK_S = 5.0
"""Seconds between two looks when there is no news. bluetoothd dies and adapters fail without telling."""

RETRY_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each new try of what was refused; the last one for all that follow."""

POWER_GAP_S = 1.5
"""Seconds between off and on. On a legacy controller the old advertisement was seen to go on for 1.3 s."""


class _Trouble(RadioError):
    """Why the adapter cannot be used now; passes by itself or by a hand."""


@dataclass(slots=True)
class _Session:
    """What stands on one connection to the bus."""

    bluez: Bluez
    advertiser: Advertiser
    scanner: Scanner
    owner: str = ""


class BluezRadio:
    """One adapter of this machine: `wish` is its address, its name or `auto`, the first one."""

    def __init__(self, wish: str, uuids: Iterable[int], clock: Clock, duty: Duty = ALWAYS, bus: str = "system") -> None:
        self._wish = wish
        self._uuids = frozenset(uuids)
        self._clock = clock
        self._duty = duty
        self._bus = bus
        self._wake = asyncio.Event()
        self._shaken = False
        """Something ended what ran on the adapter."""
        self._wanted: Advertisement | None = None
        self._on_air: Advertisement | None = None
        self._adapter: Adapter | None = None
        self._session: _Session | None = None
        self._hearing = Hearing()
        self._refused, self._silent = Recovery(REFUSED), Recovery(SILENT)
        self._failures = 0
        self._problem = ""
        self._waiting: asyncio.Queue[Reception | None] = asyncio.Queue(QUEUE)
        self._dropped = 0
        self._looks = 0
        self._supervisor: asyncio.Task[None] | None = None

    # the port

    async def __aenter__(self) -> Self:
        self._problem = "the radio is being made ready"
        self._dropped = 0
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
        while not self._waiting.empty():
            self._waiting.get_nowait()

    async def advertise(self, advertisement: Advertisement | None) -> None:
        if advertisement is not None:
            advertisement.encode()
        self._wanted = advertisement
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[Reception]:
        while (reception := await self._waiting.get()) is not None:
            yield reception
        assert self._supervisor is not None
        self._supervisor.result()

    def health(self) -> RadioHealth:
        session, is_ready = self._session, self._adapter is not None
        # A scan that is just being started anew, as at each rotation of a legacy controller, is no deafness.
        listens = session is not None and (session.scanner.is_scanning or self._hearing.is_resting or not self._problem)
        on_air = session is not None and session.advertiser.is_registered and self._on_air is self._wanted is not None
        return RadioHealth(
            hearing=is_ready and listens and self._hearing.is_trusted,
            advertising=is_ready and on_air,
            problem=self._problem or ("" if self._hearing.is_trusted else self._hearing.doubt),
            dropped=self._dropped,
            degraded=self._degraded(),
            looks=self._looks,
            recoveries=self._refused.taken.total() + self._silent.taken.total(),
        )

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
            if self._waiting.full():
                self._waiting.get_nowait()
            self._waiting.put_nowait(None)

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
        session = self._session = _Session(
            bluez,
            Advertiser(self._bus, self._wake.set),
            Scanner(bluez, self._uuids, self._clock.now, self._take, self._note_life),
        )
        try:
            await bluez.watch(self._note_news)
            while bluez.connection.connected:
                self._wake.clear()
                delay = await self._look(session)
                self._looks += 1
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), delay)
        finally:
            self._session = self._on_air = self._adapter = None
            await session.scanner.stop()
            await session.advertiser.close()

    def _note_news(self, is_off: bool) -> None:
        self._shaken = self._shaken or is_off
        self._wake.set()

    async def _look(self, session: _Session) -> float:
        """Bring what is to what should be. Seconds until the next look."""
        try:
            adapter = self._adapter = await self._usable(session)
            await self._send(session, adapter)
            await self._listen(session, adapter)
        except RadioError as error:
            self._tell(str(error))
            delay = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
            self._failures += 1
            if isinstance(error, _Trouble):
                self._adapter = None
            else:
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

    async def _usable(self, session: _Session) -> Adapter:
        """The wished adapter, switched on. _Trouble says what is missing."""
        owner = await session.bluez.owner()
        if owner != session.owner or self._shaken:
            self._shaken = False
            session.owner = owner
            self._adapter = self._on_air = None
            await session.scanner.stop()
            # Closed, not unregistered: over a power cycle bluetoothd forgets to advertise and says that it does not.
            await session.advertiser.close()
        if not owner:
            raise _Trouble("bluetoothd is not running: systemctl start bluetooth")
        adapters = await session.bluez.adapters()
        fitting = [a for a in adapters if self._wish in ("auto", a.name, a.address)]
        if not fitting:
            raise _Trouble(
                "there is no Bluetooth adapter" if self._wish == "auto" else f"there is no adapter {self._wish}"
            )
        adapter = fitting[0]
        if not adapter.powered:
            await self._power_on(session, adapter)
            raise _Trouble(f"{adapter.name} was off and is being switched on")
        if adapter.has_privacy:
            raise _Trouble(
                f"{adapter.name} keeps its address while our identifiers change: set Privacy = off in "
                "/etc/bluetooth/main.conf and restart bluetooth"
            )
        return adapter

    async def _power_on(self, session: _Session, adapter: Adapter) -> None:
        match block_of(adapter):
            case "soft":
                raise _Trouble(f"{adapter.name} is blocked: rfkill unblock bluetooth")
            case "hard":
                raise _Trouble(f"{adapter.name} is blocked by a switch on the machine")
        try:
            await session.bluez.set_powered(adapter, True)
        except BluezError as error:
            raise _Trouble(f"{adapter.name} cannot be switched on: {error}") from error

    async def _send(self, session: _Session, adapter: Adapter) -> None:
        if self._wanted is self._on_air and (self._wanted is None or session.advertiser.is_registered):
            return
        self._on_air = None
        if not adapter.is_extended:
            # Its random address cannot be changed while it scans (Core 5.4, vol 4, part E, 7.8.4).
            await session.scanner.stop()
        wanted = self._wanted
        if wanted is None:
            await session.advertiser.withdraw()
        else:
            await session.advertiser.replace(adapter, wanted)
        self._on_air = wanted

    async def _listen(self, session: _Session, adapter: Adapter) -> None:
        now = self._now()
        scanner, hearing = session.scanner, self._hearing
        if scanner.is_scanning and not adapter.discovering and hearing.has_waited(now):
            log.info("bluetoothd has stopped to scan by itself")
            await scanner.stop()
        if not self._duty.is_on(now):
            hearing.rest(now)
            await scanner.stop()
            return
        hearing.listen(now)
        if not hearing.is_trusted and (step := self._silent.due(hearing.silence)) is not None:
            await self._take_step(session, adapter, step)
        if not scanner.is_scanning or scanner.is_open != hearing.wants_open:
            await scanner.start(adapter, only_ours=not hearing.wants_open)
            hearing.begin(now)

    async def _climb(self, session: _Session, recovery: Recovery) -> None:
        step = recovery.due(self._now())
        if step is not None and self._adapter is not None:
            await self._take_step(session, self._adapter, step)

    async def _take_step(self, session: _Session, adapter: Adapter, step: Step) -> None:
        log.warning("the radio is in trouble: trying to %s", step.value, extra=Event.RADIO_RECOVERY.fields())
        try:
            match step:
                case Step.RESTART_SCAN:
                    await session.scanner.stop()
                case Step.REGISTER_ANEW:
                    self._on_air = None
                    await session.advertiser.close()
                case Step.POWER_CYCLE:
                    await session.bluez.set_powered(adapter, False)
                    await self._pause(POWER_GAP_S)
                    await session.bluez.set_powered(adapter, True)
                case Step.RESET:
                    await session.bluez.request_reset(adapter)
        except BluezError as error:
            log.warning("could not %s: %s", step.value, error)

    # what is heard

    def _take(self, reception: Reception) -> None:
        if self._waiting.full():
            self._dropped += 1
        else:
            self._waiting.put_nowait(reception)

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
