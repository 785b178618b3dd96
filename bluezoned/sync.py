"""bluezoned-sync: one visit to the authority. Has the network and no secret; what it brings is judged by the daemon.

A oneshot for a timer: posts the outbox, fetches what is new, tries again with growing pauses, and ends. The timer does
not know the settings, so it comes often, and `--if-due` goes home when it is not time (feed/schedule).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
import stamina
from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import __version__, command_line, config, service
from bluezoned.clock import SystemClock
from bluezoned.config import Config
from bluezoned.errors import AuthorityError, BluezonedError, ConfigError, StoreError
from bluezoned.feed import client, schedule
from bluezoned.feed import visit as feed_visit
from bluezoned.feed.client import WebAuthority
from bluezoned.feed.directory import Directory
from bluezoned.feed.signed import Signed
from bluezoned.feed.spool import Spool
from bluezoned.feed.visit import FeedReport, Postbox, Source

log = logging.getLogger(__name__)

SECOND = 1000
CHANCE = random.SystemRandom().random

METERED_POLL_S = 86_400
"""Where bytes are counted: most of what a visit costs is the list of what there is. Half as often, and a box would be
told of its exposure when the days in which it could infect others are half over."""


Errand = Callable[[Postbox, Source], Awaitable[FeedReport]]
"""What to do at the authority's."""


async def visit(
    settings: config.Authority, pinned: ec.EllipticCurvePublicKey | None, errand: Errand, tries: int
) -> FeedReport:
    """The report of the last try. StoreError when the spool fails, AuthorityError when the address must not be
    asked."""
    report: FeedReport | None = None
    tried = 0

    class Unfinished(Exception):
        """A try left something to be done."""

    def again(error: Exception) -> bool | float:
        return schedule.pause(tried, CHANCE) / SECOND if isinstance(error, Unfinished) else False

    try:
        async for attempt in stamina.retry_context(on=again, attempts=tries, timeout=None):
            with attempt:
                tried = attempt.num
                async with client.open_session() as session:
                    authority = WebAuthority(session, settings.url, settings.proxy_url)
                    report = await errand(authority, authority if pinned is None else Signed(authority, pinned))
                if report.problems:
                    raise Unfinished
    except Unfinished:
        log.debug("gave up after %d tries", tries)
    assert report is not None
    return report


def poll(settings: config.Authority) -> int:
    """ms between two looks for what is new, on average."""
    return max(settings.poll_s, METERED_POLL_S if settings.metered else 0) * SECOND


def pinned_key(loaded: Config) -> ec.EllipticCurvePublicKey | None:
    """The authority's, or None where this process may not read it: then the daemon alone judges, and a false log may
    keep true batches from it, so that is said."""
    try:
        return command_line.authority_key(loaded)
    except ConfigError as error:
        log.warning("%s; what comes is not checked before the daemon does", error)
        return None


class Round:
    """What one start of the program does, by the settings, the spool and what the last visit left."""

    def __init__(self, loaded: Config, spool: Spool) -> None:
        self._settings = loaded.authority
        self._protocols = frozenset(loaded.beacon.listen) if loaded.authority.metered else None
        self._spool = spool
        self._plan = schedule.decode(spool.memory.read("visit"))
        self._poll = poll(loaded.authority)

    def errand(self, now: int) -> Errand | None:
        """What it is time for; None when it is for nothing. An upload brings a visit forward. Where bytes are counted
        that visit posts alone: it costs a twentieth."""
        if schedule.is_due(self._plan, now, self._poll):
            return self.everything
        if not schedule.may_go(self._plan, now) or not self._spool.outbox.names("upload-"):
            return None
        return self._post if self._settings.metered else self.everything

    async def everything(self, postbox: Postbox, source: Source) -> FeedReport:
        return await feed_visit.fetch_and_post(postbox, source, self._spool, self._protocols)

    async def _post(self, postbox: Postbox, _: Source) -> FeedReport:
        return await feed_visit.post(postbox, self._spool)

    def tries(self, most: int) -> int:
        return schedule.tries(self._plan, most)

    def close(self, errand: Errand, report: FeedReport, now: int) -> None:
        """Leave word of when to come again."""
        if report.problems:
            plan = schedule.after_failure(self._plan, now, self._poll, CHANCE)
        elif errand == self._post:
            plan = schedule.after_post(self._plan)
        else:
            plan = schedule.after_success(now, self._poll, CHANCE)
        self._spool.memory.write("visit", schedule.encode(plan))


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@command_line.config_options
@click.option(
    "--tries", type=click.IntRange(1, 20), default=schedule.TRIES, show_default=True, help="Visits before giving up."
)
@click.option("--if-due", is_flag=True, help="Only when it is time (authority.poll_s) or an upload waits.")
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
@click.version_option(__version__, prog_name="bluezoned-sync")
@click.pass_context
def main(
    context: click.Context,
    config_path: Path | None,
    settings: tuple[str, ...],
    tries: int,
    if_due: bool,
    as_json: bool,
) -> None:
    """Post what waits in the outbox and fetch what is new from the authority, once.

    Exit status: 0 all done, 75 the authority could not be reached or refused something (the timer tries again), 65 what
    `import` found is not the authority's or not whole, 74 the spool failed, 77 run as root on another's spool, 78 the
    configuration is wrong.
    """
    try:
        loaded = command_line.load(config_path, settings)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)
    service.to_where_it_is_read("bluezoned-sync", loaded.log.level, os.environ)
    context.obj = loaded, as_json
    if context.invoked_subcommand is not None:
        return
    if loaded.authority.url:
        _visit_once(loaded, tries, if_due, as_json)
    elif not if_due:
        click.echo("no authority is set (authority.url): nothing to do", err=True)


def _visit_once(loaded: Config, tries: int, if_due: bool, as_json: bool) -> None:
    try:
        spool, clock = _spool(loaded, "systemctl start bluezoned-sync"), SystemClock()
        this_round = Round(loaded, spool)
        errand: Errand | None = this_round.everything
        if if_due:
            tries, errand = this_round.tries(tries), this_round.errand(clock.now())
        if errand is None:
            return
        report = asyncio.run(visit(loaded.authority, pinned_key(loaded), errand, tries))
        this_round.close(errand, report, clock.now())
    except StoreError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_IOERR)
    except (AuthorityError, BluezonedError) as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_TEMPFAIL)
    _tell(report, as_json)
    if report.problems:
        sys.exit(os.EX_TEMPFAIL)


@main.command("import")
@click.argument("directory", type=click.Path(path_type=Path))
@click.pass_obj
def import_directory(given: tuple[Config, bool], directory: Path) -> None:
    """Take in the authority's files from DIRECTORY, as if fetched.

    DIRECTORY is a copy of the authority's own directory public, such as on a USB stick: index, log, batches, leaves. It
    is for a box without a network. The daemon judges it as what comes over the network; an older list than one seen
    before is refused, and told by bluezonectl status. Nothing is written to DIRECTORY.
    """
    loaded, as_json = given
    if not loaded.authority.public_key:
        click.echo("no authority is set (authority.url and public_key): whose keys to take is not known", err=True)
        sys.exit(os.EX_CONFIG)
    try:
        spool = _spool(loaded, "sudo -u bluezoned-sync bluezoned-sync import DIRECTORY")
        source, pinned = Directory(directory), pinned_key(loaded)
        report = asyncio.run(feed_visit.take_in(source if pinned is None else Signed(source, pinned), spool))
    except StoreError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_IOERR)
    _tell(report, as_json)
    if report.problems:
        sys.exit(os.EX_DATAERR)


def _spool(loaded: Config, instead: str) -> Spool:
    """The box's. Root is sent away: what it leaves there, the service could not replace."""
    directory = Path(loaded.beacon.spool_dir)
    if os.geteuid() == 0 and directory.exists() and directory.stat().st_uid != 0:
        click.echo(f"the spool is another user's: {instead}", err=True)
        sys.exit(os.EX_NOPERM)
    return Spool(directory)


def _tell(report: FeedReport, as_json: bool) -> None:
    problems = [str(problem) for problem in report.problems]
    if as_json:
        click.echo(
            json.dumps(
                {
                    "index_changed": report.index_changed,
                    "batches": report.batches,
                    "uploads": report.uploads,
                    "problems": problems,
                }
            )
        )
        return
    click.echo(f"{report.batches} batches fetched, {report.uploads} uploads answered")
    for problem in problems:
        click.echo(problem, err=True)
