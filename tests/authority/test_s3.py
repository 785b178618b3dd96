"""Publishing into a bucket of a real object store, and what happens when it or a worker fails."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from bluezoned import key_export, key_index
from bluezoned.authority import s3_shelf
from bluezoned.authority.house import found_house
from bluezoned.authority.publish import Published
from bluezoned.authority.shelf import Shelf, ShelfError
from bluezoned.authority.verification import HOUR
from bluezoned.protocols.protocol import Tier
from tests.authority import swift
from tests.authority.conftest import settings
from tests.authority.swift import BUCKET, KEY, SECRET, Swift
from tests.authority.ward import NOON, Ward, key, message

prefixes = count(1)


@pytest.fixture(scope="module")
def object_store() -> Iterator[Swift]:
    with pytest.MonkeyPatch.context() as patch, swift.running() as served:
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        s3_shelf._client(served.endpoint, "us-east-1").create_bucket(Bucket=BUCKET)
        yield served


@pytest.fixture
def bucket_ward(object_store: Swift, tmp_path: Path, database_url: str) -> Iterator[Ward]:
    directory = tmp_path / "ward"
    directory.mkdir()
    bucket = f'[bucket]\nname = "{BUCKET}"\nendpoint = "{object_store.endpoint}"\nprefix = "{next(prefixes)}/v1/"\n'
    (directory / "authority.toml").write_text(settings(database_url) + bucket)
    found_house(directory, "test", os.urandom)
    ward = Ward(directory)
    yield ward
    ward.database.close()


def require_whole(ward: Ward) -> list[key_export.KeyExport]:
    """No gap, no number twice, no unsigned or stray file; the exports."""
    shelf = ward.publisher.shelf
    index = key_index.read(shelf.read("index") or b"", ward.public_key)
    files = {batch.name: shelf.read(f"batches/{batch.name}") or b"" for batch in index.batches}
    assert [batch.sequence for batch in index.batches] == list(range(1, index.sequence + 1))
    assert set(shelf.batches()) == set(files)
    assert [hashlib.sha256(files[b.name]).digest() for b in index.batches] == [b.sha256 for b in index.batches]
    return [key_export.read(content, ward.public_key) for content in files.values()]


def told(exports: list[key_export.KeyExport]) -> list[bytes]:
    return sorted(bytes(key.secret) for export in exports for key in export.keys)


def test_bucket_takes_what_is_published_and_is_cleaned(bucket_ward: Ward) -> None:
    sent = key()
    bucket_ward.send(message(bucket_ward.code(), sent), NOON)

    bucket_ward.publisher.publish(NOON)

    assert told(require_whole(bucket_ward)) == [bytes(sent.secret)]
    bucket_ward.publisher.publish(NOON + 15 * 24 * HOUR)
    assert bucket_ward.publisher.shelf.batches() == {}


def test_cdn_in_front_of_the_bucket_is_told_what_to_keep(bucket_ward: Ward) -> None:
    bucket_ward.send(message(bucket_ward.code()), NOON)
    bucket_ward.publisher.publish(NOON)
    shelf = bucket_ward.publisher.shelf
    assert isinstance(shelf, s3_shelf.S3Shelf)
    client, prefix = shelf._client, shelf._prefix

    index = client.head_object(Bucket=BUCKET, Key=f"{prefix}index")
    batch = client.head_object(Bucket=BUCKET, Key=f"{prefix}batches/{next(iter(shelf.batches()))}")

    assert (index["CacheControl"], batch["CacheControl"]) == (s3_shelf.INDEX_CACHE, s3_shelf.BATCH_CACHE)
    assert batch["ContentType"] == "application/zip"


def test_bucket_that_refuses_to_be_written_lists_nothing_and_is_made_good(
    bucket_ward: Ward, object_store: Swift
) -> None:
    kept, later = key(), key()
    bucket_ward.send(message(bucket_ward.code(), kept), NOON)
    bucket_ward.publisher.publish(NOON)
    bucket_ward.send(message(bucket_ward.code(at=NOON + HOUR), later), NOON + HOUR)

    object_store.forbid_writing()
    try:
        with pytest.raises(ShelfError, match="bucket answers"):
            bucket_ward.publisher.publish(NOON + HOUR)
    finally:
        object_store.allow_writing()
    assert bucket_ward.publisher.publish(NOON + HOUR + 1) == Published(1, 1, 0)

    assert told(require_whole(bucket_ward)) == sorted((bytes(kept.secret), bytes(later.secret)))


def test_bucket_that_is_not_there_is_said(bucket_ward: Ward, object_store: Swift) -> None:
    elsewhere = s3_shelf.S3Shelf(object_store.endpoint, "us-east-1", "missing", "v1/")

    with pytest.raises(ShelfError, match="NoSuchBucket"):
        replace(bucket_ward.publisher, shelf=elsewhere).publish(NOON)


class FatalShelf:
    """The bucket, and a kill before or after its `nth` act."""

    def __init__(self, shelf: Shelf, nth: int) -> None:
        self._shelf = shelf
        self._acts = count(1)
        self._nth = nth

    def _act(self) -> None:
        if next(self._acts) == self._nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def put(self, name: str, content: bytes) -> None:
        self._act()
        self._shelf.put(name, content)
        self._act()

    def read(self, name: str) -> bytes | None:
        return self._shelf.read(name)

    def mark(self, name: str) -> object | None:
        return self._shelf.mark(name)

    def batches(self) -> dict[str, int]:
        self._act()
        return self._shelf.batches()

    def remove(self, name: str) -> None:
        self._act()
        self._shelf.remove(name)


def publish_and_die(directory: Path, at: int, nth: int) -> bool:
    """A worker's run, killed at its `nth` touch of the bucket; whether it came that far."""
    child = os.fork()
    if child == 0:
        try:
            publisher = Ward(directory).publisher
            replace(publisher, shelf=FatalShelf(publisher.shelf, nth)).publish(at)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_worker_killed_at_each_touch_of_the_bucket_leaves_it_to_the_next(bucket_ward: Ward) -> None:
    ward = bucket_ward
    secrets: list[bytes] = []
    for nth in count(1):
        at = NOON + nth * HOUR
        fallen = ward.authority.open_case(Tier.F0, at)
        sent = [key(), key(protocol="gaen")]
        ward.send_for(fallen.id, sent[0], at=at)
        ward.send(message(ward.code(at=at), sent[1]), at)
        secrets += [bytes(k.secret) for k in sent]

        was_killed = publish_and_die(ward.directory, at, nth)
        ward.publisher.publish(at + HOUR // 2)

        assert told(require_whole(ward)) == sorted(secrets)
        if not was_killed:
            break
    assert nth > 6


def test_workers_at_once_publish_everything_once(bucket_ward: Ward) -> None:
    workers = [Ward(bucket_ward.directory) for _ in range(3)]
    secrets: list[bytes] = []
    stop = threading.Event()

    def publish(worker: Ward) -> None:
        while not stop.is_set():
            worker.publisher.publish(NOON)
            time.sleep(0.01)

    threads = [threading.Thread(target=publish, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for _ in range(12):
        sent = key()
        bucket_ward.send(message(bucket_ward.code(), sent), NOON)
        secrets.append(bytes(sent.secret))
    stop.set()
    for thread in threads:
        thread.join()
    for worker in workers:
        worker.database.close()
    bucket_ward.publisher.publish(NOON)

    assert told(require_whole(bucket_ward)) == sorted(secrets)
