"""Whether an authority is as it should be: its keys, what it has published, how old that is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bluezoned import key_export, key_index, key_rotation, transparency_log
from bluezoned.authority import log_audit
from bluezoned.authority.house import House
from bluezoned.authority.log_store import LogRecords
from bluezoned.authority.shelf import BATCHES, INDEX, LOG
from bluezoned.key_export import KeyExportError
from bluezoned.key_index import KeyIndex
from bluezoned.signed_document import DocumentError


def problems(house: House, at: int) -> Iterator[str]:
    """In words, none when all is well. StoreError when the database or the shelf does not answer."""
    current = house.secrets.signing_key.public_key()
    with house.store.snapshot() as seen:
        rotations, batches, issued = seen.rotations(), seen.batches(), seen.fact("index issued")
    if rotations and rotations[-1].new != key_rotation.point(current):
        yield "the signing key is not the one that the last rotation names: boxes refuse what it signs"
    for followed in house.subscriptions.all():
        if followed.problem:
            yield f"{followed.name}, which is followed, was not taken in: {followed.problem}"
    content = house.publisher.shelf.read(INDEX)
    if content is None:
        yield "there is no index: nothing was published yet"
        return
    try:
        index = key_index.read(content, current)
    except DocumentError as error:
        yield str(error)
        return
    if index.issued != issued or [b.sha256 for b in index.batches] != [b.sha256 for b in batches]:
        yield "the published index is not the database's: publish again"
    if at >= index.issued + 2 * house.settings.publish.every_s * 1000:
        yield f"nothing was published for {(at - index.issued) // 60_000} minutes: see the log for why"
    yield from _of_batches(house, index)
    yield from _of_log(house, index)


def _of_log(house: House, index: KeyIndex) -> Iterator[str]:
    content = house.publisher.shelf.read(LOG)
    if content is None:
        yield "the transparency log is missing: publish again"
        return
    try:
        published = transparency_log.read(content, house.secrets.signing_key.public_key())
    except DocumentError as error:
        yield str(error)
        return
    with house.store.snapshot() as seen:
        yield from log_audit.problems(LogRecords(seen.connection), published, index)


def _of_batches(house: House, index: KeyIndex) -> Iterator[str]:
    for batch in index.batches:
        content = house.publisher.shelf.read(f"{BATCHES}/{batch.name}")
        if content is None:
            yield f"batch {batch.sequence} is missing: publish again"
        elif hashlib.sha256(content).digest() != batch.sha256:
            yield f"batch {batch.sequence} was changed: remove its file and publish again"
        elif not _is_signed(house, index, batch.sequence, content):
            yield f"batch {batch.sequence} is not signed by this authority"


def _is_signed(house: House, index: KeyIndex, sequence: int, content: bytes) -> bool:
    current = house.secrets.signing_key.public_key()
    for signer in key_rotation.signers(current, index.rotations, sequence):
        try:
            key_export.read(content, signer)
        except KeyExportError:
            continue
        return True
    return False
