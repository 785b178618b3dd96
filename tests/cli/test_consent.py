"""bluezonectl consent: what is asked of whom before anything is done."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from bluezoned.cli.program import main

HOURS = ("--from", "2026-11-24 08:00", "--to", "2026-11-24 12:30")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--from", "2026-11-24 08:00"), "--from and --to come together"),
        (("--to", "2026-11-24 08:00"), "--from and --to come together"),
        (("--from", "2026-11-24 08:00", "--to", "2026-11-24 08:00"), "--from must be before --to"),
        (("--from", "yesterday", "--to", "today"), "does not match the format"),
    ],
)
def test_hours_that_are_none_are_told(words: tuple[str, ...], complaint: str) -> None:
    done = CliRunner().invoke(main, ["consent", "12345678", *words, "--yes"])

    assert done.exit_code == 2
    assert complaint in done.output.replace("formats", "format")


def test_the_question_names_the_hours() -> None:
    asked = CliRunner().invoke(main, ["consent", "12345678", *HOURS], input="n\n")

    assert "its keys from 2026-11-24 08:00 to 2026-11-24 12:30?" in asked.output
    assert asked.exit_code == 1
