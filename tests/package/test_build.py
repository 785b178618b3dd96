"""The packages themselves: built twice alike, and as Debian's own checker wants them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.package.conftest import ARCHITECTURE, ROOT, run


def test_the_same_bytes_twice(packages: dict[str, Path]) -> None:
    first = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in packages.items()}

    run("sh", "-c", f"umask 077; exec {ROOT}/debian/build.sh {ARCHITECTURE}")

    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in packages.items()} == first


def test_lintian_finds_no_error(packages: dict[str, Path]) -> None:
    run(ROOT / "need.sh", "lintian")
    run("lintian", "--fail-on", "error", "--tag-display-limit", "0", *packages.values())
