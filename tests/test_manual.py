"""Man pages and completions: complete, understood by those who read them, and true to the commands."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import click
import pytest

from bluezoned import config, manual
from bluezoned.demo.cast import program as installed
from bluezoned.manual import PROGRAMS

UNITS = Path(__file__).parents[1] / "systemd"
TEMPLATE = (Path(__file__).parents[1] / "config" / "bluezoned.toml").read_text()


def rendered(page: str) -> str:
    """As a terminal shows it. Fails at the first thing that groff finds odd."""
    # 300 columns, so that no sentence is broken; neither hyphens nor overstriking.
    source = f".ll 300n\n.nh\n{page}"
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-rHY=0", "-rLL=300n", "-P-cbou"],
        input=source, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return " ".join(done.stdout.replace("‐", "-").replace("−", "-").replace("’", "'").split())  # noqa: RUF001


def every_command(command: click.Command, path: str = "") -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    return [
        found for name, below in command.commands.items() for found in every_command(below, f"{path} {name}".strip())
    ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_page_tells_every_command_and_option(name: str) -> None:
    command = manual.command_of(PROGRAMS[name])

    text = rendered(manual.page(name, PROGRAMS[name]))

    for path, below in every_command(command):
        assert path in text
        for parameter in below.params:
            assert isinstance(parameter, click.Argument) or parameter.opts[0] in text
    for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES AND ENVIRONMENT", "SEE ALSO"):
        assert heading in text
    assert f"{name} - " in text


def test_the_page_of_the_settings_tells_every_option_with_what_it_may_be() -> None:
    text = rendered(manual.settings_page(TEMPLATE))

    for section in config.SECTIONS:
        assert f"[{section}]" in text
        for option in config.options(section):
            assert f"{option} = " in text
    assert 'Allowed: "bluezone" or "gaen" or "dp3t".' in text


def test_every_page_that_the_units_name_is_there() -> None:
    units = Path(__file__).parents[1] / "systemd"
    texts = [path.read_text() for path in units.iterdir() if path.is_file()]

    named = {name for text in texts for name in re.findall(r"^Documentation(?:=|: )man:(\S+)$", text, re.M)}

    assert named <= {f"{name}({program.section})" for name, program in PROGRAMS.items()} | {"bluezoned.toml(5)"}
    assert "bluezoned(8)" in named


def test_odd_text_survives() -> None:
    page = manual.settings_page('# It is.\n[a]\n\n# .TH is\n# \'not\n#b = "\\n-`x`"\n')

    assert '[a] It is. b = "\\n-x" .TH is \'not' in rendered(page)


@pytest.mark.parametrize("name", PROGRAMS)
def test_bash_understands_its_completion(name: str) -> None:
    done = subprocess.run(
        ["bash", "-n"],
        input=manual.completion(name, PROGRAMS[name], "bash"),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""


@pytest.mark.parametrize(("shell", "answer"), [("bash", "plain,doctor"), ("zsh", "doctor"), ("fish", "plain,doctor")])
def test_the_program_answers_what_its_completion_asks(shell: str, answer: str) -> None:
    script = manual.completion("bluezonectl", PROGRAMS["bluezonectl"], shell)
    words = {"COMP_WORDS": "bluezonectl doc", "COMP_CWORD": "doc" if shell == "fish" else "1"}

    done = subprocess.run(
        [installed("bluezonectl")], env=os.environ | words | {"_BLUEZONECTL_COMPLETE": f"{shell}_complete"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert f"_BLUEZONECTL_COMPLETE={shell}_complete" in script
    assert answer in done.stdout


def test_the_page_of_the_update_knows_what_the_script_takes() -> None:
    """It is no command of ours in Python, so that its page is written by hand."""
    page = (UNITS / "bluezoned-update.8").read_text()
    shown = rendered(page)
    script = (UNITS / "update").read_text()

    usage = script.partition("set -eu")[0]
    words = {
        *re.findall(r"^#   (--[a-z]+|[a-z]+)(?: FILE)?  ", usage, re.M),
        *re.findall(r"BLUEZONED_UPDATE_[A-Z]+", script),
    }
    assert {"--previous", "resume", "BLUEZONED_UPDATE_KEY"} <= words
    assert not [word for word in words if word not in shown]
    statuses = re.findall(r"(\d) [a-z ]+[,.]", usage.partition("Exit status: ")[2].partition("\n#\n")[0])
    assert re.findall(r"^\.B (\d)$", page, re.M) == statuses
