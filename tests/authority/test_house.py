"""Founding and opening an authority's directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bluezoned.authority.house import found_house, open_house
from bluezoned.errors import ConfigError


def modes(directory: Path) -> dict[str, int]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.stat().st_mode & 0o777 for path in files}


def test_nobody_else_reads_keys_and_database(tmp_path: Path) -> None:
    found_house(tmp_path, "ward", os.urandom)

    readable = {name for name, mode in modes(tmp_path).items() if mode & 0o077}
    assert readable == {"authority.toml", "device.toml"}


def test_impossible_name_founds_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name"):
        found_house(tmp_path / "a", 'x"', os.urandom)

    assert not (tmp_path / "a").exists()


def test_settings_that_are_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / "authority.toml").write_text('[authority]\nname = "mine"\n')

    found_house(tmp_path, "authority", os.urandom)

    assert (tmp_path / "authority.toml").read_text() == '[authority]\nname = "mine"\n'
    assert '"mine"' in (tmp_path / "device.toml").read_text()


def test_founding_that_was_killed_can_be_done_again(tmp_path: Path) -> None:
    """The signing key is written last: without it there is no authority."""
    found_house(tmp_path, "ward", os.urandom)
    (tmp_path / "keys" / "signing.pem").unlink()

    found_house(tmp_path, "ward", os.urandom)

    open_house(tmp_path, os.urandom).close()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("signing.pem", None, "bluezone-authority init"),
        ("pepper.key", None, "restore it from a backup"),
        ("signing.pem", b"nonsense", "cannot be read"),
        ("sealing.key", b"short", "cannot be read"),
    ],
)
def test_missing_or_damaged_key_is_said(tmp_path: Path, name: str, content: bytes | None, complaint: str) -> None:
    found_house(tmp_path, "ward", os.urandom)
    path = tmp_path / "keys" / name
    path.unlink() if content is None else path.write_bytes(content)

    with pytest.raises(ConfigError, match=complaint):
        open_house(tmp_path, os.urandom)
