"""The corridor from reception to alert, with real protocols, signatures and SQLite, time pushed by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import key_export, key_index, upload
from bluezoned.advertisement import Reception
from bluezoned.errors import AuthorityError, ProtocolError
from bluezoned.key_export import KeyExport, KeyExportError, Reason
from bluezoned.key_index import KeyIndex
from bluezoned.opaque import Opaque
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Tier
from bluezoned.tracing.case_list import Applied
from bluezoned.tracing.device import Device, Settings
from bluezoned.tracing.proximity import MINUTE, Ranging
from bluezoned.tracing.store import Store
from bluezoned.upload import Receipt
from tests.logbook import Logbook

MONDAY = 20_759 * DAY
HOUR = 60 * MINUTE
NINE = MONDAY + 9 * HOUR
TUESDAY_NOON = MONDAY + DAY + 12 * HOUR
NEAR, FAR = -60, -80
RANGING = Ranging(attenuation_1m=67.0)
SIGNING_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGERS_KEY = ec.generate_private_key(ec.SECP256R1())
SEALING_KEY = upload.generate_sealing_key()
CODE = "12345678"


class CountingRandom:
    """Randomness that repeats from run to run."""

    def __init__(self, seed: int) -> None:
        self._counter = seed << 32

    def __call__(self, count: int) -> bytes:
        self._counter += 1
        return self._counter.to_bytes(16, "big").ljust(count, b"\x5a")[:count]


class Box:
    """A device on its own database."""

    def __init__(self, protocol: str, path: Path, seed: int) -> None:
        speak = registry.by_name(protocol)
        settings = Settings(
            advertised=speak,
            heard={name: registry.by_name(name) for name in registry.NAMES},
            authority_key=SIGNING_KEY.public_key(),
            tx_power=0,
            ranging=RANGING,
        )
        self.protocol = speak
        self.settings = settings
        self.store = Store(path, bytes(32), os.urandom)
        self.random = CountingRandom(seed)
        self.device = Device(settings, self.store, self.random)
        self.logbook = Logbook(SIGNING_KEY)

    def take(self, data: bytes, at: int) -> Applied | None:
        """A batch, as an honest authority tells it: with the log that it stands in."""
        self.device.apply_log(self.logbook.signed([data]))
        return apply(self.device, data, at)

    def restart(self) -> None:
        """As after a pulled plug: only what is stored is left."""
        self.device = Device(self.settings, self.store, self.random)

    def published(self, at: int, tier: Tier) -> tuple[DiagnosisKey, ...]:
        keys = self.store.own_keys(self.protocol.name)
        return tuple(replace(self.protocol.publish(k, at), tier=tier) for k in keys if k.start <= at)


@pytest.fixture(params=registry.NAMES)
def boxes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Box, Box, Box]]:
    three = tuple(Box(request.param, tmp_path / f"{seed}.db", seed) for seed in (1, 2, 3))
    yield three  # type: ignore[misc]
    for box in three:
        box.store.close()


def meet(one: Box, other: Box, start: int, minutes: int, rssi: int) -> None:
    """Both hear one another each ten seconds."""
    for at in range(start, start + minutes * MINUTE, 10_000):
        sent, received = one.device.advertisement(at), other.device.advertisement(at)
        assert other.device.hear(Reception(sent, rssi, at))
        assert one.device.hear(Reception(received, rssi, at))
    for box in (one, other):
        box.device.tick(start + minutes * MINUTE)


def batch(
    box: Box,
    sequence: int,
    keys: tuple[DiagnosisKey, ...],
    revoked: tuple[DiagnosisKey, ...] = (),
    at: int = TUESDAY_NOON,
) -> bytes:
    export = KeyExport(box.protocol.name, sequence, at - DAY, at, "VN", keys, revoked)
    return key_export.write(export, SIGNING_KEY, "test")


def apply(device: Device, data: bytes, at: int) -> Applied | None:
    """To the end, at once."""
    steps = device.apply_export(BytesIO(data), at)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def run_until(device: Device, until: int) -> None:
    """On through the days, as a box that runs does."""
    for at in range(MONDAY, until + 1, DAY):
        device.tick(at)
    device.tick(until)


def index(sequence: int, issued: int, protocol: str = "bluezone") -> bytes:
    """It lists the newest batch alone."""
    sealing_key = upload.public_sealing_key(SEALING_KEY)
    newest = key_index.Batch(sequence, f"{sequence}.zip", 1000, bytes(32), protocol, issued - HOUR, issued)
    listed = (newest,) if sequence else ()
    return key_index.write(KeyIndex("test", sequence, issued, issued + 14 * DAY, sealing_key, listed), SIGNING_KEY)


def test_tiers_follow_the_chain_of_meetings(boxes: tuple[Box, Box, Box]) -> None:
    a, b, c = boxes
    meet(a, b, NINE, 20, NEAR)
    meet(b, c, NINE + HOUR, 20, NEAR)

    for box in boxes:
        box.take(batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0)), TUESDAY_NOON)
    assert [box.device.alert().tier for box in boxes] == [None, Tier.F1, None]

    for box in boxes:
        box.take(batch(b, 2, b.published(TUESDAY_NOON - DAY, Tier.F1)), TUESDAY_NOON)
    assert [box.device.alert().tier for box in boxes] == [Tier.F2, Tier.F1, Tier.F2]


@pytest.mark.parametrize(("minutes", "rssi"), [(14, NEAR), (120, FAR)])
def test_no_alert_below_duration_or_beyond_distance(boxes: tuple[Box, Box, Box], minutes: int, rssi: int) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, minutes, rssi)

    applied = b.take(batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0)), TUESDAY_NOON)

    assert applied is not None
    assert applied.matched > 0
    assert b.device.alert().tier is None


def test_alert_survives_a_restart(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    b.take(batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0)), TUESDAY_NOON)

    b.restart()

    assert b.device.alert().tier is Tier.F1


def test_revocation_takes_the_alert_back(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    keys = a.published(TUESDAY_NOON - DAY, Tier.F0)
    b.take(batch(a, 1, keys), TUESDAY_NOON)

    applied = b.take(batch(a, 2, (), keys), TUESDAY_NOON)

    assert applied is not None
    assert applied.revoked > 0
    assert b.device.alert().tier is None


def test_alert_ends_with_the_retention(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    b.take(batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0)), TUESDAY_NOON)

    run_until(b.device, MONDAY + 20 * DAY)

    assert b.device.alert().tier is None
    assert b.device.encounters(MONDAY + 20 * DAY) == []


def test_calibration_gathers_the_loudest_peer_and_ends_by_itself(boxes: tuple[Box, Box, Box]) -> None:
    listener, near, far = boxes
    listener.device.calibrate(NINE)

    for second in range(60):
        at = NINE + second * 1000
        for peer, rssi in ((near, NEAR), (far, FAR)):
            listener.device.hear(Reception(peer.device.advertisement(at), rssi, at))

    windows = listener.device.calibration(NINE + MINUTE)
    assert [(w.packets, w.mean, w.margin) for w in windows] == [(5, NEAR, NEAR - FAR)] * 12
    listener.device.tick(NINE + 10 * MINUTE)
    assert listener.device.calibration(NINE + 10 * MINUTE) == ()


def test_batch_applied_twice_counts_once(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    data = batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0))

    assert b.take(data, TUESDAY_NOON) is not None
    assert b.take(data, TUESDAY_NOON) is None


def test_older_batch_is_refused(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    b.take(batch(a, 5, ()), TUESDAY_NOON)

    with pytest.raises(KeyExportError) as refused:
        b.take(batch(a, 4, ()), TUESDAY_NOON)
    assert refused.value.reason is Reason.REPLAYED


def test_batch_of_a_stranger_changes_nothing(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    export = KeyExport(a.protocol.name, 1, NINE, TUESDAY_NOON, "VN", a.published(TUESDAY_NOON - DAY, Tier.F0))
    forged = key_export.write(export, STRANGERS_KEY, "test")

    with pytest.raises(KeyExportError) as refused:
        b.take(forged, TUESDAY_NOON)

    assert refused.value.reason is Reason.WRONG_KEY
    assert b.device.alert().tier is None
    assert b.device.newest_batch() == 0


def test_sighting_after_publication_proves_nothing(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)

    b.take(batch(a, 1, a.published(NINE + HOUR, Tier.F0), at=NINE - MINUTE), NINE + 2 * HOUR)

    assert b.device.alert().tier is None


def test_own_keys_in_the_list_alarm_nobody(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    for at in range(NINE, NINE + 20 * MINUTE, 10_000):
        a.device.hear(Reception(a.device.advertisement(at), NEAR, at))
    a.device.tick(NINE + HOUR)

    a.take(batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0)), TUESDAY_NOON)

    assert a.device.alert().tier is None


# consent


def consented(box: Box, at: int, hours: tuple[int, int] | None = None) -> upload.Upload:
    box.device.apply_index(index(0, at - HOUR))
    box.device.consent(CODE, at, hours)
    *_, sealed = box.device.pending_uploads().values()
    return upload.open_sealed(sealed, SEALING_KEY)


def test_nothing_waits_to_be_sent_without_consent(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    a.device.apply_index(index(0, NINE))

    assert a.device.pending_uploads() == {}


def test_consent_needs_something_that_looks_like_a_code(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    a.device.apply_index(index(0, NINE))

    with pytest.raises(ProtocolError):
        a.device.consent("1234", NINE)
    assert a.device.pending_uploads() == {}


def test_consent_before_the_first_list_says_what_to_do(boxes: tuple[Box, Box, Box]) -> None:
    with pytest.raises(AuthorityError, match="fetch the list once"):
        boxes[0].device.consent(CODE, NINE)


def test_upload_holds_own_keys_and_nothing_of_others(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)

    message = consented(a, TUESDAY_NOON)

    own = {bytes(key.secret) for key in a.store.own_keys(a.protocol.name)}
    assert message.code == CODE
    assert {bytes(key.secret) for key in message.keys} == own
    assert not own & {bytes(key.secret) for key in b.store.own_keys(b.protocol.name)}


def gather(boxes: tuple[Box, ...], minutes: int, levels: dict[int, int]) -> None:
    """The first hears all others for so long, each at its level."""
    for at in range(NINE, NINE + minutes * MINUTE, 10_000):
        for place, rssi in levels.items():
            assert boxes[0].device.hear(Reception(boxes[place].device.advertisement(at), rssi, at))
    boxes[0].device.tick(NINE + minutes * MINUTE)


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[tuple[Box, ...]]:
    many = tuple(Box("bluezone", tmp_path / f"crowd {seed}.db", seed + 10) for seed in range(6))
    yield many
    for box in many:
        box.store.close()


@pytest.mark.parametrize(("minutes", "told"), [(15, (8,)), (4, ())])
def test_consent_tells_how_loud_published_keys_were_in_company(
    crowd: tuple[Box, ...], minutes: int, told: tuple[int, ...]
) -> None:
    own, ill = crowd[:2]
    gather(crowd, minutes, {1: -60, 2: -70, 3: -70, 4: -70, 5: -70})
    keys = ill.published(NINE + HOUR, Tier.F0)
    own.take(batch(own, 1, keys), TUESDAY_NOON)

    message = consented(own, TUESDAY_NOON)

    assert tuple(hearing.loudness for hearing in message.hearings) == told
    assert {bytes(hearing.tag) for hearing in message.hearings} <= {bytes(key.secret[:8]) for key in keys}


def test_key_met_without_company_is_not_told_of(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    a.take(batch(a, 1, b.published(NINE + HOUR, Tier.F0)), TUESDAY_NOON)

    assert consented(a, TUESDAY_NOON).hearings == ()


def test_key_that_others_heard_louder_is_farther_than_it_seemed(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    keys = b.published(NINE + HOUR, Tier.F0)
    a.take(batch(a, 1, keys), TUESDAY_NOON)
    assert a.device.alert().tier is Tier.F1

    a.take(batch(a, 2, tuple(replace(key, loudness=12) for key in keys)), TUESDAY_NOON + HOUR)

    assert a.device.alert().tier is None
    a.restart()
    assert a.device.alert().tier is None


def test_published_key_is_used_no_more_after_its_rotation(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    a.device.advertisement(TUESDAY_NOON)
    message = consented(a, TUESDAY_NOON)
    known = {window.rolling_id for key in message.keys for window in a.protocol.expand(key)}

    later = a.device.next_rotation(TUESDAY_NOON)
    fresh = a.protocol.read(a.device.advertisement(later))

    assert fresh is not None
    assert fresh.rolling_id not in known


def live(box: Box, start: int, days: int) -> None:
    """On the air, once a day."""
    for day in range(days):
        box.device.advertisement(start + day * DAY)


@pytest.mark.parametrize("name", ["bluezone", "gaen"])
def test_of_some_hours_only_what_was_on_the_air_then_leaves_the_box(tmp_path: Path, name: str) -> None:
    a = Box(name, tmp_path / "a.db", 1)
    live(a, NINE, 5)
    hours = (NINE + DAY + 100_000, NINE + DAY + HOUR)
    on_air = a.protocol.read(a.device.advertisement(hours[0]))

    message = consented(a, NINE + 4 * DAY, hours)

    windows = [window for key in message.keys for window in a.protocol.expand(key)]
    assert on_air is not None
    assert on_air.rolling_id in {window.rolling_id for window in windows}
    assert min(w.start for w in windows) == NINE + DAY
    assert max(w.end for w in windows) == hours[1]
    assert len(message.keys) == 1


@pytest.mark.parametrize("name", ["bluezone", "gaen"])
def test_keys_of_other_hours_can_still_be_published_and_used(tmp_path: Path, name: str) -> None:
    a = Box(name, tmp_path / "a.db", 1)
    live(a, NINE, 5)
    first = consented(a, NINE + 4 * DAY, (NINE + DAY, NINE + DAY + HOUR))
    present = a.device.advertisement(NINE + 4 * DAY + HOUR)

    everything = consented(a, NINE + 4 * DAY + 2 * HOUR)

    assert len(everything.keys) == 5
    assert {bytes(key.secret) for key in first.keys} < {bytes(key.secret) for key in everything.keys}
    known = {w.rolling_id for key in everything.keys for w in a.protocol.expand(key)}
    heard = a.protocol.read(present)
    assert heard is not None
    assert heard.rolling_id in known


@pytest.mark.parametrize("name", ["bluezone", "gaen"])
def test_present_key_of_published_hours_is_used_no_more(tmp_path: Path, name: str) -> None:
    a = Box(name, tmp_path / "a.db", 1)
    live(a, NINE, 1)
    message = consented(a, NINE + HOUR, (NINE, NINE + HOUR))

    fresh = a.protocol.read(a.device.advertisement(a.device.next_rotation(NINE + HOUR)))

    whole_day = {
        w.rolling_id for key in message.keys for w in a.protocol.expand(replace(key, start=MONDAY, end=MONDAY + DAY))
    }
    assert fresh is not None
    assert fresh.rolling_id not in whole_day


def test_hours_of_a_chain_are_refused_as_they_would_tell_later_days(tmp_path: Path) -> None:
    a = Box("dp3t", tmp_path / "a.db", 1)
    live(a, NINE, 5)
    a.device.apply_index(index(0, NINE))

    with pytest.raises(ProtocolError, match="later days"):
        a.device.consent(CODE, NINE + 4 * DAY, (NINE + DAY, NINE + DAY + HOUR))
    assert a.device.pending_uploads() == {}


def test_the_last_day_of_a_chain_can_leave_alone(tmp_path: Path) -> None:
    a = Box("dp3t", tmp_path / "a.db", 1)
    live(a, NINE, 3)

    message = consented(a, NINE + 2 * DAY + HOUR, (NINE + 2 * DAY, NINE + 2 * DAY + HOUR))

    assert [(key.start, key.end) for key in message.keys] == [(MONDAY + 2 * DAY, MONDAY + 3 * DAY)]


@pytest.mark.parametrize("hours", [(MONDAY - DAY, MONDAY), (NINE + 9 * DAY, NINE + 10 * DAY)])
def test_hours_without_a_key_are_refused(boxes: tuple[Box, Box, Box], hours: tuple[int, int]) -> None:
    a, _, _ = boxes
    live(a, NINE, 1)
    a.device.apply_index(index(0, NINE))

    with pytest.raises(ProtocolError, match="not on the air"):
        a.device.consent(CODE, NINE + HOUR, hours)


def test_upload_waits_over_a_restart_until_its_receipt(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    message = consented(a, TUESDAY_NOON)
    a.restart()
    assert len(a.device.pending_uploads()) == 1

    receipt = Receipt(message.nonce, True, "", Tier.F0, TUESDAY_NOON)
    closed = a.device.apply_receipt(upload.write_receipt(receipt, SIGNING_KEY))

    assert closed is not None
    assert a.device.pending_uploads() == {}
    assert a.device.alert().tier is Tier.F0


def test_refusal_is_told_and_makes_no_case(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    message = consented(a, TUESDAY_NOON)

    receipt = Receipt(message.nonce, False, "code-expired", None, TUESDAY_NOON)
    a.device.apply_receipt(upload.write_receipt(receipt, SIGNING_KEY))

    last = a.device.last_upload()
    assert last is not None
    assert (last.state, last.problem) == ("refused", "code-expired")
    assert a.device.alert().tier is None


def test_receipt_of_a_stranger_is_refused(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    message = consented(a, TUESDAY_NOON)
    receipt = Receipt(message.nonce, True, "", Tier.F0, TUESDAY_NOON)

    with pytest.raises(AuthorityError):
        a.device.apply_receipt(upload.write_receipt(receipt, STRANGERS_KEY))
    assert len(a.device.pending_uploads()) == 1


def test_revocation_of_own_keys_ends_the_own_case(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    message = consented(a, TUESDAY_NOON)
    a.device.apply_receipt(upload.write_receipt(Receipt(message.nonce, True, "", Tier.F0, TUESDAY_NOON), SIGNING_KEY))

    a.take(batch(a, 1, (), message.keys), TUESDAY_NOON)

    assert a.device.alert().tier is None


# the index


def test_list_counts_as_fresh_only_when_its_batches_are_applied(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    a.device.apply_index(index(0, NINE))
    a.device.apply_index(index(1, NINE + HOUR))
    assert a.device.keys_issued() == NINE

    a.take(batch(a, 1, ()), TUESDAY_NOON)
    assert a.device.keys_issued() == NINE + HOUR


def test_list_waits_for_no_batch_of_a_protocol_that_is_not_listened_to(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    a.device.apply_index(index(1, NINE, "another"))

    assert a.device.keys_issued() == NINE


def test_index_that_turns_back_time_is_refused(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    a.device.apply_index(index(3, NINE))

    with pytest.raises(AuthorityError, match="older"):
        a.device.apply_index(index(2, NINE + HOUR))
    with pytest.raises(AuthorityError, match="older"):
        a.device.apply_index(index(3, NINE - HOUR))


def test_unprovisioned_box_believes_nobody(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    device = Device(replace(a.settings, authority_key=None), a.store, a.random)

    with pytest.raises(AuthorityError, match="pinned"):
        apply(device, batch(a, 1, ()), TUESDAY_NOON)


# odds


def test_stranger_and_missing_level_are_not_taken_up(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    sent = b.device.advertisement(NINE)

    assert not a.device.hear(Reception(type(sent)(), NEAR, NINE))
    assert not a.device.hear(Reception(sent, -127, NINE))
    assert not a.device.hear(Reception(sent, 127, NINE))


def test_present_peer_counts_as_near_by_its_level(boxes: tuple[Box, Box, Box]) -> None:
    a, b, c = boxes
    a.device.hear(Reception(b.device.advertisement(NINE), NEAR, NINE))
    a.device.hear(Reception(c.device.advertisement(NINE), FAR, NINE))

    assert a.device.nearby(NINE + 1000) == 1
    assert a.device.nearby(NINE + 3 * MINUTE) == 0


def test_pause_is_remembered(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    a.device.pause()
    a.restart()
    assert a.device.is_paused()

    a.device.resume()
    assert not a.device.is_paused()


def exposed(boxes: tuple[Box, Box, Box]) -> Box:
    """A box that met a case."""
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    b.take(batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0)), TUESDAY_NOON)
    assert b.device.alert().tier is Tier.F1
    return b


def test_acknowledged_alert_stays_so_over_a_restart(boxes: tuple[Box, Box, Box]) -> None:
    b = exposed(boxes)
    assert not b.device.alert().acknowledged

    b.device.acknowledge()
    b.restart()

    assert b.device.alert().tier is Tier.F1
    assert b.device.alert().acknowledged


def test_new_exposure_ends_the_acknowledgement(boxes: tuple[Box, Box, Box]) -> None:
    b, c = exposed(boxes), boxes[2]
    b.device.acknowledge()
    meet(b, c, TUESDAY_NOON, 20, NEAR)

    b.take(batch(c, 2, c.published(TUESDAY_NOON + HOUR, Tier.F0), at=TUESDAY_NOON + DAY), TUESDAY_NOON + DAY)

    assert not b.device.alert().acknowledged


def test_nothing_to_acknowledge_is_not_acknowledged(boxes: tuple[Box, Box, Box]) -> None:
    boxes[0].device.acknowledge()

    assert not boxes[0].device.alert().acknowledged


def test_acknowledgement_is_forgotten_with_its_exposure(boxes: tuple[Box, Box, Box]) -> None:
    b = exposed(boxes)
    b.device.acknowledge()

    run_until(b.device, MONDAY + 20 * DAY)

    assert b.store.fact("acknowledged") == (0, b"")


def test_erased_box_knows_nothing_and_cannot_be_published(boxes: tuple[Box, Box, Box]) -> None:
    b = exposed(boxes)
    b.device.apply_index(index(1, TUESDAY_NOON))
    b.device.acknowledge()
    b.device.consent(CODE, TUESDAY_NOON)
    before, secrets = b.device.advertisement(TUESDAY_NOON), b.store.own_secrets()

    b.device.erase()

    assert b.device.encounters(TUESDAY_NOON) == []
    assert (b.device.alert().tier, b.device.exposures(), b.device.nearby(TUESDAY_NOON)) == (None, [], 0)
    assert (b.device.pending_uploads(), b.device.last_upload()) == ({}, None)
    assert b.device.advertisement(TUESDAY_NOON) != before
    assert not b.store.own_secrets() & secrets


def test_erased_box_still_refuses_an_old_list(boxes: tuple[Box, Box, Box]) -> None:
    b = exposed(boxes)
    b.take(batch(boxes[0], 2, ()), TUESDAY_NOON)

    b.device.erase()

    with pytest.raises(KeyExportError) as caught:
        b.take(batch(boxes[0], 1, (), at=TUESDAY_NOON + HOUR), TUESDAY_NOON + HOUR)
    assert caught.value.reason is Reason.REPLAYED


def test_erasing_while_a_list_is_compared_makes_no_case_of_whom_is_met_next(boxes: tuple[Box, Box, Box]) -> None:
    a, b, c = boxes
    meet(a, b, NINE, 20, NEAR)
    keys = a.published(TUESDAY_NOON - DAY, Tier.F0)
    data = batch(a, 1, keys, at=TUESDAY_NOON + HOUR)
    b.device.apply_log(b.logbook.signed([data]))
    steps = b.device.apply_export(BytesIO(data), TUESDAY_NOON + HOUR)
    next(steps)

    b.device.erase()
    meet(b, c, TUESDAY_NOON, 20, NEAR)
    for _ in steps:
        pass

    assert b.device.newest_batch() == 1
    assert (b.device.alert().tier, b.device.exposures()) == (None, [])


def test_erased_hours_are_neither_kept_nor_published(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    meet(a, b, TUESDAY_NOON - 3 * HOUR, 20, NEAR)
    kept = [key.secret for key in b.store.own_keys(b.protocol.name) if key.end <= MONDAY + DAY]
    spoken = {b.device.advertisement(at) for at in range(TUESDAY_NOON - 3 * HOUR, TUESDAY_NOON, 5 * MINUTE)}

    b.device.erase_since(TUESDAY_NOON - 4 * HOUR)
    b.device.tick(TUESDAY_NOON)

    assert [day.day for day in b.device.encounters(TUESDAY_NOON)] == [MONDAY // DAY]
    b.device.advertisement(TUESDAY_NOON)
    keys = b.published(TUESDAY_NOON + DAY, Tier.F0)
    for key in keys:
        sendable = {window.rolling_id for window in b.protocol.expand(key)}
        assert not sendable & {b.protocol.read(advertisement).rolling_id for advertisement in spoken}
    # What a chain ties to those hours goes too; independent keys of other days stay.
    chained = b.protocol.name == "dp3t"
    assert [key.secret for key in b.store.own_keys(b.protocol.name)][:-1] == ([] if chained else kept)


def test_erased_bytes_do_not_stay_in_the_files(boxes: tuple[Box, Box, Box], tmp_path: Path) -> None:
    b = exposed(boxes)
    secrets = [bytes(secret) for secret in b.store.own_secrets()]
    ids = [bytes(e.payload.rolling_id) for e in b.store.encounters(0, TUESDAY_NOON)]
    assert secrets
    assert ids

    b.device.erase()

    for path in tmp_path.glob("2.db*"):
        content = path.read_bytes()
        assert not [secret for secret in secrets + ids if secret in content]


def test_keys_and_ids_never_print() -> None:
    key = DiagnosisKey("gaen", Opaque(b"S" * 16), 0, DAY)

    assert "S" * 3 not in repr(key) + str(key) + f"{key}"


# a clock that leaps


@pytest.mark.parametrize("leap", [365 * DAY, -365 * DAY])
def test_a_clock_that_leaps_a_year_and_comes_back_loses_nothing(leap: int, boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    met = b.store.encounters(0, MONDAY + 2 * DAY)
    keys = b.store.own_keys(b.protocol.name)

    for at in range(NINE + leap, NINE + leap + 3 * HOUR, 10 * MINUTE):
        b.device.advertisement(at)
        b.device.tick(at)
    b.device.tick(NINE + 4 * HOUR)

    assert b.store.encounters(0, MONDAY + 2 * DAY) == met
    assert [key for key in b.store.own_keys(b.protocol.name) if key in keys] == keys
    b.take(batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0)), TUESDAY_NOON)
    assert b.device.alert().tier is Tier.F1


def test_a_leap_is_believed_after_a_day_of_running_by_it(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    later = NINE + 30 * DAY

    for at in range(later, later + DAY, 10 * MINUTE):
        b.device.tick(at)
    assert b.store.encounters(0, MONDAY + DAY) != []
    b.device.tick(later + DAY)

    assert b.store.encounters(0, MONDAY + DAY) == []


def test_a_leap_is_believed_when_the_authority_confirms_it(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    later = NINE + 30 * DAY

    b.device.apply_index(index(0, later - HOUR))
    b.device.tick(later)

    assert b.store.encounters(0, MONDAY + DAY) == []
