"""bluezone-authority as staff use it: words, JSON, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bluezoned.authority.cli.program import main
from bluezoned.authority.house import open_house
from bluezoned.authority.publish import LEASE
from bluezoned.clock import SystemClock
from bluezoned.demo.cast import program


def ran(data: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--data", str(data)])


def told(data: Path, *words: str) -> Any:
    done = ran(data, *words, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    told(tmp_path / "ward", "init", "--yes", "--name", "ward")
    return tmp_path / "ward"


def test_whole_day_of_a_ward(ward: Path) -> None:
    case = told(ward, "case", "create", "--tier", "F0")["case"]
    contact = told(ward, "case", "create", "--tier", "F1", "--source", case)["case"]
    short = told(ward, "code", "issue", case)
    long = told(ward, "code", "issue", contact, "--long")

    assert (len(short["code"]), len(long["code"])) == (8, 16)
    assert [(row["case"], row["codes"]) for row in told(ward, "list")] == [(contact, ["issued"]), (case, ["issued"])]
    assert told(ward, "publish") == {"batches": 0, "keys": 0, "revoked": 0}
    assert set(told(ward, "revoke", case)["revoked"]) == {case, contact}
    assert all(row["revoked"] and not row["codes"] for row in told(ward, "list"))


def test_publish_waits_for_the_worker_that_is_at_it(ward: Path) -> None:
    house, holder, at = open_house(ward, os.urandom), os.urandom(16), SystemClock().now()
    with house.store.transaction() as transaction:
        assert transaction.take_lease("publish", holder, at, at + LEASE)

    refused = ran(ward, "publish", "--wait", "0")
    command = [program("bluezone-authority"), "publish", "--data", str(ward), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        said = waiting.stderr.readline()
        with house.store.transaction() as transaction:
            transaction.give_lease_back("publish", holder)
        answered = waiting.communicate()[0]
    house.close()

    assert (refused.exit_code, "try again in five minutes" in refused.stderr) == (1, True)
    assert "waiting for it" in said
    assert (waiting.returncode, json.loads(answered)["batches"]) == (0, 0)


def test_status_counts_what_there_is(ward: Path) -> None:
    case = told(ward, "case", "create", "--tier", "F0")["case"]
    told(ward, "code", "issue", case)
    before = told(ward, "status")
    told(ward, "publish")

    assert (before["name"], before["cases"], before["codes_open"], before["published"]) == ("ward", 1, 1, None)
    assert (before["wrong_codes_last_day"], before["short_codes_refused"]) == (0, False)
    assert told(ward, "status")["published"] is not None


def test_code_is_told_to_people_in_groups(ward: Path) -> None:
    case = told(ward, "case", "create", "--tier", "F0")["case"]

    done = ran(ward, "code", "issue", case, "--long")

    code = done.stdout.splitlines()[0].removeprefix("code: ")
    assert [len(group) for group in code.split(" ")] == [4, 4, 4, 4]


def test_piped_table_is_plain_and_whole(ward: Path) -> None:
    case = told(ward, "case", "create", "--tier", "F0")["case"]
    contact = told(ward, "case", "create", "--tier", "F1", "--source", case)["case"]
    for _ in range(3):
        told(ward, "code", "issue", contact)

    lines = ran(ward, "list").stdout.splitlines()

    assert len(lines) == 3
    assert "issued" in lines[1]
    assert "\x1b" not in "".join(lines)
    assert "…" not in "".join(lines)


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("case", "create", "--tier", "F1"), 1, "names the case that it met"),
        (("case", "create", "--tier", "F2"), 2, "F2"),
        (("case", "create", "--tier", "F0", "--onset", "yesterday"), 2, "YYYY-MM-DD"),
        (("case", "create", "--tier", "F0", "--onset", "2001-01-01"), 1, "last 60 days"),
        (("code", "issue", "C-AAAAAAAA"), 1, "no such case"),
        (("revoke", "C-AAAAAAAA"), 1, "no such case"),
        (("status", "--desk", "/nowhere"), 1, "no desk"),
        (("init", "--yes"), 78, "holds an authority already"),
    ],
)
def test_refusal_says_why_with_its_status(ward: Path, words: tuple[str, ...], status: int, complaint: str) -> None:
    done = ran(ward, *words)

    assert (done.exit_code, done.stdout) == (status, "")
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_settings_are_named(ward: Path) -> None:
    (ward / "authority.toml").write_text("[publish]\nevery_s = 5\n")

    done = ran(ward, "status")

    assert done.exit_code == 78
    assert "authority.toml:2: publish.every_s" in done.stderr


def test_init_writes_settings_that_a_box_can_read(ward: Path) -> None:
    done = subprocess.run(
        (program("bluezoned"), "--check-config", "--config", str(ward / "device.toml")),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_made_without_a_yes(tmp_path: Path) -> None:
    done = ran(tmp_path / "ward", "init")

    assert done.exit_code == 1
    assert not (tmp_path / "ward").exists()
