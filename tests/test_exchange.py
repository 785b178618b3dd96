"""What a box makes of what lies in its spool: above all, nothing that the authority's log does not tell."""

import itertools
import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bluezoned import key_export, key_index, merkle_tree, transparency_log, upload
from bluezoned.clock import ManualClock
from bluezoned.exchange import Exchange
from bluezoned.feed.spool import Spool
from bluezoned.fork_evidence import ForkEvidence
from bluezoned.key_export import KeyExport
from bluezoned.key_index import KeyIndex
from bluezoned.merkle_tree import Frontier
from bluezoned.opaque import Opaque
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, Random
from bluezoned.tracing.device import Device, Settings
from bluezoned.tracing.proximity import Ranging
from bluezoned.tracing.store import Store
from bluezoned.transparency_log import TILE
from bluezoned.upload import Receipt
from tests.logbook import Logbook
from tests.test_transparency_log import SIGNING_KEY, hashes, history, log

NOON = 20_000 * DAY + DAY // 2


class Box:
    """A device and its spool, with an honest log to fill it from."""

    def __init__(self, directory: Path) -> None:
        protocols = {name: registry.by_name(name) for name in registry.NAMES}
        settings = Settings(protocols["gaen"], protocols, SIGNING_KEY.public_key(), 0, Ranging(41.0))
        self.store = Store(directory / "box.db", bytes(32), os.urandom)
        self.random: Random = bytes
        self.device = Device(settings, self.store, lambda count: self.random(count))
        self.spool = Spool(directory / "spool")
        self.clock = ManualClock(NOON)
        self.exchange = Exchange(self.device, self.clock, self.spool, lambda: None)
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
    believed = signed(5)
    box.spool.inbox.write("log", believed)
    await box.look()
    before = box.device.witness.root
    box.spool.inbox.write("log", signed(7, "another"))

    await box.look()

    assert (box.device.witness.size, box.device.witness.root) == (5, before)
    assert box.device.witness.fork() == ForkEvidence(signed_fork(box), believed)
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


# chaff

HOUR = DAY // 24
SEALING_KEY = upload.generate_sealing_key()


async def laid(box: Box, mean: int, days: int = 60, step: int = HOUR) -> list[int]:
    """Looks at which chaff lay in the outbox, taken out at once as by a visit of sync."""
    found = []
    for look in range(days * DAY // step):
        await box.clock.advance(box.clock.now() + step)
        box.exchange.lay_out_chaff(mean)
        if box.spool.outbox.names("upload-"):
            found.append(look)
            box.exchange.forget_uploads()
    return found


@pytest.fixture
def listed(box: Box) -> Box:
    """A box that has seen an index, and whose random numbers are the same in each run."""
    index = KeyIndex("test", 0, NOON, NOON + DAY, upload.public_sealing_key(SEALING_KEY), ())
    box.device.apply_index(key_index.write(index, SIGNING_KEY))
    box.random = random.Random(7).randbytes
    return box


async def test_chaff_comes_at_random_and_as_often_as_set(listed: Box) -> None:
    found = await laid(listed, 36 * HOUR, days=360)

    pauses = [later - earlier for earlier, later in itertools.pairwise(found)]
    # 240 are expected, of which chance takes or adds 15; and of pauses without memory 49 % are shorter than a day.
    assert 195 <= len(found) <= 285
    assert 0.38 <= sum(pause < 24 for pause in pauses) / len(pauses) <= 0.60


async def test_chaff_looks_like_consent_in_the_outbox(listed: Box) -> None:
    listed.device.advertisement(NOON)
    listed.device.consent("12345678", NOON + HOUR)
    listed.exchange.lay_out_uploads()
    [(name, real)] = [(name, listed.spool.outbox.read(name)) for name in listed.spool.outbox.names()]
    assert await laid(listed, 1, days=1) != []  # forgets the real one, too
    await listed.clock.advance(listed.clock.now() + HOUR)
    listed.exchange.lay_out_chaff(1)
    [(chaff_name, chaff)] = [(name, listed.spool.outbox.read(name)) for name in listed.spool.outbox.names()]

    assert real is not None
    assert chaff is not None
    assert len(chaff) == len(real) == upload.SEALED_SIZE
    assert (len(chaff_name), chaff_name[:7]) == (len(name), name[:7])


async def test_one_piece_of_chaff_waits_at_a_time_and_never_behind_a_real_upload(listed: Box) -> None:
    listed.spool.outbox.write("upload-0011223344556677", bytes(upload.SEALED_SIZE))
    for _ in range(50):
        await listed.clock.advance(listed.clock.now() + HOUR)
        listed.exchange.lay_out_chaff(1)

    assert listed.spool.outbox.names() == ["upload-0011223344556677"]


async def test_no_chaff_without_a_list_nor_where_it_is_switched_off(box: Box) -> None:
    assert await laid(box, 1) == []


async def test_chaff_can_be_switched_off(listed: Box) -> None:
    assert await laid(listed, 0) == []


async def test_the_answer_to_chaff_is_dropped_without_a_word(listed: Box, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = Receipt(Opaque(bytes(upload.NONCE_SIZE)), False, "unreadable", None, NOON)
    listed.spool.inbox.write("receipt-0011223344556677", upload.write_receipt(answer, SIGNING_KEY))

    await listed.look()

    assert listed.spool.inbox.names() == []
    assert (listed.exchange.problem, listed.device.last_upload(), caplog.text) == ("", None, "")
