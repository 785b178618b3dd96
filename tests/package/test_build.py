"""The packages themselves: built twice alike, and as Debian's own checker wants them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.package.conftest import ARCHITECTURE, BUILT, ROOT, run


def test_the_same_bytes_twice(packages: dict[str, Path]) -> None:
    first = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in packages.items()}

    run("sh", "-c", f"umask 077; exec {ROOT}/debian/build.sh {ARCHITECTURE}")

    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in packages.items()} == first


MACHINES = {"amd64": 0x3E, "arm64": 0xB7}
"""e_machine of ELF."""


def test_each_package_has_the_compiled_part_of_its_architecture(packages: dict[str, Path], tmp_path: Path) -> None:
    """Of every package that lies there: make test-deb builds those of this machine, make deb all."""
    built = sorted(BUILT.glob("bluezoned_*.deb"))
    assert packages["bluezoned"] in built
    for package in built:
        content = tmp_path / package.stem
        run("dpkg-deb", "--extract", package, content)
        protocols = content / "usr/lib/bluezoned/python/bluezoned/protocols"

        assert [path.name for path in protocols.iterdir() if path.suffix in (".so", ".c")] == ["libsieve.so"]
        header = (protocols / "libsieve.so").read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert int.from_bytes(header[18:20], "little") == MACHINES[package.stem.rpartition("_")[2]]


def test_lintian_finds_no_error(packages: dict[str, Path]) -> None:
    run(ROOT / "need.sh", "lintian")
    run("lintian", "--fail-on", "error", "--tag-display-limit", "0", *packages.values())
