"""What the tests of a card share."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.machine import BUILT


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """Below build/, which the builder sees. Gone afterwards, after SIGTERM too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    made = Path(tempfile.mkdtemp(prefix="test-", dir=BUILT))
    yield made
    for log in ("console.log", "said.txt"):
        for found in made.glob(f"*/{log}"):
            shutil.copy(found, BUILT / f"{found.parent.name}-{log}")
    shutil.rmtree(made)
    signal.signal(signal.SIGTERM, before)
