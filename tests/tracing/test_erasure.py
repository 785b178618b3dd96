"""What is erased is gone: from memory, from what could be published, and from the files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from bluezoned.key_export import KeyExportError, Reason
from bluezoned.protocols.protocol import DAY, Tier
from bluezoned.tracing.proximity import MINUTE
from tests.tracing.corridor import CODE, HOUR, MONDAY, NEAR, NINE, TUESDAY_NOON, Box, batch, exposed, index, meet


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
        assert not sendable & {payload.rolling_id for sent in spoken if (payload := b.protocol.read(sent))}
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
