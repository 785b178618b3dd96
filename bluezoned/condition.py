"""How a box is: what holds of its parts, the one state of it that the light shows, and the report that the bus gives.
Layer 4."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from bluezoned import __version__
from bluezoned.alert.indicator import Indication, weightiest
from bluezoned.clock import Clock
from bluezoned.control.report import StatusReport
from bluezoned.errors import BluezonedError
from bluezoned.event import Event
from bluezoned.exchange import Exchange
from bluezoned.protocols.protocol import Tier
from bluezoned.radio.radio import Radio, RadioHealth
from bluezoned.recorder import Recorder
from bluezoned.tracing.device import Device

log = logging.getLogger(__name__)

FORKED = (
    "the authority signed two logs that contradict each other: "
    "give the evidence (bluezonectl fork --json) to who audits the authority"
)

ALERTS = frozenset({Indication.OWN_CASE, Indication.F1, Indication.F2})
"""What the carrier acknowledges for good; anything else may come back."""


class Condition:
    """Of one box. Whoever learns something sets it here; it is asked at any moment."""

    def __init__(
        self, device: Device, radio: Radio, clock: Clock, exchange: Exchange, recorder: Recorder, stale_after: int
    ) -> None:
        self.stale_after = stale_after
        """Age in ms of the newest complete list after which silence is no all-clear."""
        self.hardware_problem: Callable[[], str] = lambda: ""
        """Asks why a light, buzzer or button does not work; empty when all is well."""
        self.storage_damage: Callable[[], str] = lambda: ""
        """Asks for a damaged database that was set aside; empty when there is none."""
        self.awaits_yes = False
        """Whether the carrier was asked something and has not answered."""
        self.button_is_stuck = False
        self.is_paused = False
        self._device = device
        self._radio = radio
        self._clock = clock
        self._exchange = exchange
        self._recorder = recorder
        self._store_problem = ""
        self._noted: Indication | None = None
        """The trouble that the carrier has taken note of; forgotten when something else is shown."""
        self._nearby = 0
        """Counted once a tick: it takes a look at everybody present."""

    def count(self, at: int) -> None:
        """Who is near, at `at` ms."""
        self._nearby = self._device.nearby(at)

    def acknowledge(self) -> None:
        """The carrier has taken note of what is shown. An alert's is remembered by the device."""
        indication = self.indication()
        self._noted = None if indication in ALERTS else indication

    def note_store_failure(self, error: BluezonedError) -> None:
        """Something could not be stored."""
        if not self._store_problem:
            log.error("%s", error, extra=Event.STORAGE_FAULT.fields())
        self._store_problem = str(error)

    def note_store_well(self) -> None:
        """All was stored."""
        if self._store_problem:
            log.info("the storage is well again; nothing that was under way is lost")
        self._store_problem = ""

    def shown(self) -> tuple[Indication, bool]:
        """What the light shows, and whether the carrier has taken note of it."""
        indication = self.indication()
        if indication is not self._noted:
            self._noted = None
        return indication, self._is_taken_note_of(indication)

    def _is_taken_note_of(self, indication: Indication) -> bool:
        return indication is self._noted or (indication in ALERTS and self._device.alert().acknowledged)

    def indication(self) -> Indication:
        """The weightiest of the states that hold."""
        health = self._radio.health()
        issued = self._device.keys_issued()
        tier = self._device.alert().tier
        states = {
            Indication.OWN_CASE: tier is Tier.F0,
            Indication.F1: tier is Tier.F1,
            Indication.F2: tier is Tier.F2,
            Indication.CLOCK_UNKNOWN: not self._clock.is_synchronized(),
            Indication.STORAGE_FAULT: bool(self._store_problem or self.storage_damage()),
            Indication.PAUSED: self.is_paused,
            Indication.CANNOT_HEAR: not health.hearing,
            Indication.CANNOT_ADVERTISE: not health.advertising,
            Indication.KEYS_STALE: issued is None or bool(self._list_problem()),
            Indication.BUTTON_STUCK: self.button_is_stuck,
            Indication.SOMEONE_NEAR: self._nearby > 0,
        }
        return weightiest(indication for indication, holds in states.items() if holds)

    def status(self) -> StatusReport:
        """All of it, for the bus."""
        health = self._radio.health()
        tier = self._device.alert().tier
        last = self._device.last_upload()
        issued = self._device.keys_issued()
        indication = self.indication()
        return StatusReport(
            version=__version__,
            protocol=self._device.protocol_name,
            alert_level=tier.name if tier in (Tier.F1, Tier.F2) else None,
            own_tier=last.tier.name
            if last is not None and last.state == "accepted" and last.tier is not None
            else None,
            indication=indication.name,
            sentence=indication.sentence,
            nearby=self._nearby,
            keys_updated_at=None if issued is None else issued // 1000,
            log_size=self._device.witness.size,
            log_root=self._device.witness.root.hex(),
            last_upload="unconfirmed" if self.awaits_yes else None if last is None else last.state,
            last_upload_problem="" if last is None else last.problem,
            hearing=health.hearing,
            advertising=health.advertising,
            paused=self.is_paused,
            recording=self._recorder.is_on,
            acknowledged=self._is_taken_note_of(indication),
            problems=tuple(filter(None, self._problems(health))),
        )

    def _problems(self, health: RadioHealth) -> Iterator[str]:
        yield from (health.problem, health.degraded, self._store_problem, self.storage_damage())
        yield self._exchange.problem
        yield self._list_problem()
        if self._device.witness.has_fork():
            yield FORKED
        yield self.hardware_problem()

    def _list_problem(self) -> str:
        # A clock that nobody set may stand anywhere.
        if not self._clock.is_synchronized():
            return ""
        return self._device.list_problem(self._clock.now(), self.stale_after)
