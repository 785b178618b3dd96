"""A ward, newly founded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bluezoned.authority.house import found_house
from tests.authority.ward import Ward


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    found_house(tmp_path / "ward", "test", os.urandom)
    opened = Ward(tmp_path / "ward")
    yield opened
    opened.store.close()
