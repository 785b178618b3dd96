"""A short run of tests/bench/durability.py: no flush that was acknowledged is lost, no database damaged."""

from __future__ import annotations

import random
from pathlib import Path

from tests.bench import durability


def test_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    assert durability.kill(tmp_path, 12, random.Random(20)) == []


def test_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    assert durability.cut(tmp_path, 60, 90, random.Random(20)) == []
