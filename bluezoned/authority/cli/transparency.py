"""The commands about the transparency log."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bluezoned import merkle_tree
from bluezoned.authority.cli.context import answer, data_option, instant, json_option, opened
from bluezoned.authority.log_store import LogRecords
from bluezoned.errors import AuthorityError


@click.group()
def log() -> None:
    """The transparency log: what every box must have seen alike. `check` audits it."""


@log.command()
@data_option
@json_option
def show(data: Path, as_json: bool) -> None:
    """Its size and root, to be compared with `bluezonectl status` of any box that has fetched the newest list."""
    with opened(data) as house, house.store.snapshot() as seen:
        leaves = LogRecords(seen.connection).leaves()
    root = merkle_tree.root([leaf.hash for leaf in leaves]).hex()
    answer(as_json, {"size": len(leaves), "root": root, "newest_leaf": instant(leaves[-1].at) if leaves else None})


@log.command()
@click.argument("sequence", type=click.IntRange(min=1))
@data_option
def prove(sequence: int, data: Path) -> None:
    """Print, as JSON, the inclusion proof (RFC 9162) of the leaf that tells of the batch SEQUENCE."""
    with opened(data) as house, house.store.snapshot() as seen:
        records = LogRecords(seen.connection)
        hashes, entries = records.hashes(), records.all_entries()
        telling = [entry for entry in entries if any(batch.sequence == sequence for batch in entry.batches)]
        if not telling:
            raise AuthorityError(f"no leaf of the log tells of a batch {sequence}")
        number = telling[0].leaf
        proof = {
            "size": len(hashes),
            "root": merkle_tree.root(hashes).hex(),
            "leaf": number,
            "content": telling[0].content().hex(),
            "proof": [each.hex() for each in merkle_tree.inclusion_proof(hashes, number)],
        }
    click.echo(json.dumps(proof))
