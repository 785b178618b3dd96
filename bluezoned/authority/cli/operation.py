"""What the operator does: laboratories, the signing key, backups, a look at whether all is well."""

from __future__ import annotations

import secrets
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from bluezoned.authority import archive, inspection
from bluezoned.authority.cli.context import (
    FILE,
    answer,
    credentials,
    data_option,
    desk_option,
    instant,
    json_option,
    now,
    opened,
    read_public_key,
    told,
)
from bluezoned.authority.house import open_house, rotate_signing_key
from bluezoned.authority.laboratory import SCOPES
from bluezoned.authority.staff import OPERATOR
from bluezoned.protocols.protocol import Tier


@click.group("laboratory")
def laboratory() -> None:
    """Laboratories that open cases by themselves."""


@laboratory.command("add")
@click.argument("name")
@data_option
@click.option("--scope", type=click.Choice(sorted(SCOPES)), multiple=True, default=("issue",), show_default=True)
@click.option("--per-day", type=click.IntRange(1, 1_000_000), default=500, show_default=True, help="Requests a day.")
@desk_option
@json_option
def add_laboratory(
    name: str, data: Path, scope: tuple[str, ...], per_day: int, desk_socket: Path | None, as_json: bool
) -> None:
    """Add the laboratory NAME and print its token, this once."""
    with opened(data) as house:
        token = house.laboratories.add(name, frozenset(scope), per_day, now(desk_socket))
        answer(as_json, {"laboratory": name, "token": token})


@laboratory.command("remove")
@click.argument("name")
@data_option
@json_option
def remove_laboratory(name: str, data: Path, as_json: bool) -> None:
    """Take its token from NAME."""
    with opened(data) as house:
        house.laboratories.remove(name)
        answer(as_json, {"removed": name})


@laboratory.command("list")
@data_option
@json_option
def list_laboratories(data: Path, as_json: bool) -> None:
    """Every laboratory with its scope and quota."""
    with opened(data) as house:
        for known in house.laboratories.all():
            scope = sorted(known.scope)
            answer(as_json, {"laboratory": known.name, "scope": scope, "per_day": known.per_day})


@click.command("rotate-key")
@data_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@desk_option
@json_option
def rotate_key(data: Path, yes: bool, desk_socket: Path | None, as_json: bool) -> None:
    """Replace the signing key; the old one signs for the new, and boxes follow. Workers start again by themselves."""
    if not yes:
        click.confirm("Replace the signing key? Make a backup first.", abort=True)
    with told():
        issued = rotate_signing_key(data, now(desk_socket), secrets.token_bytes, credentials())
    answer(as_json, {"rotated": instant(issued), "device_toml": str(data / "device.toml")})


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@json_option
def backup(file: Path, data: Path, as_json: bool) -> None:
    """Write settings, keys and database into the new FILE. It holds every secret: keep it as one."""
    with opened(data) as house:
        answer(as_json, {"file": str(file), "rows": archive.write(data, house.database, file)})


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@data_option
@json_option
def restore(file: Path, data: Path, as_json: bool) -> None:
    """Make the authority of the backup FILE in an empty directory. An authority.toml that is there already is kept and
    may name another database; `publish` then makes the published files anew."""
    with told():
        archive.unpack(file, data)
        house = open_house(data, secrets.token_bytes, credentials())
        try:
            rows = archive.restore(file, house.database)
        finally:
            house.close()
    answer(as_json, {"data": str(data), "rows": rows})


@click.command()
@data_option
@desk_option
@json_option
def check(data: Path, desk_socket: Path | None, as_json: bool) -> None:
    """Look whether keys, database and what is published are as they should be. Exit status 1 when they are not."""
    with opened(data) as house:
        found = list(inspection.problems(house, now(desk_socket)))
    answer(as_json, {"problems": found} if found or as_json else {"problems": "none"})
    if found:
        sys.exit(1)


@click.command("import")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--public-key", type=FILE, required=True, help="PEM of the key that signed them.")
@click.option("--source", required=True, help="Whose they are, such as `hue`; it alone takes its keys back.")
@click.option("--as", "tier", type=click.Choice(["F0", "F1"]), help="Take every key as that, whatever it says.")
@data_option
@desk_option
@json_option
def import_exports(
    files: tuple[Path, ...],
    public_key: Path,
    source: str,
    tier: str | None,
    data: Path,
    desk_socket: Path | None,
    as_json: bool,
) -> None:
    """Take in FILES, signed key exports of another authority; the next publication tells their keys on. One bad file,
    and nothing is taken."""
    signer = read_public_key(public_key)
    with ExitStack() as stack, opened(data) as house:
        opened_files = [stack.enter_context(file.open("rb")) for file in files]
        as_tier = None if tier is None else Tier[tier]
        taken = house.imports.take(OPERATOR, source, opened_files, signer, now(desk_socket), as_tier)
        answer(as_json, {"source": source, "new": taken.new, "known": taken.known, "revoked": taken.revoked,
                         "left_out": taken.left_out})  # fmt: skip


OPERATIONS = (laboratory, rotate_key, backup, restore, check, import_exports)
