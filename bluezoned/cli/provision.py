"""provision: boot files for a whole fleet, asked of no box."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path

import click

from bluezoned.cli.context import FAILED, Context, fail, json_option
from bluezoned.first_boot import boot_file
from bluezoned.first_boot.problem import FILE, report

COLUMNS = ("number", "name", "file", "sha256")


@click.command()
@json_option
@click.option("--count", type=click.IntRange(1, 100_000), required=True, help="How many boxes.")
@click.option("--first", type=click.IntRange(0), default=1, show_default=True, help="Number of the first one.")
@click.option("--prefix", default="box-", show_default=True, help="What the names begin with.")
@click.option(
    "--template",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A bluezoned.toml without a name, the same for all.",
)
@click.option(
    "--out", "out", type=click.Path(file_okay=False, path_type=Path), required=True, help="A new directory for them."
)
@click.pass_obj
def provision(context: Context, count: int, first: int, prefix: str, template: Path, out: Path) -> None:
    """A bluezoned.toml for each box of a fleet, and a list of them.

    Each gets a name of its own, as NAME/bluezoned.toml in the directory, to be copied to the boot partition of a card;
    manifest.csv lists number, name, file and digest. The template is checked first, as a box would; nothing is written
    when it has a mistake. The files hold the template's Wi-Fi password: they are readable by you alone.
    """
    content = template.read_bytes()
    digits = len(str(first + count - 1))
    names = [f"{prefix}{number:0{digits}d}" for number in range(first, first + count)]
    wishes = boot_file.read(content)
    problems = [*wishes.problems, *boot_file.read(_named(names[-1], "").encode()).problems]
    if problems:
        fail(report(problems, []).replace("\r\n", "\n"), FAILED)
    if wishes.name is not None:
        fail(f"{template} has a name: each box gets its own from --prefix", FAILED)
    text = boot_file.decoded(content) or ""
    if out.exists():
        fail(f"{out} is there already; name a new directory", FAILED)
    out.mkdir(mode=0o700, parents=True)
    rows = []
    with click.progressbar(list(enumerate(names, first)), label="boot files", hidden=context.as_json) as boxes:
        for number, name in boxes:
            own = _named(name, text).encode()
            place = out / name / FILE
            place.parent.mkdir(mode=0o700)
            place.touch(mode=0o600)
            place.write_bytes(own)
            rows.append((number, name, f"{name}/{FILE}", hashlib.sha256(own).hexdigest()))
    listed = io.StringIO()
    csv.writer(listed, lineterminator="\n").writerows([COLUMNS, *rows])
    (out / "manifest.csv").write_text(listed.getvalue())
    if context.as_json:
        click.echo(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows]))
    else:
        click.echo(f"{count} boot files and manifest.csv are in {out}")


def _named(name: str, text: str) -> str:
    """At the top, before the first section."""
    return f'name = "{name}"\n{text}'


COMMANDS = (provision,)
