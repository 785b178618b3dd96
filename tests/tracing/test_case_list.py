"""The authority's word: which lists a box believes, what a batch and a revocation change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bluezoned import key_export, upload
from bluezoned.advertisement import Reception
from bluezoned.errors import AuthorityError
from bluezoned.key_export import KeyExport, KeyExportError, Reason
from bluezoned.protocols.protocol import DAY, Tier
from bluezoned.tracing.device import Device
from bluezoned.tracing.proximity import MINUTE
from bluezoned.upload import Receipt
from tests.tracing.corridor import (
    HOUR,
    NEAR,
    NINE,
    SIGNING_KEY,
    STRANGERS_KEY,
    TUESDAY_NOON,
    Box,
    apply,
    batch,
    consented,
    index,
    meet,
)


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


def test_revocation_takes_the_alert_back(boxes: tuple[Box, Box, Box]) -> None:
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    keys = a.published(TUESDAY_NOON - DAY, Tier.F0)
    b.take(batch(a, 1, keys), TUESDAY_NOON)

    applied = b.take(batch(a, 2, (), keys), TUESDAY_NOON)

    assert applied is not None
    assert applied.revoked > 0
    assert b.device.alert().tier is None


def test_revocation_of_own_keys_ends_the_own_case(boxes: tuple[Box, Box, Box]) -> None:
    a, _, _ = boxes
    message = consented(a, TUESDAY_NOON)
    a.device.apply_receipt(upload.write_receipt(Receipt(message.nonce, True, "", Tier.F0, TUESDAY_NOON), SIGNING_KEY))

    a.take(batch(a, 1, (), message.keys), TUESDAY_NOON)

    assert a.device.alert().tier is None


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
