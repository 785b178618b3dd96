"""inspect-export, inspect-fork: what can be asked of a file without a box."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bluezoned import fork_evidence, key_export
from bluezoned.cli.context import FAILED, Context, fail, instant, json_option, table
from bluezoned.errors import BluezonedError
from bluezoned.fork_evidence import Head


@click.command("inspect-export")
@json_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--public-key",
    "public_key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file of the authority's key; without it the signature is not checked.",
)
@click.pass_obj
def inspect_export(context: Context, file: Path, public_key: Path | None) -> None:
    """What a key export FILE holds and whether its signature is good. Shows counts, never keys.

    As JSON the same words; `start` and `end` are ISO 8601.

    Exit status 1 unless the signature was checked and is valid, or no key was given.
    """
    key = None if public_key is None else _read_public_key(public_key)
    inspection = key_export.inspect(file.read_bytes(), key)
    facts: dict[str, Any] = {**dataclasses.asdict(inspection)}
    facts["signature"] = str(getattr(inspection.signature, "value", inspection.signature))
    facts["start"], facts["end"] = instant(inspection.start), instant(inspection.end)
    context.tell(facts, lambda: table((), ((name, "-" if fact is None else fact) for name, fact in facts.items())))
    if key is not None and facts["signature"] != "valid":
        sys.exit(FAILED)


@click.command("inspect-fork")
@json_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--public-key",
    "public_key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="PEM file of the authority's key, from a source that is not in doubt.",
)
@click.pass_obj
def inspect_fork(context: Context, file: Path, public_key: Path) -> None:
    """Whether FILE, written by `fork --json`, proves that the authority signed two logs that contradict each other.

    As JSON: `is_fork`; `fork`, the log that was refused, and `seen`, the one that had been believed or null, each with
    `authority`, `at` (ms UTC), `size` (leaves) and `root`.

    Exit status 1 unless it does: also when a signature is wrong or the two are too far apart to be compared.
    """
    try:
        judgement = fork_evidence.judge(fork_evidence.read(file.read_bytes()), _read_public_key(public_key))
    except BluezonedError as error:
        fail(str(error), FAILED)
    verdict = "proven: the authority signed both" if judgement.is_fork else "none: both are of one history"
    context.tell(dataclasses.asdict(judgement), lambda: f"fork: {verdict}\n{worded(judgement.fork, judgement.seen)}")
    if not judgement.is_fork:
        sys.exit(FAILED)


def worded(fork: Head, seen: Head | None) -> str:
    """A line for the log that was refused and one for that which had been believed."""
    lines = (
        f"{what}: none before" if head is None else
        f"{what}: {head.size} leaves, root {head.root}, signed {instant(head.at)}"
        for what, head in (("refused", fork), ("believed", seen))
    )  # fmt: skip
    return "\n".join(lines)


COMMANDS = (inspect_export, inspect_fork)


def _read_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        raise click.BadParameter(f"{path} is no PEM public key", param_hint="--public-key") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise click.BadParameter(f"{path} is not an elliptic curve key", param_hint="--public-key")
    return key
