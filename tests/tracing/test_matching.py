"""Matching against the obvious way, which expands every key and compares every id."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterable
from io import BytesIO

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from bluezoned import key_export
from bluezoned.export_message import Terms
from bluezoned.key_export import KeyExport
from bluezoned.opaque import Opaque
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, ReportType, Tier, TracingProtocol
from bluezoned.protocols.sieve import Core
from bluezoned.tracing.matching import BUNCH, Matcher
from bluezoned.tracing.proximity import MINUTE
from bluezoned.tracing.sighted import Place, Sighted

MONDAY = 20_759 * DAY
PUBLISHED = MONDAY + 15 * DAY
SIGNING_KEY = ec.derive_private_key(2020, ec.SECP256R1())

Sighting = tuple[bytes, int, int]
"""A rolling id, and ms of its first and last packet."""


def naive(
    protocol: TracingProtocol, keys: Iterable[DiagnosisKey], sightings: list[Sighting], published: int
) -> dict[bytes, set[int]]:
    """Secret to the rows that its key explains."""
    tolerance = protocol.tolerance
    found: dict[bytes, set[int]] = {}
    for key in keys:
        for window in protocol.expand(key):
            for row, (rolling_id, first, last) in enumerate(sightings):
                fits = first <= window.end + tolerance and last >= window.start - tolerance
                if rolling_id == window.rolling_id and fits and first < published:
                    found.setdefault(key.secret, set()).add(row)
    return found


def matched(
    protocol: TracingProtocol,
    keys: Iterable[DiagnosisKey],
    sightings: list[Sighting],
    published: int,
    core: Core | None,
) -> dict[bytes, set[int]]:
    sighted = Sighted()
    for row, (rolling_id, first, last) in enumerate(sightings):
        sighted.add(rolling_id, Place(row, first, last))
    matcher = Matcher(protocol, sighted, published, core)
    matches = [match for bunch in matcher.match(map(as_read, keys)) for match in bunch]
    assert len({match.key.secret for match in matches}) == len(matches)
    return {match.key.secret: set(match.encounters) for match in matches}


def as_read(key: DiagnosisKey) -> tuple[bytes, Terms]:
    return key.secret, Terms(key.protocol, key.start, key.end, key.tier, key.report_type, key.days_since_onset)


@pytest.fixture(params=registry.NAMES, scope="module")
def protocol(request: pytest.FixtureRequest) -> TracingProtocol:
    return registry.by_name(request.param)


@pytest.fixture(params=["plain", "compiled"], scope="module")
def core(request: pytest.FixtureRequest, compiled: Core) -> Core | None:
    """Both ways of looking."""
    return None if request.param == "plain" else compiled


@st.composite
def situations(draw: st.DrawFn, protocol: TracingProtocol) -> tuple[list[DiagnosisKey], list[Sighting], int]:
    """Keys with windows of any kind, and sightings of some of their ids about where they count or just do not."""
    keys, sightings = [], []
    longest = 144 if protocol.name == "gaen" else 15 * 144
    for number in range(draw(st.integers(1, 4))):
        start = MONDAY + draw(st.integers(0, 3 * 144)) * 10 * MINUTE
        length = draw(st.integers(1, 144) | st.sampled_from((1, 143, 144)) | st.integers(1, longest))
        secret = number.to_bytes(protocol.key_size)
        key = DiagnosisKey(protocol.name, Opaque(secret), start, start + length * 10 * MINUTE)
        keys.append(key)
        windows = protocol.expand(key)
        for _ in range(draw(st.integers(0, 3)) if windows else 0):
            window = draw(st.sampled_from(windows))
            edge = draw(st.sampled_from((window.start - protocol.tolerance, window.end + protocol.tolerance)))
            first = edge + draw(st.sampled_from((-14_400_000, -1, 0, 1, 14_400_000)) | st.integers(-DAY, DAY))
            sightings.append((window.rolling_id, first, first + draw(st.sampled_from((0, 1, 900_000, 14_399_999)))))
    published = draw(st.sampled_from((PUBLISHED, MONDAY + DAY)))
    return keys, sightings, published


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_finds_what_the_obvious_way_finds(data: st.DataObject, protocol: TracingProtocol, core: Core | None) -> None:
    keys, sightings, published = data.draw(situations(protocol))

    assert matched(protocol, keys, sightings, published, core) == naive(protocol, keys, sightings, published)


@pytest.mark.parametrize("count", [0, 1, BUNCH - 1, BUNCH, BUNCH + 1, 3 * BUNCH + 5])
def test_planted_keys_are_found_whatever_the_number(count: int, protocol: TracingProtocol, core: Core | None) -> None:
    keys = [
        DiagnosisKey(protocol.name, Opaque(os.urandom(protocol.key_size)), start, start + DAY)
        for start in (MONDAY + number % 3 * DAY for number in range(count))
    ]
    planted = keys[::50]
    sightings = [
        (window.rolling_id, window.start + MINUTE, window.start + 9 * MINUTE)
        for window in (protocol.expand(key)[20] for key in planted)
    ]

    found = matched(protocol, keys, sightings, PUBLISHED, core)

    assert found == {key.secret: {row} for row, key in enumerate(planted)}


def test_nothing_is_computed_of_days_without_sightings(core: Core | None) -> None:
    class Unused(type(registry.by_name("gaen"))):  # type: ignore[misc]
        def beginnings(self, *_: object) -> None:
            raise AssertionError("a day without sightings was computed")

    elsewhere = [(os.urandom(16), MONDAY + 5 * DAY, MONDAY + 5 * DAY + MINUTE)]
    keys = [DiagnosisKey("gaen", Opaque(os.urandom(16)), MONDAY, MONDAY + DAY) for _ in range(2 * BUNCH)]

    assert matched(Unused(), keys, elsewhere, PUBLISHED, core) == {}


def test_only_sighted_rotations_are_computed(core: Core | None) -> None:
    asked: list[int] = []

    class Counted(type(registry.by_name("gaen"))):  # type: ignore[misc]
        def beginnings(self, days: int, midnight: int, starts: list[int]) -> object:
            asked.extend(starts)
            return super().beginnings(days, midnight, starts)

    noon = MONDAY + DAY // 2
    keys = [DiagnosisKey("gaen", Opaque(os.urandom(16)), MONDAY, MONDAY + DAY) for _ in range(BUNCH)]

    matched(Counted(), keys, [(os.urandom(16), noon + MINUTE, noon + 2 * MINUTE)], PUBLISHED, core)

    # Two hours before and after: the interval that holds the sighting, and twelve on each side.
    assert asked == list(range(noon - 12 * 10 * MINUTE, noon + 13 * 10 * MINUTE, 10 * MINUTE))


def mixed_keys(count: int) -> list[DiagnosisKey]:
    """Whose records in an export have many lengths."""
    return [
        DiagnosisKey(
            "gaen",
            Opaque(os.urandom(16)),
            start := MONDAY + number % 14 * DAY + number % 5 * 10 * MINUTE,
            start + (144 if number % 3 else 1 + number % 100) * 10 * MINUTE,
            Tier(number % 3),
            ReportType(number % 5),
            None if number % 4 else number % 29 - 14,
        )
        for number in range(count)
    ]


def test_keys_of_many_lengths_come_out_of_the_file_as_they_went_in() -> None:
    keys = mixed_keys(5_000)
    data = key_export.write(KeyExport("gaen", 1, MONDAY, PUBLISHED, "VN", tuple(keys)), SIGNING_KEY, "test")

    read = [terms.key(secret) for secret, terms in key_export.Batch(BytesIO(data), SIGNING_KEY.public_key())]

    assert sorted(read, key=lambda key: key.secret) == sorted(keys, key=lambda key: key.secret)


def test_a_large_file_is_not_held_in_memory() -> None:
    keys = tuple(
        DiagnosisKey("gaen", Opaque(os.urandom(16)), MONDAY + 2 * DAY, MONDAY + 3 * DAY) for _ in range(40_000)
    )
    data = key_export.write(KeyExport("gaen", 1, MONDAY, PUBLISHED, "", keys), SIGNING_KEY, "t")
    file = BytesIO(data)

    tracemalloc.start()
    try:
        found = matched_in(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found == []
    # Held whole it would be 0.7 MB packed and 1.2 MB unpacked.
    assert peak < 500_000


def matched_in(file: BytesIO) -> list[object]:
    sighted = Sighted()
    sighted.add(os.urandom(16), Place(1, MONDAY + DAY, MONDAY + DAY + MINUTE))
    batch = key_export.Batch(file, SIGNING_KEY.public_key())
    matcher = Matcher(registry.by_name("gaen"), sighted, batch.head.end, None)
    return [match for bunch in matcher.match(batch) for match in bunch]
