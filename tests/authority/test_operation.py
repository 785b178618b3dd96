"""What operators do: rotate the key, back up, restore, look whether all is well; many workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bluezoned import key_export, key_index, key_rotation
from bluezoned.authority import archive, dump, inspection
from bluezoned.authority.cli.program import main
from bluezoned.authority.database import METADATA
from bluezoned.authority.house import found_house, open_house, rotate_signing_key
from bluezoned.authority.publish import StaleKeyError
from bluezoned.authority.verification import HOUR
from bluezoned.demo.cast import free_port, program
from bluezoned.errors import ConfigError, StoreError
from bluezoned.protocols.protocol import DAY
from tests.authority.conftest import settings
from tests.authority.postgres import Postgres
from tests.authority.ward import NOON, Ward, key, message


def published(ward: Ward, at: int) -> None:
    ward.send(message(ward.code(at=at), key()), at)
    ward.publisher.publish(at)


# the signing key


def test_box_follows_from_the_old_key_to_the_new(ward: Ward) -> None:
    published(ward, NOON)
    old = ward.public_key
    rotate_signing_key(ward.directory, NOON + 1, os.urandom)
    after = Ward(ward.directory)
    published(after, NOON + HOUR)
    content = (ward.directory / "public" / "index").read_bytes()

    index = key_index.peek(content)
    followed = key_rotation.follow(old, index.rotations)

    assert key_rotation.point(followed) == key_rotation.point(after.public_key) != key_rotation.point(old)
    assert key_index.read(content, followed).sequence == 2
    for batch, signer in zip(index.batches, (old, after.public_key), strict=True):
        file = (after.files / batch.name).read_bytes()
        signers = key_rotation.signers(followed, index.rotations, batch.sequence)
        assert key_rotation.point(signer) in map(key_rotation.point, signers)
        key_export.read(file, signer)
    assert len(key_rotation.signers(followed, index.rotations, 2)) == 1
    assert list(inspection.problems(after.house, NOON + HOUR)) == []
    after.database.close()


def test_statement_of_a_stranger_leads_nowhere() -> None:
    old, new, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    honest = key_rotation.rotate(old, new.public_key(), 1, 0)
    forged = key_rotation.rotate(stranger, stranger.public_key(), 2, 0)
    claimed = key_rotation.Rotation(1, 0, honest.old, forged.new, forged.signature)

    for rotations in ([], [forged], [claimed], [claimed, honest]):
        assert key_rotation.point(key_rotation.follow(old.public_key(), rotations)) == honest.old
    assert key_rotation.point(key_rotation.follow(old.public_key(), [honest])) == honest.new


def test_worker_that_was_not_told_of_the_new_key_signs_nothing(ward: Ward) -> None:
    rotate_signing_key(ward.directory, NOON, os.urandom)

    with pytest.raises(StaleKeyError):
        ward.publisher.publish(NOON)
    assert not (ward.directory / "public" / "index").exists()


@pytest.mark.parametrize("has_statement", [True, False])
def test_rotation_that_was_killed_is_ended_or_undone(ward: Ward, has_statement: bool) -> None:
    keys = ward.directory / "keys"
    before = (keys / "signing.pem").read_bytes()
    rotate_signing_key(ward.directory, NOON, os.urandom)
    after = (keys / "signing.pem").read_bytes()
    # As it was on disk before the last step.
    (keys / "signing.next.pem").write_bytes(after)
    (keys / "signing.pem").write_bytes(before)
    if not has_statement:
        with ward.database.writing() as connection:
            connection.execute(METADATA.tables["rotation"].delete())

    open_house(ward.directory, os.urandom).close()

    assert (keys / "signing.pem").read_bytes() == (after if has_statement else before)


def test_old_key_is_kept_for_the_day_on_which_the_new_one_is_lost(ward: Ward) -> None:
    rotate_signing_key(ward.directory, NOON, os.urandom)

    path = ward.directory / "keys" / "signing.old.pem"
    kept = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(kept, ec.EllipticCurvePrivateKey)
    assert key_rotation.point(kept.public_key()) == key_rotation.point(ward.public_key)
    assert path.stat().st_mode & 0o077 == 0


# backups


def rows(ward: Ward) -> dict[str, list[list[Any]]]:
    return {name: sorted(found, key=repr) for name, found in dump.tables(ward.database) if name != "fact"}


@pytest.mark.parametrize("onto", ["sqlite", "postgresql"])
def test_backup_restores_onto_either_database(ward: Ward, tmp_path: Path, onto: str, postgres_server: Postgres) -> None:
    published(ward, NOON)
    ward.send(message(ward.code(), key()), NOON)
    archive.write(ward.directory, ward.database, tmp_path / "backup.tar")
    target = tmp_path / "again"
    target.mkdir()
    url = "" if onto == "sqlite" else postgres_server.url(postgres_server.make_database())
    (target / "authority.toml").write_text(settings(url))

    done = CliRunner().invoke(main, ["restore", str(tmp_path / "backup.tar"), "--data", str(target), "--json"])
    assert done.exit_code == 0, done.stderr
    again = Ward(target)

    assert rows(again) == rows(ward)
    assert key_rotation.point(again.public_key) == key_rotation.point(ward.public_key)
    published(again, NOON + HOUR)
    told = sorted(bytes(k.secret) for export in again.exports() for k in export.keys)
    assert len(told) == 3
    assert min(export.sequence or 0 for export in again.exports()) > dump.SKIPPED
    again.database.close()


def test_backup_is_for_nobody_elses_eyes_and_replaces_nothing(ward: Ward, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    archive.write(ward.directory, ward.database, target)

    assert target.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="File exists"):
        archive.write(ward.directory, ward.database, target)
    with pytest.raises(ConfigError, match="already"):
        archive.unpack(target, ward.directory)
    published(ward, NOON)
    with pytest.raises(StoreError, match="not empty"):
        archive.restore(target, ward.database)


@pytest.mark.parametrize("content", [b"", b"nonsense", bytes(10_240)])
def test_what_is_no_backup_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "backup.tar").write_bytes(content)

    done = CliRunner().invoke(main, ["restore", str(tmp_path / "backup.tar"), "--data", str(tmp_path / "again")])

    assert done.exit_code in (1, 78)
    assert "Traceback" not in done.output


# a look


def test_check_names_what_is_wrong(ward: Ward) -> None:
    assert list(inspection.problems(ward.house, NOON)) == ["there is no index: nothing was published yet"]
    published(ward, NOON)
    assert list(inspection.problems(ward.house, NOON)) == []
    (file,) = ward.files.iterdir()
    good = file.read_bytes()

    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert "was changed" in next(inspection.problems(ward.house, NOON))
    file.unlink()
    assert "is missing" in next(inspection.problems(ward.house, NOON))
    file.write_bytes(good)
    assert "nothing was published for 1440 minutes" in next(inspection.problems(ward.house, NOON + DAY))


def test_laboratory_is_added_and_removed_from_the_command_line(ward: Ward) -> None:
    def ran(*words: str) -> Any:
        done = CliRunner().invoke(main, ["laboratory", *words, "--data", str(ward.directory), "--json"])
        return json.loads(done.stdout) if done.stdout else done.exit_code

    assert ran("add", "mary", "--scope", "issue", "--per-day", "9")["token"].startswith("bzl_")
    assert ran("list") == {"laboratory": "mary", "scope": ["issue"], "per_day": 9}
    assert ran("remove", "mary") == {"removed": "mary"}
    assert ran("remove", "mary") == 1


# workers


def answers(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
        return bool(response.status == 200)
    return False


def test_worker_that_dies_is_started_again_and_all_stop_politely(tmp_path: Path, database_url: str) -> None:
    directory, port = tmp_path / "ward", free_port()
    directory.mkdir()
    (directory / "authority.toml").write_text(settings(database_url))
    found_house(directory, "test", os.urandom)
    served = subprocess.Popen(
        (program("bluezone-authority"), "serve", "--data", directory, "--port", str(port), "--workers", "2")
    )
    children = Path(f"/proc/{served.pid}/task/{served.pid}/children")
    try:
        while not answers(port):
            assert served.poll() is None
            time.sleep(0.1)
        first, second = (int(child) for child in children.read_text().split())
        os.kill(first, signal.SIGKILL)
        while len(children.read_text().split()) < 2 or str(first) in children.read_text().split():
            time.sleep(0.1)

        assert answers(port)
        assert str(second) in children.read_text().split()
    finally:
        served.terminate()
        assert served.wait(60) == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_in_its_first_publication_it_ends_that_and_leaves_no_lease(
    ward_directory: Path, workers: int, how: signal.Signals
) -> None:
    # Nothing is read of a pipe until somebody writes: so long lasts the publication.
    log = ward_directory / "public" / "log"
    log.parent.mkdir(exist_ok=True)
    os.mkfifo(log)
    served = subprocess.Popen(
        (program("bluezone-authority"), "serve", "--data", ward_directory, "--port", str(free_port()),
         "--workers", str(workers))
    )  # fmt: skip
    pipe = None
    while pipe is None:
        assert served.poll() is None
        with suppress(OSError):  # nobody reads it yet
            pipe = os.open(log, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    served.send_signal(how)
    log.unlink()
    os.close(pipe)

    assert served.wait(60) == 0
    house = open_house(ward_directory, os.urandom)
    try:
        assert house.publisher.publish(int(time.time() * 1000)) is not None
        assert (ward_directory / "public" / "index").exists()
    finally:
        house.close()
