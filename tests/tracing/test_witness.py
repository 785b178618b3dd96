"""A box that has seen a log does not let it be changed, also after a restart."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bluezoned import merkle_tree, transparency_log
from bluezoned.fork_evidence import ForkEvidence
from bluezoned.merkle_tree import Frontier
from bluezoned.protocols.protocol import DAY
from bluezoned.signed_document import DocumentError
from bluezoned.tracing.store import Store
from bluezoned.tracing.witness import Witness
from bluezoned.transparency_log import Contradiction, LogError
from tests import test_transparency_log as told
from tests.test_transparency_log import PUBLIC_KEY, SIGNING_KEY, STRANGERS_KEY, entry, hashes, history, log


def signed(count: int, story: str = "told", oldest: int = 0) -> bytes:
    return transparency_log.write(log(history(count, story), oldest), SIGNING_KEY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path, bytes(32), os.urandom) as store:
        yield store


def test_what_was_seen_is_remembered_over_a_restart(store: Store, path: Path) -> None:
    Witness(store, PUBLIC_KEY).apply(signed(5), PUBLIC_KEY)
    store.close()

    with Store(path, bytes(32), os.urandom) as again:
        witness = Witness(again, PUBLIC_KEY)

    assert (witness.size, witness.root) == (5, merkle_tree.root(hashes(history(5))))
    assert witness.has_seen(entry(4).batches[0].sha256)
    assert not witness.has_seen(entry(5).batches[0].sha256)


def test_a_fork_is_refused_kept_as_evidence_and_changes_nothing(store: Store) -> None:
    witness = Witness(store, PUBLIC_KEY)
    believed, forked = signed(5), signed(7, "another")
    witness.apply(believed, PUBLIC_KEY)
    before = witness.size, witness.root

    with pytest.raises(LogError, match="contradicts"):
        witness.apply(forked, PUBLIC_KEY)

    again = Witness(store, PUBLIC_KEY)
    assert (again.size, again.root) == before
    assert again.fork() == ForkEvidence(forked, believed)
    assert not again.has_seen(entry(6, "another").batches[0].sha256)


def test_the_honest_log_is_still_taken_after_a_fork(store: Store) -> None:
    witness = Witness(store, PUBLIC_KEY)
    believed, forked = signed(5), signed(7, "another")
    witness.apply(believed, PUBLIC_KEY)
    with pytest.raises(LogError):
        witness.apply(forked, PUBLIC_KEY)

    witness.apply(signed(8), PUBLIC_KEY)

    assert witness.size == 8
    assert witness.fork() == ForkEvidence(forked, believed)


def test_evidence_is_kept_as_long_as_all_else_whatever_instant_the_forger_chose(store: Store) -> None:
    witness = Witness(store, PUBLIC_KEY)
    honest = log(history(5))
    witness.apply(transparency_log.write(honest, SIGNING_KEY), PUBLIC_KEY)
    with pytest.raises(LogError):
        witness.apply(transparency_log.write(replace(log(history(7, "another")), at=0), SIGNING_KEY), PUBLIC_KEY)

    store.prune(honest.at)
    kept = witness.fork()
    store.prune(honest.at + DAY)

    assert kept is not None
    assert witness.fork() is None
    assert not witness.has_fork()


def test_a_mirror_that_turns_back_is_no_fork(store: Store) -> None:
    witness = Witness(store, PUBLIC_KEY)
    witness.apply(signed(5), PUBLIC_KEY)

    with pytest.raises(LogError) as caught:
        witness.apply(signed(3), PUBLIC_KEY)

    assert caught.value.contradiction is Contradiction.TURNED_BACK
    assert witness.fork() is None


def test_a_log_of_somebody_else_is_not_looked_at(store: Store) -> None:
    witness = Witness(store, STRANGERS_KEY)

    with pytest.raises(DocumentError):
        witness.apply(signed(5), STRANGERS_KEY)

    assert witness.size == 0


def test_a_long_absence_is_bridged_by_the_archive(store: Store) -> None:
    witness = Witness(store, PUBLIC_KEY)
    witness.apply(signed(5), PUBLIC_KEY)
    with pytest.raises(LogError) as caught:
        witness.apply(signed(200, oldest=190), PUBLIC_KEY)

    witness.apply(signed(200, oldest=190), PUBLIC_KEY, hashes(told.history(192))[witness.size :])

    assert caught.value.contradiction is Contradiction.GAP
    assert witness.root == Frontier().extended(hashes(history(200))).root()


def test_another_authority_begins_another_log(store: Store) -> None:
    Witness(store, PUBLIC_KEY).apply(signed(5), PUBLIC_KEY)

    assert Witness(store, STRANGERS_KEY).size == 0
