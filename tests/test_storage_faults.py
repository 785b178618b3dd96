"""A full, a failing and a locked disk under a running box (storage_faults.py), and what is not opened at the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bluezoned import storage
from bluezoned.errors import StoreError
from bluezoned.tracing.sealing import DamagedStoreError
from bluezoned.tracing.store import Store


def played(fault: str, tmp_path: Path) -> dict[str, Any]:
    disk, library = tmp_path / "disk", tmp_path / "read_only.so"
    disk.mkdir()
    source = Path(__file__).with_name("read_only.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    own_disk = ["unshare", "--user", "--map-root-user", "--mount"]
    environment = {"READ_ONLY_WHILE": str(tmp_path / "read-only"), "LD_PRELOAD": str(library)}
    command = [*own_disk, sys.executable, "-m", "tests.storage_faults", fault, str(disk)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | environment)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize(("fault", "words"), [("full", "full"), ("read-only", "disk I/O error"), ("locked", "locked")])
def test_a_failing_disk_is_told_and_loses_nothing(fault: str, words: str, tmp_path: Path) -> None:
    outcome = played(fault, tmp_path)

    indication, problems = outcome["during"]
    assert indication == "STORAGE_FAULT"
    assert words in problems[0]
    assert outcome["told"].count("storage-fault") == 1  # in the journal, once
    assert outcome["rotated"] == [True]  # a fresh identifier went on the air meanwhile
    assert outcome["after"] == outcome["before"]
    assert outcome["kept"] == outcome["expected"]


# at the start


def test_a_damaged_database_is_set_aside_and_told(tmp_path: Path) -> None:
    storage.open_store(tmp_path, {}).close()
    spoilt = b"spoilt" * 4096
    (tmp_path / storage.DATABASE).write_bytes(spoilt)

    storage.open_store(tmp_path, {}).close()

    assert (tmp_path / "bluezoned.db.damaged-1").read_bytes() == spoilt
    assert "damaged-1" in storage.damage(tmp_path)
    (tmp_path / "bluezoned.db.damaged-1").unlink()
    assert storage.damage(tmp_path) == ""


def test_a_second_damaged_database_does_not_replace_the_first(tmp_path: Path) -> None:
    for content in (b"first" * 4096, b"second" * 4096):
        (tmp_path / storage.DATABASE).write_bytes(content)
        storage.open_store(tmp_path, {}).close()
        for part in ("", "-wal", "-shm"):
            (tmp_path / f"{storage.DATABASE}{part}").unlink(missing_ok=True)

    assert (tmp_path / "bluezoned.db.damaged-1").read_bytes() == b"first" * 4096
    assert (tmp_path / "bluezoned.db.damaged-2").read_bytes() == b"second" * 4096


def test_every_overwritten_page_is_noticed_or_harmless(tmp_path: Path) -> None:
    with storage.open_store(tmp_path, {}) as store:
        store.put_fact("kept", 7)
    path = tmp_path / storage.DATABASE
    whole = path.read_bytes()
    key = storage.read_key(tmp_path, {})

    for page in range(len(whole) // 4096):
        path.write_bytes(whole[: page * 4096] + b"\xff" * 4096 + whole[(page + 1) * 4096 :])
        try:
            with Store(path, key, os.urandom) as store:
                assert store.fact("kept") == (7, None)
        except DamagedStoreError:
            continue


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    key = storage.read_key(tmp_path / "state", {})

    assert storage.read_key(tmp_path / "state", {}) == key
    assert (tmp_path / "state" / storage.KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert len(key) == 32


def test_a_credential_of_systemd_comes_first(tmp_path: Path) -> None:
    (tmp_path / storage.CREDENTIAL).write_bytes(b"c" * 32)

    assert storage.read_key(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == b"c" * 32
    assert not (tmp_path / storage.KEY_FILE).exists()


def test_a_lost_key_is_told_and_the_database_left_as_it_is(tmp_path: Path) -> None:
    storage.open_store(tmp_path, {}).close()
    before = (tmp_path / storage.DATABASE).read_bytes()
    (tmp_path / storage.KEY_FILE).unlink()

    with pytest.raises(StoreError, match="another key"):
        storage.open_store(tmp_path, {})

    assert (tmp_path / storage.DATABASE).read_bytes() == before
    assert storage.damage(tmp_path) == ""


def test_a_key_of_another_size_is_told(tmp_path: Path) -> None:
    (tmp_path / storage.KEY_FILE).write_bytes(b"short")

    with pytest.raises(StoreError, match="32 bytes"):
        storage.read_key(tmp_path, {})
