"""bluezonectl provision: four hundred boxes, each with its name, and nothing from a template with a mistake."""

from __future__ import annotations

import csv
import hashlib
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bluezoned.cli.program import main
from bluezoned.first_boot import boot_file
from tests.first_boot.test_boot_file import WIFI


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "cards"


def provision(out: Path, template: str, *words: str) -> Result:
    file = out.parent / "template.toml"
    file.write_text(template)
    return CliRunner().invoke(main, ["provision", "--template", str(file), "--out", str(out), *words])


def test_every_box_gets_a_file_that_a_box_understands(out: Path) -> None:
    done = provision(out, WIFI, "--count", "400", "--prefix", "truong-hoc-")

    assert done.exit_code == 0, done.output
    with (out / "manifest.csv").open() as listed:
        rows = list(csv.DictReader(listed))
    assert [rows[0]["name"], rows[-1]["name"]] == ["truong-hoc-001", "truong-hoc-400"]
    assert len({row["sha256"] for row in rows}) == 400
    for row in rows:
        content = (out / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        wishes = boot_file.read(content)
        assert (wishes.name, wishes.problems) == (row["name"], [])


def test_the_files_are_their_makers_alone(out: Path) -> None:
    provision(out, WIFI, "--count", "1")

    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert stat.S_IMODE((out / "box-1/bluezoned.toml").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ('[wifi]\nssid = "x"\n', "Line 1"),
        ('name = "one"\n', "each box gets its own"),
        ("[beacon]\nprofile = “kiosk”\n", "curly quotes"),
    ],
)
def test_a_mistake_in_the_template_writes_nothing(out: Path, template: str, said: str) -> None:
    done = provision(out, template, "--count", "3")

    assert done.exit_code == 1
    assert said in done.output
    assert not out.exists()


def test_a_directory_that_is_there_is_left_alone(out: Path) -> None:
    out.mkdir()

    done = provision(out, WIFI, "--count", "3")

    assert done.exit_code == 1
    assert list(out.iterdir()) == []
