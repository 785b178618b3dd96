"""The box's memory on disk: opened under its key, and set aside when it is damaged.

The key is a systemd credential where there is one, else a file beside the database; what either is worth on a Pi is in
docs/storage.md. Layer 4.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from bluezoned.errors import StoreError
from bluezoned.event import Event
from bluezoned.opaque import Opaque
from bluezoned.tracing.sealing import KEY_SIZE, DamagedStoreError
from bluezoned.tracing.store import Store

log = logging.getLogger(__name__)

CREDENTIAL = "bluezoned.store-key"
"""Name of the credential: 32 bytes."""

KEY_FILE = "store.key"
"""Name of the file in the state directory, of mode 0600."""

DATABASE = "bluezoned.db"
_ASIDE = f"{DATABASE}.damaged-"


def read_key(state: Path, environment: Mapping[str, str]) -> Opaque:
    """The credential, else the file, which is made where there is none. StoreError when neither can be had. A database
    that was sealed under a lost key stays as it is: the store refuses the new one."""
    directory = environment.get("CREDENTIALS_DIRECTORY")
    credential = Path(directory) / CREDENTIAL if directory else None
    path = credential if credential is not None and credential.exists() else state / KEY_FILE
    try:
        if path == state / KEY_FILE and not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read the key of the database, {path}: {error.strerror}") from error
    if len(key) != KEY_SIZE:
        raise StoreError(f"the key of the database, {path}, is not of {KEY_SIZE} bytes: put the right one back")
    return Opaque(key)


def _make_key(path: Path) -> None:
    """Whole on disk before anything is sealed under it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_suffix(".tmp")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, os.urandom(KEY_SIZE))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(unfinished, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def open_store(state: Path, environment: Mapping[str, str]) -> Store:
    """A damaged file is set aside, for whoever can mend it, and said aloud: what it knew of the last fourteen days is
    missing until then. StoreError when none can be opened."""
    key = read_key(state, environment)
    try:
        return Store(state / DATABASE, key, os.urandom)
    except DamagedStoreError as error:
        aside = _set_aside(state)
        log.error("%s; it is set aside as %s", error, aside.name, extra=Event.STORE_SET_ASIDE.fields())
        return Store(state / DATABASE, key, os.urandom)


def damage(state: Path) -> str:
    """What to tell of databases that were set aside and still lie there; empty when there are none."""
    aside = _aside(state)
    if not aside:
        return ""
    return (
        f"a damaged database was set aside as {aside[-1].name}: encounters from before are missing; keep a copy for "
        "whoever can mend it, and remove it to end this notice"
    )


def _aside(state: Path) -> list[Path]:
    return sorted(path for path in state.glob(f"{_ASIDE}*") if path.name.removeprefix(_ASIDE).isdigit())


def _set_aside(state: Path) -> Path:
    """Rename the database with its log, so that nothing writes to it any more. Returns the new name."""
    taken = {path.name for path in _aside(state)}
    name = next(name for number in range(1, len(taken) + 2) if (name := f"{_ASIDE}{number}") not in taken)
    for suffix in ("-wal", "-shm", ""):
        part = state / (DATABASE + suffix)
        if part.exists():
            part.rename(state / (name + suffix))
    return state / name
