"""authority.toml: what is shipped, what is read, what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bluezoned.authority import settings
from bluezoned.authority.settings import Publish, Settings
from bluezoned.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "config" / "authority.toml"


def written(directory: Path, text: str) -> Path:
    path = directory / "authority.toml"
    path.write_text(text)
    return path


def test_shipped_file_is_the_template() -> None:
    assert SHIPPED.read_text() == settings.template()


def test_every_option_of_the_shipped_file_stands_at_its_default(tmp_path: Path) -> None:
    uncommented = SHIPPED.read_text().replace("\n#", "\n").replace("\n ", "\n# ")

    assert set(tomllib.loads(uncommented)["publish"]) == set(Publish.__struct_fields__)
    assert settings.read(written(tmp_path, uncommented)) == Settings()


def test_missing_file_means_defaults(tmp_path: Path) -> None:
    assert settings.read(tmp_path / "nothing.toml") == Settings()


def test_name_is_written_into_a_new_file(tmp_path: Path) -> None:
    assert settings.read(written(tmp_path, settings.template("ward-7"))).authority.name == "ward-7"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[publish]\nevery = 3\n", "authority.toml:2: publish.every: no such option; there are: every_s"),
        ("\n[gateway]\nx = 1\n", "authority.toml:2: gateway: no such section; there are: authority, publish"),
        ("publish = 3\n", "authority.toml:1: publish: is a section: write [publish]"),
        ("[publish]\n\nevery_s = 5\n", "authority.toml:3: publish.every_s: 5 is not allowed; allowed: a whole number"),
        ('[publish]\nevery_s = "5"\n', 'authority.toml:2: publish.every_s: "5" is not allowed'),
        ('[authority]\nname = "a b"\n', "authority.toml:2: authority.name:"),
        ("[publish\n", "authority.toml: is not TOML"),
    ],
)
def test_mistake_is_named_by_file_line_and_option(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings.read(written(tmp_path, text))

    assert complaint in str(refused.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        settings.read(written(tmp_path, "[publish]\nevery_s = 1\nretention_days = 1\n"))

    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("name", ["", "a b", 'x"', "\n", "é", "x" * 65])
def test_impossible_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="1 to 64 letters"):
        settings.require_name(name)
