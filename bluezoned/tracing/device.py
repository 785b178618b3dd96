"""The corridor: what one box does with what it hears, what it is told and what its carrier consents to.

Every act takes the instant `at` (ms UTC) and is stored before it has an effect. Speaks to no radio, network or log.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import key_export, key_index, key_rotation, upload
from bluezoned.advertisement import Advertisement, Reception
from bluezoned.errors import AuthorityError, ProtocolError
from bluezoned.export_message import Terms
from bluezoned.key_export import Batch
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DailyKey, DiagnosisKey, Random, ReportType, Tier, TracingProtocol
from bluezoned.tracing import loudness, proximity
from bluezoned.tracing.calibration import LevelLog, LevelWindow
from bluezoned.tracing.encounter import LONGEST, Encounter, EncounterLog
from bluezoned.tracing.exposure import (
    DayRisk,
    ExposureWindow,
    RiskLevel,
    RiskModel,
    ScanInstance,
    assess,
    cut_windows,
    infectiousness,
    merge,
    scan_instances,
)
from bluezoned.tracing.keyring import Keyring
from bluezoned.tracing.matching import Match, Matcher
from bluezoned.tracing.proximity import MINUTE, Minute, Ranging
from bluezoned.tracing.sighting import sight
from bluezoned.tracing.store import MatchedKey, Store, StoredUpload
from bluezoned.tracing.witness import Witness

CROWD = 15 * MINUTE
"""ms before and after an encounter whose other encounters tell this box's offset: a box is carried otherwise an hour
later. Halved, the crowd of a quarter of an hour is small; doubled, the next room counts in."""

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


@dataclass(frozen=True, slots=True)
class Alert:
    """What the carrier should know."""

    tier: Tier | None
    """F0: this box's own case is confirmed; F1: met an F0; F2: met an F1; None: nothing known."""
    newest_day: int | None
    """The newest UTC day (since 1970) of an exposure that counts."""
    acknowledged: bool
    """The carrier has taken note of all of it."""


@dataclass(frozen=True, slots=True)
class DayEncounters:
    """One UTC day in figures that identify nobody."""

    day: int
    rolling_ids: int
    minutes: int
    minutes_near: float


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch changed."""

    sequence: int
    keys: int
    matched: int
    revoked: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """One UTC day's risk and the tier of the keys behind it."""

    tier: Tier
    """F1 or F2: what it makes of the carrier."""
    risk: DayRisk


@dataclass(frozen=True, slots=True, order=True)
class _Reason:
    """One thing that an alert rests on: a day of exposure, or (F0) the day of an own upload."""

    tier: Tier
    day: int


_REASON = struct.Struct(">BI")


EXPIRED = ("the list of cases has expired: the network is away, or the authority's server or a mirror stands still "
           "and holds back what is newer")  # fmt: skip
STANDS_STILL = ("the list of cases is not renewed: the network is away, or the authority's server or a mirror stands "
                "still")  # fmt: skip


def _pack_reasons(reasons: Iterable[_Reason]) -> bytes:
    return b"".join(_REASON.pack(reason.tier, reason.day) for reason in sorted(reasons))


def _unpack_reasons(packed: bytes) -> set[_Reason]:
    return {_Reason(Tier(tier), day) for tier, day in _REASON.iter_unpack(packed)}


class Device:
    """One box, from an advertisement heard to an alert."""

    def __init__(self, settings: Settings, store: Store, random: Random) -> None:
        self._settings = settings
        self._store = store
        self._random = random
        self._keyring = Keyring(store, settings.advertised, random)
        self._log = EncounterLog(settings.silence)
        self._levels: LevelLog | None = None
        self._pruned_day = -1
        self._doubted_since: int | None = None
        self._witness = Witness(store, settings.authority_key)
        self._index = self._remembered_index()
        self._exposures = self._assess()

    def adopt(self, settings: Settings) -> None:
        """The operator chose anew. Protocols and the silence that ends an encounter stay as they were at the start."""
        was = self._settings
        self._settings = replace(settings, advertised=was.advertised, heard=was.heard, silence=was.silence)
        self._witness = Witness(self._store, settings.authority_key)
        self._index = self._remembered_index()
        self._exposures = self._assess()

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
        peers = self._log.nearby(at, NEARBY)
        ranging = self._settings.ranging
        return sum(max(proximity.excesses(peer.minutes[-2:], None, ranging).values()) >= 0 for peer in peers)

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
            self._exposures = self._assess()
            self._forget_acknowledged()

    def _is_believable(self, at: int) -> bool:
        """Whether to forget by this clock. Set a year ahead by mistake it would erase everything; so a leap forward is
        believed when the authority's index is of about that time, or after a day of running by it."""
        known = self._store.fact("clock")
        issued = self._index.issued if self._index is not None else 0
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
        with self._store.transaction():
            self._store.put_fact("acknowledged", 0, _pack_reasons(self._reasons()))

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
        self._exposures = self._assess()
        self._store.scrub()

    # the authority's word

    def apply_log(self, data: bytes, archive: Sequence[bytes] = ()) -> None:
        """Take in the signed log: see Witness.apply. `archive`: hashes of the leaves from `witness.size` on."""
        self._witness.apply(data, self._pinned_key(), archive)

    @property
    def witness(self) -> Witness:
        """What this box has seen of the authority's log."""
        return self._witness

    def apply_index(self, data: bytes) -> None:
        """Take in a signed index. AuthorityError for a bad signature and for one older than the newest seen: a mirror
        that turns back time is not believed."""
        index = key_index.read(data, self._signing_keys()[0])
        if self._index is not None and (index.sequence, index.issued) < (self._index.sequence, self._index.issued):
            raise AuthorityError("the index is older than one seen before: the server or a mirror is turned back")
        with self._store.transaction():
            self._store.put_fact("index", index.issued, data)
            self._index = index
            self._note_complete()

    def apply_export(self, file: BinaryIO, at: int) -> Generator[None, None, Applied | None]:
        """Check a batch's signature, match its keys and take back the revoked ones; the file is read a chunk at a
        time. A national day takes minutes on a small computer, so this stops every few keys for the caller's other
        work: all that was applied is one transaction at the end, and before it nothing was. None when this very
        batch was applied before. AuthorityError changes nothing."""
        batch = key_export.Batch(file, *self._signing_keys())
        head = batch.head
        if head.sequence is None:
            raise AuthorityError("the batch has no sequence number: it is not one of this authority's own")
        if self._store.batch_digest(head.sequence) == batch.digest:
            return None
        if batch.signer not in self._signing_keys(head.sequence):
            raise AuthorityError("the batch is signed by a key that had been replaced before")
        if not self._witness.has_seen(batch.digest):
            raise AuthorityError("the batch does not stand in the authority's log, so nobody but this box was shown it")
        key_export.check_sequence(head, self.newest_batch())
        with self._store.transaction():
            self._store.put_encounters(self._log.changed())
        self._log.settle(at)
        found = yield from self._match(batch)
        with self._store.transaction():
            # What was erased or forgotten meanwhile proves nothing any more.
            proven = [(match.key, held) for match in found.matches if (held := self._store.held(match.encounters))]
            for key, numbers in proven:
                self._store.put_match(key, head.end, numbers)
            revoked = sum(self._store.revoke(head.protocol, secret) for secret in found.revoked)
            self._store.revoke_uploads_of(found.revoked)
            self._store.put_batch(head.sequence, batch.digest, head.end, at)
            self._store.put_fact("newest batch", head.sequence)
            self._note_complete()
        self._exposures = self._assess()
        return Applied(head.sequence, found.keys, len(proven), revoked)

    def _match(self, batch: Batch) -> Generator[None, None, _Found]:
        """Reads the whole batch: that its keys can all be is known at the end alone."""
        own = self._store.own_secrets()
        found = _Found(own | self._store.diagnosis_secrets())
        live = found.live(batch)
        protocol = self._settings.heard.get(batch.head.protocol)
        # The keys of a protocol that is not listened to must be possible too, as the file is believed whole.
        matcher = None if protocol is None else Matcher(protocol, self._store.sighted(protocol.name), batch.head.end)
        for matches in matcher.match(live) if matcher is not None else ([] for _ in live):
            found.matches += [match for match in matches if match.key.secret not in own]
            yield
        return found

    def keys_issued(self) -> int | None:
        """When the authority issued the newest index all of whose batches that this box can use are applied (ms); None
        before the first."""
        fact = self._store.fact("complete index")
        return None if fact is None else fact[0]

    def list_problem(self, at: int, stale_after: int) -> str:
        """Why the list of cases is no all-clear though there is one: the authority, or a mirror before it, renews it no
        more. Empty when all is well, and before the first."""
        issued = self.keys_issued()
        if issued is None:
            return ""
        if self._index is not None and at >= self._index.expires:
            return EXPIRED
        return STANDS_STILL if at - issued > stale_after else ""

    def newest_batch(self) -> int:
        """Sequence number of the newest batch applied; 0 before the first."""
        fact = self._store.fact("newest batch")
        return 0 if fact is None else fact[0]

    def _note_complete(self) -> None:
        if self._index is None:
            return
        heard = (batch.sequence for batch in self._index.batches if batch.protocol in self._settings.heard)
        if max(heard, default=0) <= self.newest_batch():
            self._store.put_fact("complete index", self._index.issued)

    def _signing_keys(self, sequence: int = 0) -> list[ec.EllipticCurvePublicKey]:
        """Whose signature counts on the batch `sequence`, the key that signs now first; of all batches for 0."""
        rotations = self._witness.rotations
        return key_rotation.signers(key_rotation.follow(self._pinned_key(), rotations), rotations, sequence)

    def _pinned_key(self) -> ec.EllipticCurvePublicKey:
        if self._settings.authority_key is None:
            raise AuthorityError("no authority is pinned: set authority.public_key in bluezoned.toml")
        return self._settings.authority_key

    def _remembered_index(self) -> key_index.KeyIndex | None:
        fact = self._store.fact("index")
        if fact is None or fact[1] is None or self._settings.authority_key is None:
            return None
        try:
            return key_index.read(fact[1], self._signing_keys()[0])
        except AuthorityError:
            return None  # signed by an authority that is pinned no more: its word counts for nothing

    # the carrier's word

    def consent(self, code: str, at: int, hours: tuple[int, int] | None = None) -> None:
        """The carrier agrees to publish the keys of the retention period under the authority's one-time code; or those
        of some `hours` alone (from, to, half-open, ms), as for a place that was an outbreak then.

        The sealed message is stored with the binding of the keys, then waits in `pending_uploads`. AuthorityError
        when no list of the authority has been seen yet (its sealing key is in it); ProtocolError when the code has
        no possible form, and for hours whose keys would tell others.
        """
        index = self.check_consent(code)
        used = self._keyring.publishable(at, at - self._settings.retention)
        if hours is not None:
            used = self._of_hours(used, hours)
        until = self._keyring.cut(at)
        keys = tuple(self._narrowed(self._settings.advertised.publish(key, until), hours) for key in used)
        nonce = Opaque(self._random(16))
        # Who agreed to publish some hours did not agree to tell of the others.
        hearings = self._hearings() if hours is None else ()
        message = upload.Upload(upload.normalise_code(code), keys, nonce, hearings)
        sealed = upload.seal(message, index.sealing_key)
        with self._store.transaction():
            row = self._store.put_upload(nonce, sealed, at)
            self._keyring.bind(row, at, used)

    def _of_hours(self, keys: list[DailyKey], hours: tuple[int, int]) -> list[DailyKey]:
        used = [key for key in keys if key.start < hours[1] and key.end > hours[0]]
        if not used:
            raise ProtocolError("this box was not on the air in these hours, or has forgotten them")
        if self._keyring.leads_on(used):
            raise ProtocolError("the keys of these hours would tell those of all later days, as they form a chain: "
                                "consent without hours, or set beacon.key_schedule = \"independent\"")  # fmt: skip
        return used

    def _narrowed(self, key: DiagnosisKey, hours: tuple[int, int] | None) -> DiagnosisKey:
        """The key's window within the hours, to whole rotations; as it is where the protocol tells whole days."""
        if hours is None:
            return key
        rotation = self._settings.advertised.rotation
        start, end = hours[0] - hours[0] % rotation, hours[1] + -hours[1] % rotation
        cut = replace(key, start=max(key.start, start), end=min(key.end, end))
        fits = all(start <= w.start and w.end <= end for w in self._settings.advertised.expand(cut))
        return cut if fits else key

    def check_consent(self, code: str) -> key_index.KeyIndex:
        """Raises what `consent` would; else the index whose key it will seal with."""
        if self._index is None:
            raise AuthorityError("nothing has been received from the authority yet, so there is no key to seal with: "
                                 "let the box fetch the list once, then consent again")  # fmt: skip
        upload.normalise_code(code)
        return self._index

    def pending_uploads(self) -> dict[bytes, bytes]:
        """Sealed messages that wait for a receipt, by a tag of 8 bytes that tells nothing."""
        return {_tag(u): u.sealed for u in self._store.uploads() if u.sealed is not None}

    def chaff(self, elapsed: int, mean: int) -> tuple[bytes, bytes] | None:
        """Now and then an upload that says nothing, with a tag like `pending_uploads` gives: on average once in `mean`
        ms, `elapsed` of which passed since this was last asked. Without memory, so that neither a restart nor the last
        one tells when the next comes. None before the first index, and always when `mean` is 0."""
        drawn = int.from_bytes(self._random(8)) / (1 << 64)
        if self._index is None or not mean or drawn >= -math.expm1(-elapsed / mean):
            return None
        return self._random(8), upload.seal_chaff(self._index.sealing_key)

    def apply_receipt(self, data: bytes) -> StoredUpload | None:
        """Close the upload that a signed receipt answers; None when it answers none that is pending."""
        receipt = self._read_receipt(data)
        pending = {u.nonce: u for u in self._store.uploads() if u.state == "pending"}
        found = pending.get(Opaque(receipt.nonce))
        if found is None:
            return None
        state = "accepted" if receipt.accepted else "refused"
        with self._store.transaction():
            self._store.close_upload(found.id, state, receipt.problem, receipt.tier)
        return next(u for u in self._store.uploads() if u.id == found.id)

    def _read_receipt(self, data: bytes) -> upload.Receipt:
        """One that was signed before the key was replaced may still be on its way."""
        current, *former = self._signing_keys()
        for key in former:
            with suppress(upload.ReceiptError):
                return upload.read_receipt(data, key)
        return upload.read_receipt(data, current)

    def last_upload(self) -> StoredUpload | None:
        uploads = self._store.uploads()
        return uploads[-1] if uploads else None

    # what it all means

    def alert(self) -> Alert:
        """The nearest tier: own case before F1 before F2."""
        reasons = self._reasons()
        tiers = [reason.tier for reason in reasons]
        exposed = [reason.day for reason in reasons if reason.tier is not Tier.F0]
        acknowledged = bool(reasons) and reasons <= self._acknowledged()
        return Alert(min(tiers, default=None), max(exposed, default=None), acknowledged)

    def _reasons(self) -> set[_Reason]:
        """What the alert rests on."""
        high = {_Reason(e.tier, e.risk.day) for e in self._exposures if e.risk.level is RiskLevel.HIGH}
        accepted = (u for u in self._store.uploads() if u.state == "accepted" and u.tier is Tier.F0)
        return high | {_Reason(Tier.F0, u.created // DAY) for u in accepted}

    def _acknowledged(self) -> set[_Reason]:
        fact = self._store.fact("acknowledged")
        return _unpack_reasons(fact[1] or b"") if fact is not None else set()

    def _forget_acknowledged(self) -> None:
        """What is past retention is no more to be known from what was taken note of."""
        acknowledged = self._acknowledged()
        if not acknowledged <= self._reasons():
            with self._store.transaction():
                self._store.put_fact("acknowledged", 0, _pack_reasons(acknowledged & self._reasons()))

    def exposures(self) -> list[Exposure]:
        """Days with any risk, newest first, F1 before F2."""
        return self._exposures

    def encounters(self, at: int) -> list[DayEncounters]:
        """Each UTC day of the retention, newest first, days without encounters left out."""
        days: dict[int, list[tuple[int, float]]] = {}
        for encounter in self._store.encounters(at - self._settings.retention, at + DAY):
            near = proximity.near_time(proximity.excesses(encounter.minutes, None, self._settings.ranging).values())
            days.setdefault(encounter.start // DAY, []).append((len(encounter.minutes), near.minutes))
        return [
            DayEncounters(day, len(rows), sum(m for m, _ in rows), sum(n for _, n in rows))
            for day, rows in sorted(days.items(), reverse=True)
        ]

    def _assess(self) -> list[Exposure]:
        """F1 from the windows near F0 keys; F2 from those near F0 and F1 keys together, so that half a dose of each
        is not nothing."""
        windows = [w for matched in self._store.matches() for w in self._windows(matched)]
        confirmed = [w for w in windows if w.tier is Tier.F0]
        first = [Exposure(Tier.F1, risk) for risk in assess(confirmed, self._settings.model)]
        sure = {e.risk.day for e in first if e.risk.level is RiskLevel.HIGH}
        second = [
            Exposure(Tier.F2, risk)
            for risk in assess((w for w in windows if w.tier <= Tier.F1), self._settings.model)
            if risk.day not in sure
        ]
        known = {(e.risk.day, e.risk.minutes) for e in first}
        return first + [e for e in second if (e.risk.day, e.risk.minutes) not in known]

    def _windows(self, matched: MatchedKey) -> list[ExposureWindow]:
        protocol = self._settings.heard.get(matched.key.protocol)
        if protocol is None:
            return []
        tx_power, key = _tx_power(protocol, matched), matched.key
        scans: dict[int, ScanInstance] = {}
        for meeting in _meetings(matched.encounters):
            minutes = _timeline(meeting, matched)
            offset = loudness.crowd_offset(self._crowd(meeting)) + (key.loudness or 0)
            spread = proximity.SHARED_SPREAD if key.loudness is None else proximity.SHARED_SPREAD_TOLD
            scans |= scan_instances(minutes, tx_power, self._settings.ranging, offset, spread)
        return [
            ExposureWindow(day, key.tier, key.report_type, infectiousness(key.days_since_onset), members)
            for day, members in cut_windows(scans, self._settings.model.longest_window)
        ]

    def _hearings(self) -> tuple[upload.Hearing, ...]:
        """How loud this box heard published keys, for others who met them; of those that were met long enough in
        company."""
        told: dict[bytes, upload.Hearing] = {}
        for matched in self._store.matches():
            word = self._word(matched)
            if word is not None:
                tag = Opaque(matched.key.secret[: upload.KEY_TAG_SIZE])
                told[tag] = upload.Hearing(tag, word)
        return tuple(told[tag] for tag in sorted(told)[: upload.MOST_HEARINGS])

    def _word(self, matched: MatchedKey) -> int | None:
        protocol = self._settings.heard.get(matched.key.protocol)
        if protocol is None:
            return None
        tx_power, ranging = _tx_power(protocol, matched), self._settings.ranging
        return loudness.word(
            loudness.Meeting(
                proximity.excesses(_timeline(meeting, matched), tx_power, ranging), self._crowd(meeting), len(meeting)
            )
            for meeting in _meetings(matched.encounters)
        )

    def _crowd(self, encounters: Sequence[Encounter]) -> list[dict[int, float]]:
        """Excesses of everybody around while this box met one peer. Powers are assumed: what one sends cannot be known
        of those who did not match."""
        start, end = min(e.start for e in encounters) - CROWD, max(e.end for e in encounters) + CROWD
        crowd = self._store.encounters(start - LONGEST, end)
        ranging = self._settings.ranging
        return [proximity.excesses(e.minutes, None, ranging) for e in crowd if e.end >= start]


class _Found:
    """What a batch holds for this box."""

    def __init__(self, remembered: set[bytes]) -> None:
        self._remembered = remembered
        self.keys = 0
        """How many it held in all, without the revoked ones."""
        self.matches: list[Match] = []
        self.revoked: list[bytes] = []
        """Secrets, of those this box remembers."""

    def live(self, batch: Iterable[tuple[bytes, Terms]]) -> Iterator[tuple[bytes, Terms]]:
        """The batch's keys without the revoked ones, which are noted."""
        for secret, terms in batch:
            if terms.report_type is not ReportType.REVOKED:
                self.keys += 1
                yield secret, terms
            elif secret in self._remembered:
                self.revoked.append(secret)


def _tx_power(protocol: TracingProtocol, matched: MatchedKey) -> int | None:
    """dBm, as the first packet says whose metadata can be believed."""
    powers = (protocol.tx_power(matched.key, e.payload) for e in matched.encounters)
    return next((power for power in powers if power is not None), None)


def _timeline(meeting: Sequence[Encounter], matched: MatchedKey) -> list[Minute]:
    return merge(m for e in meeting for m in e.minutes if m.at < matched.published)


def _meetings(encounters: Sequence[Encounter]) -> list[list[Encounter]]:
    """Encounters of one key, in order, parted where it was out of reach for so long that the crowd is another."""
    meetings: list[list[Encounter]] = []
    latest = 0
    for encounter in encounters:
        if not meetings or encounter.start - latest > CROWD:
            meetings.append([])
        meetings[-1].append(encounter)
        latest = max(latest, encounter.end)
    return meetings


def _tag(stored: StoredUpload) -> bytes:
    return hashlib.sha256(b"upload tag" + stored.nonce).digest()[:8]
