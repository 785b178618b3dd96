"""bluezone-authority: founds, serves and staffs an authority from the command line."""

from __future__ import annotations

import json
import secrets
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bluezoned import __version__
from bluezoned.authority.cli import following
from bluezoned.authority.cli.context import (
    answer,
    data_option,
    desk_option,
    in_groups,
    instant,
    json_option,
    now,
    opened,
    told,
)
from bluezoned.authority.cli.operation import OPERATIONS
from bluezoned.authority.cli.serving import serve
from bluezoned.authority.cli.transparency import log
from bluezoned.authority.house import found_house
from bluezoned.authority.office import Registration
from bluezoned.authority.staff import OPERATOR, Role
from bluezoned.authority.verification import Kind
from bluezoned.errors import AuthorityError
from bluezoned.protocols.protocol import Tier


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bluezone-authority")
def main() -> None:
    """A health authority: opens cases, issues codes, publishes signed keys.

    Exit status: 0 done, 1 refused, 2 wrong usage, 78 the settings are wrong.
    """


@main.command()
@data_option
@click.option("--name", default="authority", show_default=True, help="Its name, as signatures carry it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def init(data: Path, name: str, yes: bool, as_json: bool) -> None:
    """Make a new authority: keys, settings and database, and a fragment of settings for its boxes."""
    if not yes:
        click.confirm(f"Make a new authority in {data}?", abort=True)
    with told():
        found_house(data, name, secrets.token_bytes)
    with opened(data) as house:
        word = house.personnel.setup_word
    answer(as_json, {"data": str(data), "device_toml": str(data / "device.toml"), "setup_word": in_groups(word)})


main.add_command(serve)
main.add_command(log)
for operation in (*OPERATIONS, *following.COMMANDS):
    main.add_command(operation)


@main.group("case")
def case_group() -> None:
    """Cases: who may publish, and at which tier."""


@case_group.command("create")
@data_option
@click.option("--tier", type=click.Choice(["F0", "F1"]), required=True, help="F0 confirmed, F1 met an F0.")
@click.option("--source", help="For an F1: the case that it met.")
@click.option("--onset", help="First day of symptoms, YYYY-MM-DD.")
@click.option("--reference", help="A file number of your own; nothing that names a person.")
@desk_option
@json_option
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
    with opened(data) as house:
        created = house.office.register(
            OPERATOR, Registration(Tier[tier], source, reference or "", _day(onset)), now(desk_socket)
        )
        answer(as_json, {"case": created.id, "tier": created.tier.name})


@main.group("code")
def code_group() -> None:
    """One-time codes."""


@code_group.command("issue")
@click.argument("case")
@data_option
@click.option("--long", "is_long", is_flag=True, help="16 characters for 24 hours instead of 8 digits for 15 minutes.")
@desk_option
@json_option
def issue_code(case: str, data: Path, is_long: bool, desk_socket: Path | None, as_json: bool) -> None:
    """Issue a code for CASE and print it, this once. Earlier ones that nobody used are void."""
    with opened(data) as house:
        issued = house.office.issue(OPERATOR, case, Kind.LONG if is_long else Kind.SHORT, now(desk_socket))
        answer(
            as_json, {"code": issued.code if as_json else in_groups(issued.code), "expires": instant(issued.expires)}
        )


@main.command("create-user")
@click.argument("name")
@data_option
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What NAME may do.")
@desk_option
@json_option
def create_user(name: str, data: Path, role: str, desk_socket: Path | None, as_json: bool) -> None:
    """Invite NAME to the portal and print the word to come in with, this once; again for who has lost the way in."""
    with opened(data) as house:
        at = now(desk_socket)
        if name in {member.name for member in house.personnel.members()}:
            house.personnel.change_role(OPERATOR, name, Role(role), at)
            word = house.personnel.invite_again(OPERATOR, name, at)
        else:
            word = house.personnel.invite(OPERATOR, name, Role(role), at)
        answer(as_json, {"invitation": in_groups(word), "name": name, "role": role})


@main.command()
@data_option
@desk_option
@click.option(
    "--wait",
    type=click.IntRange(0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a worker that publishes at this moment.",
)
@json_option
def publish(data: Path, desk_socket: Path | None, wait: int, as_json: bool) -> None:
    """Publish now what is due, without waiting for the schedule."""
    with opened(data) as house:
        published = house.publisher.publish(now(desk_socket))
        if published is None and wait:
            click.echo("another worker publishes at this moment: waiting for it", err=True)
        until = time.monotonic() + wait
        while published is None:
            if time.monotonic() >= until:
                raise AuthorityError("another worker publishes at this moment, or was killed while it did: try again "
                                     "in five minutes")  # fmt: skip
            # Its lease lies in the database, which tells nobody when it is given back.
            time.sleep(0.5)
            published = house.publisher.publish(now(desk_socket))
        answer(as_json, {"batches": published.batches, "keys": published.keys, "revoked": published.revoked})


@main.command()
@click.argument("case")
@data_option
@desk_option
@json_option
def revoke(case: str, data: Path, desk_socket: Path | None, as_json: bool) -> None:
    """Take back CASE and every case that came of it; the next publication turns the alerts off."""
    with opened(data) as house:
        answer(as_json, {"revoked": house.office.revoke(OPERATOR, case, now(desk_socket))})


@main.command()
@data_option
@desk_option
@json_option
def status(data: Path, desk_socket: Path | None, as_json: bool) -> None:
    """What is open, what waits, when was published last, and whether somebody is guessing codes."""
    with opened(data) as house:
        at = now(desk_socket)
        guessing = house.authority.guessing(at)
        with house.store.snapshot() as seen:
            facts: dict[str, Any] = {"name": house.settings.authority.name, **seen.counts(at)}
            issued = seen.fact("index issued")
            facts["newest_batch"] = seen.fact("newest batch")
        facts["published"] = instant(issued) if issued else None
        facts["wrong_codes_last_day"] = guessing.last_day
        facts["short_codes_refused"] = guessing.is_shut
        answer(as_json, facts)


@main.command("list")
@data_option
@desk_option
@json_option
def list_cases(data: Path, desk_socket: Path | None, as_json: bool) -> None:
    """Every case with the state of its codes, newest first."""
    with opened(data) as house:
        at = now(desk_socket)
        rows = [
            {
                "case": found.id,
                "tier": found.tier.name,
                "source": found.source,
                "opened": instant(found.opened),
                "revoked": None if found.revoked is None else instant(found.revoked),
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


def _day(onset: str | None) -> int | None:
    if onset is None:
        return None
    try:
        return (date.fromisoformat(onset) - date(1970, 1, 1)).days
    except ValueError:
        raise click.BadParameter("write YYYY-MM-DD", param_hint="--onset") from None
