"""What holds for every test."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

from bluezoned.protocols import sieve
from bluezoned.protocols.sieve import Core

ROOT = Path(__file__).parent.parent

# A deadline is a timed test: on a machine under load it fails without a fault.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled first look of matching, built here."""
    place = tmp_path_factory.mktemp("compiled") / "libsieve.so"
    subprocess.run([ROOT / "compile.sh", place], check=True)
    return place


@pytest.fixture(scope="session")
def compiled(library: Path) -> Core:
    """The same, opened."""
    core = sieve.open_core(library)
    assert core is not None
    return core
