"""bluezone-authority: founds, serves and staffs an authority from the command line."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
import uvicorn
from rich.console import Console
from rich.table import Table

from bluezoned import __version__, service
from bluezoned.authority import server
from bluezoned.authority.house import House, found_house, open_house
from bluezoned.authority.office import Registration
from bluezoned.authority.staff import OPERATOR, Role
from bluezoned.authority.verification import Kind
from bluezoned.clock import Clock, SystemClock
from bluezoned.errors import AuthorityError, BluezonedError, ConfigError
from bluezoned.protocols.protocol import Tier
from bluezoned.radio import desk

log = logging.getLogger(__name__)

Command = Callable[..., None]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bluezone-authority")
def main() -> None:
    """A health authority: opens cases, issues codes, publishes signed keys.

    Exit status: 0 done, 1 refused, 2 wrong usage, 78 the settings are wrong.
    """


def _data(command: Command) -> Command:
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        envvar="BLUEZONE_AUTHORITY_DATA",
        help="The authority's directory.",
    )(command)


def _desk(command: Command) -> Command:
    return click.option(
        "--desk", "desk_socket", type=click.Path(path_type=Path), help="Take the time from a simulated desk."
    )(command)


def _json(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")(command)


@contextmanager
def _told() -> Iterator[None]:
    """Our errors as sentences with an exit status."""
    try:
        yield
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)
    except BluezonedError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


@contextmanager
def _opened(data: Path) -> Iterator[House]:
    with _told():
        house = open_house(data, secrets.token_bytes)
        try:
            yield house
        finally:
            house.close()


def _now(desk_socket: Path | None) -> int:
    return SystemClock().now() if desk_socket is None else desk.now(desk_socket)


def _answer(as_json: bool, facts: dict[str, Any]) -> None:
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, fact in facts.items():
        told = ", ".join(fact) if isinstance(fact, list) else "-" if fact is None else fact
        click.echo(f"{name.replace('_', ' ')}: {told}")


@main.command()
@_data
@click.option("--name", default="authority", show_default=True, help="Its name, as signatures carry it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json
def init(data: Path, name: str, yes: bool, as_json: bool) -> None:
    """Make a new authority: keys, settings and database, and a fragment of settings for its boxes."""
    if not yes:
        click.confirm(f"Make a new authority in {data}?", abort=True)
    with _told():
        found_house(data, name, secrets.token_bytes)
    with _opened(data) as house:
        word = house.personnel.setup_word
    _answer(as_json, {"data": str(data), "device_toml": str(data / "device.toml"), "setup_word": _in_groups(word)})


@main.command()
@_data
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@_desk
def serve(data: Path, host: str, port: int, desk_socket: Path | None) -> None:
    """Serve boxes and publish on schedule, until stopped. Put a proxy with TLS in front for the world."""
    service.to_where_it_is_read("bluezone-authority", "info", os.environ)
    with _opened(data) as house, _bound(host, port) as listener:
        asyncio.run(_serve(house, listener, desk_socket))


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that nobody can reach yet: who is answered shall find an index, and time on a desk cannot pass before
    there is one."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise AuthorityError(f"cannot listen on {host}, port {port} ({error.strerror}): choose others with --host "
                                 "and --port") from error  # fmt: skip
        yield listener


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them once more when it has stopped, and the process would die before a
    publishing run has ended and the database is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(house: House, listener: socket.socket, desk_socket: Path | None) -> None:
    async with AsyncExitStack() as stack:
        clock: Clock = SystemClock()
        if desk_socket is not None:
            clock = await stack.enter_async_context(desk.join_clock(desk_socket))
        config = uvicorn.Config(
            server.application(house, clock, listener.getsockname()[1]),
            # No access log: it would keep who asked when.
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=10,
            server_header=False,
        )
        await server.publish_once(house, clock)
        if not house.personnel.is_staffed() and "JOURNAL_STREAM" not in os.environ:
            # Not into the journal, which more people read than may be administrators: `init` has said it too.
            portal = house.settings.portal.origin or f"http://localhost:{listener.getsockname()[1]}"
            word = _in_groups(house.personnel.setup_word)
            click.echo(f"nobody works here yet: open {portal}/portal/ and type the set-up word {word}")
        serving = _Server(config)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, serving.handle_exit, number, None)
        publishing = asyncio.create_task(server.publish_for_ever(house, clock))
        publishing.add_done_callback(lambda _: setattr(serving, "should_exit", True))
        service.notify_ready("serving {}:{}".format(*listener.getsockname()[:2]))
        log.info("serving http://%s:%d", *listener.getsockname()[:2])
        await serving.serve([listener])
        service.notify_stopping()
        publishing.cancel()
        with suppress(asyncio.CancelledError):
            await publishing


@main.group("case")
def case_group() -> None:
    """Cases: who may publish, and at which tier."""


@case_group.command("create")
@_data
@click.option("--tier", type=click.Choice(["F0", "F1"]), required=True, help="F0 confirmed, F1 met an F0.")
@click.option("--source", help="For an F1: the case that it met.")
@click.option("--onset", help="First day of symptoms, YYYY-MM-DD.")
@click.option("--reference", help="A file number of your own; nothing that names a person.")
@_desk
@_json
def create_case(
    data: Path,
    tier: str,
    source: str | None,
    onset: str | None,
    reference: str | None,
    desk_socket: Path | None,
    as_json: bool,
) -> None:
    """Open a case and print its number. It holds nothing that names a person."""
    with _opened(data) as house:
        opened = house.office.register(
            OPERATOR, Registration(Tier[tier], source, reference or "", _day(onset)), _now(desk_socket)
        )
        _answer(as_json, {"case": opened.id, "tier": opened.tier.name})


@main.group("code")
def code_group() -> None:
    """One-time codes."""


@code_group.command("issue")
@click.argument("case")
@_data
@click.option("--long", "is_long", is_flag=True, help="16 characters for 24 hours instead of 8 digits for 15 minutes.")
@_desk
@_json
def issue_code(case: str, data: Path, is_long: bool, desk_socket: Path | None, as_json: bool) -> None:
    """Issue a code for CASE and print it, this once. Earlier ones that nobody used are void."""
    with _opened(data) as house:
        issued = house.office.issue(OPERATOR, case, Kind.LONG if is_long else Kind.SHORT, _now(desk_socket))
        _answer(
            as_json, {"code": issued.code if as_json else _in_groups(issued.code), "expires": _instant(issued.expires)}
        )


@main.command("create-user")
@click.argument("name")
@_data
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What NAME may do.")
@_desk
@_json
def create_user(name: str, data: Path, role: str, desk_socket: Path | None, as_json: bool) -> None:
    """Invite NAME to the portal and print the word to come in with, this once; again for who has lost the way in."""
    with _opened(data) as house:
        at = _now(desk_socket)
        if name in {member.name for member in house.personnel.members()}:
            house.personnel.change_role(OPERATOR, name, Role(role), at)
            word = house.personnel.invite_again(OPERATOR, name, at)
        else:
            word = house.personnel.invite(OPERATOR, name, Role(role), at)
        _answer(as_json, {"invitation": _in_groups(word), "name": name, "role": role})


@main.command()
@_data
@_desk
@_json
def publish(data: Path, desk_socket: Path | None, as_json: bool) -> None:
    """Publish now what is due, without waiting for the schedule."""
    with _opened(data) as house:
        published = house.publisher.publish(_now(desk_socket))
        if published is None:
            raise AuthorityError("another worker publishes at this moment, or was killed while it did: try again in "
                                 "five minutes")  # fmt: skip
        _answer(as_json, {"batches": published.batches, "keys": published.keys, "revoked": published.revoked})


@main.command()
@click.argument("case")
@_data
@_desk
@_json
def revoke(case: str, data: Path, desk_socket: Path | None, as_json: bool) -> None:
    """Take back CASE and every case that came of it; the next publication turns the alerts off."""
    with _opened(data) as house:
        _answer(as_json, {"revoked": house.office.revoke(OPERATOR, case, _now(desk_socket))})


@main.command()
@_data
@_desk
@_json
def status(data: Path, desk_socket: Path | None, as_json: bool) -> None:
    """What is open, what waits, when was published last, and whether somebody is guessing codes."""
    with _opened(data) as house:
        at = _now(desk_socket)
        guessing = house.authority.guessing(at)
        with house.store.snapshot() as seen:
            facts: dict[str, Any] = {"name": house.settings.authority.name, **seen.counts(at)}
            issued = seen.fact("index issued")
            facts["newest_batch"] = seen.fact("newest batch")
        facts["published"] = _instant(issued) if issued else None
        facts["wrong_codes_last_day"] = guessing.last_day
        facts["short_codes_refused"] = guessing.is_shut
        _answer(as_json, facts)


@main.command("list")
@_data
@_desk
@_json
def list_cases(data: Path, desk_socket: Path | None, as_json: bool) -> None:
    """Every case with the state of its codes, newest first."""
    with _opened(data) as house:
        at = _now(desk_socket)
        rows = [
            {
                "case": found.id,
                "tier": found.tier.name,
                "source": found.source,
                "opened": _instant(found.opened),
                "revoked": None if found.revoked is None else _instant(found.revoked),
                "codes": [
                    "used" if code.used is not None else "expired" if at >= code.expires else "issued" for code in codes
                ],
            }
            for found, codes in house.authority.cases()
        ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table("case", "tier", "source", "opened (UTC)", "revoked", "codes", box=None, pad_edge=False)
    for row in rows:
        codes = row["codes"]
        assert isinstance(codes, list)
        table.add_row(*(str(row[name] or "-") for name in ("case", "tier", "source", "opened", "revoked")),
                      ", ".join(codes) or "-")  # fmt: skip
    # A pipe has no width: a file or a search must see whole lines.
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


def _in_groups(code: str) -> str:
    """Of four, as it is read aloud; it is taken with and without spaces."""
    return " ".join(code[i : i + 4] for i in range(0, len(code), 4))


def _day(onset: str | None) -> int | None:
    if onset is None:
        return None
    try:
        return (date.fromisoformat(onset) - date(1970, 1, 1)).days
    except ValueError:
        raise click.BadParameter("write YYYY-MM-DD", param_hint="--onset") from None


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds")
