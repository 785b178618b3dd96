"""The other authorities that this one follows: the commands about them, and the visits to them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

import click

from bluezoned import config_source, fork_evidence
from bluezoned.authority.cli.context import (
    FILE,
    answer,
    data_option,
    desk_option,
    instant,
    json_option,
    now,
    opened,
    read_public_key,
)
from bluezoned.authority.house import House
from bluezoned.authority.import_store import Subscription
from bluezoned.authority.imports import Imported
from bluezoned.authority.subscription import wanted_tiles
from bluezoned.clock import Clock
from bluezoned.errors import AuthorityError, BluezonedError, ConfigError, StoreError
from bluezoned.feed import client
from bluezoned.feed.client import WebAuthority
from bluezoned.key_index import Batch
from bluezoned.protocols.protocol import Tier

log = logging.getLogger(__name__)

LEASE = 15 * 60_000
"""ms that one round may take; a worker that was killed in it holds up the next round alone."""

_LEASE_NAME = "follow"


@click.command()
@click.argument("name")
@click.argument("url")
@click.option("--public-key", type=FILE, required=True, help="PEM of the key that it signs with.")
@click.option("--as", "tier", type=click.Choice(["F0", "F1"]), help="Take every key as that, whatever it says.")
@data_option
@json_option
def subscribe(name: str, url: str, public_key: Path, tier: str | None, data: Path, as_json: bool) -> None:
    """Follow the authority at URL: `serve` looks there between two publications and takes in what is new. NAME, such as
    `hue`, is the source that `import` knows."""
    with opened(data) as house:
        if (problem := config_source.url_problem(url)) is not None:
            raise ConfigError(f"{url} cannot be asked: {problem}")
        house.subscriptions.add(name, url, read_public_key(public_key), None if tier is None else Tier[tier])
    answer(as_json, {"subscribed": name, "url": url})


@click.command()
@click.argument("name")
@data_option
@json_option
def unsubscribe(name: str, data: Path, as_json: bool) -> None:
    """Follow NAME no more; what was taken from it stays, and is forgotten as all else."""
    with opened(data) as house:
        house.subscriptions.remove(name)
    answer(as_json, {"unsubscribed": name})


@click.command()
@data_option
@json_option
def subscriptions(data: Path, as_json: bool) -> None:
    """Whom this authority follows, and how that goes."""
    with opened(data) as house:
        for each in house.subscriptions.all():
            visited = instant(each.visited) if each.visited else None
            answer(as_json, {"subscription": each.name, "url": each.url, "newest_batch": each.newest_batch,
                             "visited": visited, "fork": each.fork is not None, "problem": each.problem})  # fmt: skip


@click.command()
@click.argument("name")
@data_option
@json_option
def fork(name: str, data: Path, as_json: bool) -> None:
    """The evidence that the followed authority NAME showed a log that contradicts what it had signed before.

    With --json it is what `bluezonectl inspect-fork` verifies, wherever its public key is known. Exit status 1 when
    there is none.
    """
    with opened(data) as house:
        evidence = house.subscriptions.fork(name)
    if as_json:
        click.echo(evidence.write())
        return
    for what, head in zip(("refused", "believed"), fork_evidence.heads(evidence), strict=True):
        told = "none before" if head is None else f"{head.size} leaves, root {head.root}, signed {instant(head.at)}"
        click.echo(f"{what}: {told}")


@click.command()
@data_option
@desk_option
@json_option
def follow(data: Path, desk_socket: Path | None, as_json: bool) -> None:
    """Look now at every authority that this one follows. Exit status 1 when one of them was not taken in."""
    is_well = True
    with opened(data) as house:
        for each in house.subscriptions.all():
            try:
                taken = asyncio.run(visit(house, each, now(desk_socket)))
            except BluezonedError as error:
                is_well = False
                click.echo(f"{each.name}: {error}", err=True)
            else:
                answer(as_json, {"source": each.name, "new": taken.new, "known": taken.known,
                                 "revoked": taken.revoked, "left_out": taken.left_out})  # fmt: skip
    if not is_well:
        sys.exit(1)


async def follow_for_ever(house: House, clock: Clock) -> None:
    """Halfway between two publications, so that what is taken goes out with the next."""
    every = house.settings.publish.every_s * 1000
    while True:
        at = clock.now()
        await clock.sleep_until(at - (at + every // 2) % every + every)
        if clock.is_synchronized():
            await follow_once(house, clock.now())


async def follow_once(house: House, at: int) -> None:
    """One round, unless another worker is at it or was at this instant. What cannot be is told."""
    holder = secrets.token_bytes(16)
    try:
        if await asyncio.to_thread(_take_turn, house, holder, at):
            for each in await asyncio.to_thread(house.subscriptions.all):
                if each.visited < at:
                    await _visit_and_tell(house, each, at)
            await asyncio.to_thread(_end_turn, house, holder)
    except StoreError as error:
        log.error("following others failed: %s", error)


def _take_turn(house: House, holder: bytes, at: int) -> bool:
    with house.store.transaction() as transaction:
        return transaction.take_lease(_LEASE_NAME, holder, at, at + LEASE)


def _end_turn(house: House, holder: bytes) -> None:
    with house.store.transaction() as transaction:
        transaction.give_lease_back(_LEASE_NAME, holder)


async def _visit_and_tell(house: House, subscription: Subscription, at: int) -> None:
    try:
        taken = await visit(house, subscription, at)
    except StoreError:
        raise
    except BluezonedError as error:
        log.error("following %s: %s", subscription.name, error)
    else:
        if taken != Imported():
            log.info("following %s: %d keys new, %d revoked", subscription.name, taken.new, taken.revoked)


async def visit(house: House, subscription: Subscription, at: int) -> Imported:
    """One look at the other authority, at `at` (ms). AuthorityError for what cannot be fetched or believed, which is
    remembered; batches that were taken before stay taken, as each stood in a log that was believed."""
    try:
        return await _visit(house, subscription, at)
    except AuthorityError as error:
        await asyncio.to_thread(house.subscriptions.failed, subscription, str(error))
        raise


async def _visit(house: House, subscription: Subscription, at: int) -> Imported:
    async with client.open_session() as session:
        source = WebAuthority(session, subscription.url)
        index, _ = await source.index("")
        # After the index, so that it tells of every batch there.
        end = await source.log()
        tiles = [await source.leaves(tile) for tile in wanted_tiles(subscription, end)]
        word = await asyncio.to_thread(house.subscriptions.judge, subscription, index or b"", end, tiles, at)
        taken = Imported()
        for batch in word.index.batches:
            if batch.sequence > subscription.newest_batch:
                with tempfile.TemporaryFile() as file:
                    await _fetch(source, batch, file)
                    taken += await asyncio.to_thread(house.subscriptions.take, subscription, word, batch, file, at)
        await asyncio.to_thread(house.subscriptions.done, subscription, word, at)
    return taken


async def _fetch(source: WebAuthority, batch: Batch, file: BinaryIO) -> None:
    """Not beyond the size that the index lists: the digest then tells that it is another."""
    size = 0
    async with source.batch(batch, 0) as (_, chunks):
        async for chunk in chunks:
            file.write(chunk)
            size += len(chunk)
            if size > batch.size:
                return


COMMANDS = (subscribe, unsubscribe, subscriptions, fork, follow)
