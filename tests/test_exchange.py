"""What a box makes of what lies in its spool: above all, nothing that the authority's log does not tell."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bluezoned import key_export, merkle_tree, transparency_log
from bluezoned.clock import ManualClock
from bluezoned.exchange import Exchange
from bluezoned.feed.spool import Spool
from bluezoned.key_export import KeyExport
from bluezoned.merkle_tree import Frontier
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY
from bluezoned.tracing.device import Device, Settings
from bluezoned.tracing.proximity import Ranging
from bluezoned.tracing.store import Store
from bluezoned.transparency_log import TILE
from tests.logbook import Logbook
from tests.test_transparency_log import SIGNING_KEY, hashes, history, log

NOON = 20_000 * DAY + DAY // 2


class Box:
    """A device and its spool, with an honest log to fill it from."""

    def __init__(self, directory: Path) -> None:
        protocols = {name: registry.by_name(name) for name in registry.NAMES}
        settings = Settings(protocols["gaen"], protocols, SIGNING_KEY.public_key(), 0, Ranging(41.0))
        self.store = Store(directory / "box.db", bytes(32), os.urandom)
        self.device = Device(settings, self.store, lambda count: bytes(count))
        self.spool = Spool(directory / "spool")
        self.exchange = Exchange(self.device, ManualClock(NOON), self.spool, lambda: None)
        self.logbook = Logbook(SIGNING_KEY)

    async def look(self) -> None:
        await self.exchange.look_into_inbox()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.store.close()


def batch(sequence: int) -> bytes:
    return key_export.write(KeyExport("gaen", sequence, NOON - DAY, NOON, "VN", (), ()), SIGNING_KEY, "test")


def signed(count: int, story: str = "told", oldest: int = 0) -> bytes:
    return transparency_log.write(log(history(count, story), oldest), SIGNING_KEY)


def lay_tiles(box: Box, told: list[bytes], first: int, end: int) -> None:
    for tile in range(first, end):
        box.spool.inbox.write(f"leaves-{tile}", b"".join(told[tile * TILE : (tile + 1) * TILE]))


async def test_a_batch_of_the_log_is_applied(box: Box) -> None:
    box.spool.inbox.write("log", box.logbook.signed([batch(1)]))
    box.spool.inbox.write("batch-1-a.zip", box.logbook.batches[0])

    await box.look()

    assert (box.device.newest_batch(), box.exchange.problem) == (1, "")
    assert box.spool.inbox.names() == []


async def test_a_signed_batch_that_no_log_tells_is_refused(box: Box) -> None:
    box.spool.inbox.write("log", box.logbook.signed([batch(1)]))
    box.spool.inbox.write("batch-2-b.zip", batch(2))

    await box.look()

    assert box.device.newest_batch() == 0
    assert "does not stand in the authority's log" in box.exchange.problem


async def test_a_fork_is_told_and_changes_nothing(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    box.spool.inbox.write("log", signed(5))
    await box.look()
    before = box.device.witness.root
    box.spool.inbox.write("log", signed(7, "another"))

    await box.look()

    assert (box.device.witness.size, box.device.witness.root) == (5, before)
    assert box.device.witness.fork() == signed_fork(box)
    assert "contradicts what was signed before" in box.exchange.problem
    assert "contradicts what was signed before" in caplog.text


def signed_fork(box: Box) -> bytes:
    fact = box.store.fact("log fork")
    assert fact is not None
    assert fact[1] is not None
    assert transparency_log.read(fact[1], SIGNING_KEY.public_key()).size == 7
    return fact[1]


async def test_after_a_long_absence_the_archive_is_asked_for_and_batches_wait(box: Box) -> None:
    box.spool.inbox.write("log", signed(70))
    await box.look()
    box.spool.inbox.write("log", signed(400, oldest=390))
    box.spool.inbox.write("batch-1-a.zip", batch(1))

    await box.look()

    assert box.spool.outbox.names() == ["wanted-1"]
    assert box.spool.inbox.names() == ["batch-1-a.zip"]


async def test_the_archive_bridges_the_absence(box: Box) -> None:
    box.spool.inbox.write("log", signed(70))
    await box.look()
    lay_tiles(box, hashes(history(400)), 1, 6)
    box.spool.inbox.write("log", signed(400, oldest=390))

    await box.look()

    assert box.device.witness.root == merkle_tree.root(hashes(history(400)))
    assert box.spool.inbox.names() == []


async def test_a_spoilt_archive_is_fetched_again(box: Box) -> None:
    box.spool.inbox.write("log", signed(70))
    await box.look()
    lay_tiles(box, hashes(history(400, "another")), 1, 6)
    box.spool.inbox.write("log", signed(400, oldest=390))

    await box.look()

    assert box.device.witness.root == Frontier().extended(hashes(history(70))).root()
    assert box.spool.outbox.names() == ["wanted-1"]
    assert box.spool.inbox.names() == []
