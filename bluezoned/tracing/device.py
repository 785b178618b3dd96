"""The corridor: what one box does with what it hears, what it is told and what its carrier consents to.

Every act takes the instant `at` (ms UTC) and is stored before it has an effect. Speaks to no radio, network or log.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import key_index, upload
from bluezoned.advertisement import Advertisement, Reception
from bluezoned.errors import AuthorityError
from bluezoned.protocols.protocol import DAY, Random, Tier, TracingProtocol
from bluezoned.protocols.sieve import Core
from bluezoned.tracing import proximity
from bluezoned.tracing.acknowledgement import Acknowledgement, Reason
from bluezoned.tracing.assessment import Assessment, DayEncounters, Exposure
from bluezoned.tracing.calibration import LevelLog, LevelWindow
from bluezoned.tracing.case_list import Applied, CaseList
from bluezoned.tracing.encounter import EncounterLog
from bluezoned.tracing.exposure import RiskLevel, RiskModel
from bluezoned.tracing.keyring import Keyring
from bluezoned.tracing.proximity import MINUTE, Ranging
from bluezoned.tracing.publication import Publication
from bluezoned.tracing.sighting import sight
from bluezoned.tracing.store import Store, StoredUpload
from bluezoned.tracing.witness import Witness

LEAP = 2 * DAY
"""ms between two days' forgetting that need no explanation: a weekend without power. At one day, every box that was off
overnight would keep a day more; at fourteen, a clock that is a fortnight wrong erases all."""

NEARBY = 2 * MINUTE
"""ms that a peer counts as present after its last packet. At one minute, a scan's gap makes the light flicker; at
four, somebody who left still seems to stand there."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator chose, in the heart's units."""

    advertised: TracingProtocol
    heard: Mapping[str, TracingProtocol]
    """By name; holds `advertised` too."""
    authority_key: ec.EllipticCurvePublicKey | None
    """Pinned; None until the box is provisioned: then it listens and tells, but believes no list."""
    tx_power: int
    """dBm, calibrated, sealed into the metadata."""
    ranging: Ranging
    model: RiskModel = field(default_factory=RiskModel)
    silence: int = 5 * MINUTE
    """ms after which an encounter is over. At two, each gap of a duty-cycled scan starts a new one; at ten, rows stay
    open well past the 15 min for which an identifier lives."""
    retention: int = 14 * DAY
    core: Core | None = None
    """The compiled sieve, where it is there and wanted."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What the carrier should know."""

    tier: Tier | None
    """F0: this box's own case is confirmed; F1: met an F0; F2: met an F1; None: nothing known."""
    newest_day: int | None
    """The newest UTC day (since 1970) of an exposure that counts."""
    acknowledged: bool
    """The carrier has taken note of all of it."""


class Device:
    """One box, from an advertisement heard to an alert."""

    def __init__(self, settings: Settings, store: Store, random: Random) -> None:
        self._settings = settings
        self._store = store
        self._keyring = Keyring(store, settings.advertised, random)
        self._log = EncounterLog(settings.silence)
        self._levels: LevelLog | None = None
        self._pruned_day = -1
        self._doubted_since: int | None = None
        self._acknowledgement = Acknowledgement(store)
        self._publication = Publication(store, self._keyring, settings.advertised, random)
        self._follow()

    def adopt(self, settings: Settings) -> None:
        """The operator chose anew. Protocols and the silence that ends an encounter stay as they were at the start."""
        was = self._settings
        self._settings = replace(settings, advertised=was.advertised, heard=was.heard, silence=was.silence)
        self._follow()

    def _follow(self) -> None:
        """What was made of the settings and the store, made anew."""
        settings = self._settings
        self._cases = CaseList(self._store, settings.heard, settings.authority_key, settings.core)
        self._assessment = Assessment(self._store, settings.heard, settings.ranging, settings.model)
        self._exposures = self._assessment.exposures()

    # the air

    def advertisement(self, at: int) -> Advertisement:
        """What to put on the air until `next_rotation(at)`."""
        return self._settings.advertised.advertisement(self._keyring.key(at), at, self._settings.tx_power)

    def next_rotation(self, at: int) -> int:
        """ms of the next change of identifier: a rotation boundary, as every key's window ends on one."""
        return self._keyring.cut(at)

    def hear(self, reception: Reception) -> bool:
        """Take in one reception. True when it was a rolling id of an enabled protocol."""
        sighting = sight(reception, self._settings.heard.values())
        if sighting is None:
            return False
        self._log.hear(sighting)
        if self._levels is not None:
            self._levels.hear((sighting.protocol, sighting.payload.rolling_id), sighting.rssi, sighting.at)
        return True

    def miss(self, duration: int) -> None:
        """The radio did not listen for `duration` ms more, on purpose or not: nobody has left because of that."""
        self._log.miss(duration)

    def calibrate(self, at: int) -> None:
        """Begin to gather the levels of the loudest peer, for ten minutes at most."""
        self._levels = LevelLog(at)

    def calibration(self, at: int) -> tuple[LevelWindow, ...]:
        """What was gathered since `calibrate`."""
        return () if self._levels is None else self._levels.windows(at)

    def nearby(self, at: int) -> int:
        """How many rolling ids are present and probably within 2 m."""
        return sum(proximity.is_near(minutes, self._settings.ranging) for minutes in self._log.latest(at, NEARBY))

    @property
    def dropped(self) -> int:
        """Sightings not taken up because too many encounters were open."""
        return self._log.dropped

    def tick(self, at: int) -> None:
        """Store what changed, in one transaction; once a day, forget what is past retention. StoreError leaves all
        as it was, to be tried again at the next tick."""
        changed = self._log.changed()
        day = at // DAY
        is_new_day = day != self._pruned_day and self._is_believable(at)
        if changed or is_new_day:
            with self._store.transaction():
                self._store.put_encounters(changed)
                if is_new_day:
                    self._store.prune(at - self._settings.retention)
                    self._store.pack(at - DAY)
                    self._store.put_fact("clock", at)
        self._log.settle(at)
        if self._levels is not None and self._levels.is_over(at):
            self._levels = None
        if is_new_day:
            self._pruned_day = day
            self._keyring.forget()
            self._exposures = self._assessment.exposures()
            self._acknowledgement.forget_others(self._reasons())

    def _is_believable(self, at: int) -> bool:
        """Whether to forget by this clock. Set a year ahead by mistake it would erase everything; so a leap forward is
        believed when the authority's index is of about that time, or after a day of running by it."""
        known = self._store.fact("clock")
        index = self._cases.index
        issued = index.issued if index is not None else 0
        if known is None or at - known[0] <= LEAP or abs(at - issued) <= LEAP:
            return True
        if self._doubted_since is None or not self._doubted_since <= at <= self._doubted_since + LEAP:
            self._doubted_since = at
        return at - self._doubted_since >= DAY

    @property
    def protocol_name(self) -> str:
        """Of the protocol on the air."""
        return self._settings.advertised.name

    def pause(self) -> None:
        """The carrier wants to be neither heard nor hearing; remembered over a restart."""
        with self._store.transaction():
            self._store.put_fact("paused", 1)

    def resume(self) -> None:
        """The carrier is back."""
        with self._store.transaction():
            self._store.put_fact("paused", 0)

    def is_paused(self) -> bool:
        """Whether `pause` was the last word."""
        fact = self._store.fact("paused")
        return fact is not None and fact[0] == 1

    def acknowledge(self) -> None:
        """The carrier has taken note of the alert as it is; remembered over a restart."""
        self._acknowledgement.take(self._reasons())

    def erase(self) -> None:
        """The owner's wipe: every encounter, own key, match and upload, as if the box were new. What is applied of the
        authority's lists stays known. The next `advertisement` comes from a fresh key."""
        with self._store.transaction():
            self._store.erase()
        self._forget_erased()

    def erase_since(self, since: int) -> None:
        """Unlearn the time from `since` (ms) to now: encounters that touch it, and own keys that were in use then, so
        that it will never be published. Keys are of a day: whoever was met earlier on such a day, or under keys that a
        chain ties to it, cannot be warned any more. What was published before stays published."""
        with self._store.transaction():
            self._store.erase_encounters(since)
            self._keyring.erase(since)
        self._forget_erased()

    def _forget_erased(self) -> None:
        self._log.forget()
        self._levels = None
        self._keyring.forget()
        self._exposures = self._assessment.exposures()
        self._store.scrub()

    # the authority's word

    @property
    def witness(self) -> Witness:
        """What this box has seen of the authority's log."""
        return self._cases.witness

    def apply_log(self, data: bytes, archive: Sequence[bytes] = ()) -> None:
        """See CaseList.apply_log."""
        self._cases.apply_log(data, archive)

    def apply_index(self, data: bytes) -> None:
        """See CaseList.apply_index."""
        self._cases.apply_index(data)

    def apply_export(self, file: BinaryIO, at: int) -> Generator[None, None, Applied | None]:
        """Check a batch's signature, match its keys and take back the revoked ones; the file is read a chunk at a
        time. A national day takes minutes on a small computer, so this stops every few keys for the caller's other
        work: all that was applied is one transaction at the end, and before it nothing was. None when this very
        batch was applied before. AuthorityError changes nothing."""
        batch = self._cases.open_export(file)
        if batch is None:
            return None
        with self._store.transaction():
            self._store.put_encounters(self._log.changed())
        self._log.settle(at)
        applied = yield from self._cases.apply(batch, at)
        self._exposures = self._assessment.exposures()
        return applied

    def keys_issued(self) -> int | None:
        """See CaseList.issued."""
        return self._cases.issued()

    def list_problem(self, at: int, stale_after: int) -> str:
        """See CaseList.problem."""
        return self._cases.problem(at, stale_after)

    def newest_batch(self) -> int:
        """Sequence number of the newest batch applied; 0 before the first."""
        return self._cases.newest_batch()

    # the carrier's word

    def consent(self, code: str, at: int, hours: tuple[int, int] | None = None) -> None:
        """The carrier agrees to publish the keys of the retention period under the authority's one-time code; or those
        of some `hours` alone (from, to, half-open, ms), as for a place that was an outbreak then.

        See Publication.seal. AuthorityError when no list of the authority has been seen yet: its sealing key is in it.
        """
        index = self.check_consent(code)
        # Who agreed to publish some hours did not agree to tell of the others.
        hearings = self._assessment.hearings() if hours is None else ()
        self._publication.seal(code, at, at - self._settings.retention, hours, hearings, index.sealing_key)

    def check_consent(self, code: str) -> key_index.KeyIndex:
        """Raises what `consent` would; else the index whose key it will seal with."""
        index = self._cases.index
        if index is None:
            raise AuthorityError("nothing has been received from the authority yet, so there is no key to seal with: "
                                 "let the box fetch the list once, then consent again")  # fmt: skip
        upload.normalise_code(code)
        return index

    def pending_uploads(self) -> dict[bytes, bytes]:
        """Sealed messages that wait for a receipt, by a tag of 8 bytes that tells nothing."""
        return self._publication.pending()

    def chaff(self, elapsed: int, mean: int) -> tuple[bytes, bytes] | None:
        """See Publication.chaff. None before the first index."""
        index = self._cases.index
        return self._publication.chaff(elapsed, mean, None if index is None else index.sealing_key)

    def apply_receipt(self, data: bytes) -> StoredUpload | None:
        """Close the upload that a signed receipt answers; None when it answers none that is pending."""
        return self._publication.close(data, self._cases.signing_keys())

    def last_upload(self) -> StoredUpload | None:
        """The newest, whatever became of it."""
        return self._publication.last()

    # what it all means

    def alert(self) -> Alert:
        """The nearest tier: own case before F1 before F2."""
        reasons = self._reasons()
        tiers = [reason.tier for reason in reasons]
        exposed = [reason.day for reason in reasons if reason.tier is not Tier.F0]
        acknowledged = bool(reasons) and reasons <= self._acknowledgement.taken()
        return Alert(min(tiers, default=None), max(exposed, default=None), acknowledged)

    def _reasons(self) -> set[Reason]:
        """What the alert rests on."""
        high = {Reason(e.tier, e.risk.day) for e in self._exposures if e.risk.level is RiskLevel.HIGH}
        accepted = (u for u in self._store.uploads() if u.state == "accepted" and u.tier is Tier.F0)
        return high | {Reason(Tier.F0, u.created // DAY) for u in accepted}

    def exposures(self) -> list[Exposure]:
        """Days with any risk, newest first, F1 before F2."""
        return self._exposures

    def encounters(self, at: int) -> list[DayEncounters]:
        """Each UTC day of the retention, newest first, days without encounters left out."""
        return self._assessment.encounters(at - self._settings.retention, at + DAY)
