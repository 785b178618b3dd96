"""A short run of tests/fuzz/advertisement.py: no exception, no growth."""

import tracemalloc
from collections.abc import Iterator

import pytest

from bluezoned.protocols.registry import NAMES
from tests.fuzz import advertisement


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_random_and_mutated_advertisements_raise_nothing_and_leave_nothing_behind() -> None:
    """64 KiB over 18 000 advertisements is less than 4 bytes for each: one object kept for each would be 500."""
    report = advertisement.run(20_000, seed=20_201_123, used=lambda: tracemalloc.get_traced_memory()[0])

    assert report["exception_types"] == {}
    assert isinstance(report["grown_bytes"], int)
    assert report["grown_bytes"] < 65_536


def test_mutated_advertisements_reach_every_protocol() -> None:
    report = advertisement.run(2_000, seed=1, used=lambda: 0)

    assert isinstance(report["read_as"], dict)
    assert set(report["read_as"]) == {*NAMES, "none"}
