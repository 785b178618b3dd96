"""What --json promises: each key stands in the command's own help, and so in the man page."""

from __future__ import annotations

import dataclasses

import click
import pytest

from bluezoned.cli.program import main
from bluezoned.control.report import EncounterDay, ExposureDay, SelfTestReport, StatusReport
from bluezoned.doctor.facts import Finding


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("status", StatusReport),
        ("encounters", EncounterDay),
        ("exposure", ExposureDay),
        ("selftest", SelfTestReport),
        ("doctor", Finding),
    ],
)
def test_every_key_is_explained(command: str, told: type) -> None:
    text = main.commands[command].help or ""

    assert [field.name for field in dataclasses.fields(told) if f"`{field.name}`" not in text] == []


def every_command(group: click.Group) -> list[click.Command]:
    below = [every_command(c) if isinstance(c, click.Group) else [c] for c in group.commands.values()]
    return [command for commands in below for command in commands]


@pytest.mark.parametrize("command", every_command(main), ids=lambda command: command.name)
def test_every_command_answers_with_json(command: click.Command) -> None:
    assert [p for p in command.params if "--json" in p.opts]
    assert "JSON" in (command.help or "") + " ".join(
        p.help or "" for p in command.params if isinstance(p, click.Option)
    )
