"""A ward, newly founded: once on SQLite and once on PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bluezoned.authority.database import open_database
from bluezoned.authority.house import found_house
from tests.authority import postgres
from tests.authority.postgres import Postgres
from tests.authority.ward import Ward

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Postgres) -> str:
    """A database with its tables, which others are copied from."""
    name = postgres_server.make_database()
    open_database(postgres_server.url(name)).close()
    return name


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """As in authority.toml; empty for SQLite."""
    if request.param == "sqlite":
        return ""
    server: Postgres = request.getfixturevalue("postgres_server")
    return server.url(server.make_database(request.getfixturevalue("postgres_template")))


def settings(database_url: str) -> str:
    """authority.toml without padding, so that tests can count keys."""
    return f'[authority]\nname = "test"\n[publish]\nleast_keys = 0\n[database]\nurl = "{database_url}"\n'


@pytest.fixture
def ward_directory(tmp_path: Path, database_url: str) -> Path:
    """An authority that is founded and not opened."""
    directory = tmp_path / "ward"
    directory.mkdir()
    (directory / "authority.toml").write_text(settings(database_url))
    found_house(directory, "test", os.urandom)
    return directory


@pytest.fixture
def ward(ward_directory: Path) -> Iterator[Ward]:
    opened = Ward(ward_directory)
    yield opened
    opened.database.close()
