"""What leaves a box: after consent alone, own keys alone, of the agreed hours alone, until a receipt comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bluezoned import upload
from bluezoned.errors import AuthorityError, ProtocolError
from bluezoned.protocols.protocol import DAY, Tier
from bluezoned.upload import Receipt
from tests.tracing.corridor import (
    CODE,
    HOUR,
    MONDAY,
    NEAR,
    NINE,
    SIGNING_KEY,
    STRANGERS_KEY,
    TUESDAY_NOON,
    Box,
    consented,
    index,
    meet,
)


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
