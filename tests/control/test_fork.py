"""bluezonectl fork: what a person hands on of a box, asked of it over a real D-Bus."""

from __future__ import annotations

import asyncio

from click.testing import CliRunner, Result

from bluezoned import fork_evidence
from bluezoned.cli.program import main
from bluezoned.control.interface import offered
from bluezoned.fork_evidence import ForkEvidence
from tests.control.daemon_double import Box
from tests.test_fork_evidence import signed
from tests.test_transparency_log import PUBLIC_KEY


async def asked(bus: str, box: Box, *words: str) -> Result:
    async with offered(bus, "", box):
        return await asyncio.to_thread(CliRunner().invoke, main, ("--set", f"control.bus={bus}", "fork", *words))


async def test_evidence_is_handed_on_to_who_verifies_it(bus: str, box: Box) -> None:
    box.evidence = ForkEvidence(signed(7, "another"), signed(5))

    as_json, told = await asked(bus, box, "--json"), await asked(bus, box)

    assert fork_evidence.read(as_json.stdout.encode()) == box.evidence
    assert fork_evidence.judge(fork_evidence.read(as_json.stdout.encode()), PUBLIC_KEY).is_fork
    assert [line.split(", ")[0] for line in told.stdout.splitlines()] == ["refused: 7 leaves", "believed: 5 leaves"]


async def test_where_there_is_none_it_is_said(bus: str, box: Box) -> None:
    none = await asked(bus, box, "--json")

    assert (none.exit_code, none.stdout) == (1, "")
    assert "there is no fork" in none.stderr
