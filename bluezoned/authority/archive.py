"""A backup: settings, keys and every row of the database in one file, which restores onto SQLite or PostgreSQL alike.

A tar archive of mode 0600: authority.toml, keys/, `revision`, and tables/NAME with rows as MessagePack. What is
published is left out: whatever of it is missing afterwards is told again.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bluezoned.authority import dump
from bluezoned.authority.database import NEWEST, Database
from bluezoned.authority.shelf import write_whole
from bluezoned.errors import ConfigError, StoreError

_SETTINGS = "authority.toml"


def write(directory: Path, database: Database, target: Path) -> int:
    """The authority of `directory` in the new file `target`; how many rows. ConfigError when it cannot be written."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}") from error
    count = 0
    with open(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        for path in (directory / _SETTINGS, *sorted((directory / "keys").iterdir())):
            _add(archive, str(path.relative_to(directory)), path.read_bytes())
        _add(archive, "revision", NEWEST.encode())
        for table, rows in dump.tables(database):
            count += len(rows)
            _add(archive, f"tables/{table}", msgspec.msgpack.encode(rows))
        file.flush()
        os.fsync(file.fileno())
    return count


def unpack(source: Path, directory: Path) -> None:
    """Settings and keys of the backup in `directory`, where there is no authority. ConfigError when there is one, or
    `source` is no backup."""
    if (directory / "keys").exists() or (directory / "authority.db").exists():
        raise ConfigError(f"{directory} holds an authority already; a backup is restored into an empty directory")
    (directory / "keys").mkdir(mode=0o700, parents=True)
    for name, content in _members(source):
        if name == _SETTINGS and not (directory / name).exists():  # one that is there may name another database
            write_whole(directory / name, content)
        elif name.startswith("keys/"):
            write_whole(directory / "keys" / Path(name).name, content, 0o600)


def restore(source: Path, database: Database) -> int:
    """Every row of the backup; how many. StoreError when the database is not empty or of another revision."""
    contents = dict(_members(source))
    if contents.get("revision") != NEWEST.encode():
        raise StoreError("the backup is of another version: restore it with that one, then install this one")
    tables = {
        name.removeprefix("tables/"): msgspec.msgpack.decode(content)
        for name, content in contents.items()
        if name.startswith("tables/")
    }
    return dump.fill(database, tables)


def _members(source: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None:
                    yield member.name, file.read()
    except (OSError, tarfile.TarError) as error:
        raise ConfigError(f"{source} is no backup of an authority: {type(error).__name__}") from error


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))
