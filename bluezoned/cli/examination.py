"""doctor: what is wrong, and the command that mends it."""

from __future__ import annotations

import asyncio
import sys

import click
from rich.text import Text

from bluezoned.cli.context import FAILED, Context, json_option
from bluezoned.doctor import gathering
from bluezoned.doctor.diagnosis import diagnose
from bluezoned.doctor.facts import Finding, Grade

COLOURS = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "bold red"}


@click.command()
@json_option
@click.pass_obj
def doctor(context: Context) -> None:
    """Look at all that a box needs, say what is wrong, what it means, and what mends it. Changes nothing.

    Looked at are the bus, the unit, your permission, the daemon, bluetoothd and its options, the adapter, its privacy,
    the clock, the authority and the visits to it, the list of cases, the disk, the database, the light and the
    calibration. Works when the daemon does not run. Root sees more.

    Exit status: 0 nothing has failed, though there may be warnings; 1 something has.

    As JSON: `healthy`, and `findings`, each with `name`, `grade` (ok, warn or fail), `said` and `fix`.
    """
    findings = diagnose(asyncio.run(gathering.gather(context.config)))
    failed = any(finding.grade is Grade.FAIL for finding in findings)
    told = [{"name": f.name, "grade": f.grade.value, "said": f.said, "fix": f.fix} for f in findings]
    context.tell({"healthy": not failed, "findings": told}, lambda: _text(findings))
    if failed:
        sys.exit(FAILED)


def _text(findings: list[Finding]) -> Text:
    text = Text()
    for finding in findings:
        text.append(f"{finding.grade.value:5}", style=COLOURS[finding.grade])
        text.append(f"{finding.name:13}{finding.said}\n")
        if finding.fix and finding.grade is not Grade.OK:
            text.append(f"{'':18}-> {finding.fix}\n", style="bold")
    text.rstrip()
    return text


COMMANDS = (doctor,)
