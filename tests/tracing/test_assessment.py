"""What encounters mean once keys matched: tiers, alerts, and how loud published keys were heard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bluezoned.advertisement import Reception
from bluezoned.protocols.protocol import DAY, Tier
from bluezoned.tracing.proximity import MINUTE
from tests.tracing.corridor import FAR, HOUR, NEAR, NINE, TUESDAY_NOON, Box, batch, consented, meet


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
