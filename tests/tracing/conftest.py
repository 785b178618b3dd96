"""Three boxes that can meet, once for each protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bluezoned.protocols import registry
from tests.tracing.corridor import Box


@pytest.fixture(params=registry.NAMES)
def boxes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Box, Box, Box]]:
    three = tuple(Box(request.param, tmp_path / f"{seed}.db", seed) for seed in (1, 2, 3))
    yield three  # type: ignore[misc]
    for box in three:
        box.store.close()
