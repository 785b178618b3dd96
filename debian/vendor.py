"""The wheels that the Debian packages carry: pinned with their hashes, fetched, unpacked.

    python debian/vendor.py pin                        debian/vendor/PACKAGE.txt anew, from PACKAGE.in
    python debian/vendor.py fetch DIRECTORY            every pinned wheel into DIRECTORY; pip refuses a wrong hash
    python debian/vendor.py unpack WHEELS PACKAGE ARCHITECTURE TARGET      without a network

One package serves Debian 12 and 13: compiled modules of both Pythons lie side by side, as their names tell them apart.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent / "vendor"
PACKAGES = ("bluezoned", "bluezone-authority")
PYTHONS = ("3.11", "3.13")
"""Of Debian 12 and 13."""
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
LIBC = ("2_34", "2_28", "2_17", "2_12", "2_5")
"""Debian 12 has 2.36."""

_FILE_NAME = re.compile(r"[^-]+-[^-]+-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl")


def targets() -> Iterator[tuple[str, str]]:
    """Python and machine of each wheel that may be wanted."""
    for python in PYTHONS:
        for machine in MACHINES.values():
            yield python, machine


def for_target(python: str, machine: str) -> list[str]:
    """pip's options that choose among wheels."""
    platforms = [f"--platform=manylinux_{libc}_{machine}" for libc in LIBC]
    return [
        f"--python-version={python}",
        "--implementation=cp",
        *platforms,
        f"--platform=manylinux2014_{machine}",
        "--only-binary=:all:",
        "--no-deps",
    ]


def pip(*words: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def pin(package: str) -> None:
    """Write the newest that PACKAGE.in allows, one release for all targets."""
    hashes: dict[str, set[str]] = {}
    for python, machine in targets():
        wanted = ["--requirement", str(HERE / f"{package}.in"), "--target", "unused"]
        report = pip("install", "--dry-run", "--ignore-installed", "--report=-", *for_target(python, machine), *wanted)
        for wheel in json.loads(report)["install"]:
            release = f"{wheel['metadata']['name']}=={wheel['metadata']['version']}".lower()
            digest = wheel["download_info"]["archive_info"]["hashes"]["sha256"]
            hashes.setdefault(release, set()).add(digest)
    lines = [f"# Written by make pin from {package}.in.\n"]
    for release in sorted(hashes):
        lines.append(
            " \\\n    ".join([release, *(f"--hash=sha256:{digest}" for digest in sorted(hashes[release]))]) + "\n"
        )
    (HERE / f"{package}.txt").write_text("".join(lines))


def fetch(directory: Path) -> None:
    """Bring every pinned wheel; those that are there already are only checked."""
    directory.mkdir(parents=True, exist_ok=True)
    if not wanted_hashes() - {_digest(path) for path in directory.glob("*.whl")}:
        return
    for package in PACKAGES:
        for target in targets():
            pinned = ["--require-hashes", "--requirement", str(HERE / f"{package}.txt")]
            pip("download", "--dest", str(directory), *for_target(*target), *pinned)


def wanted_hashes(package: str = "*") -> set[str]:
    return {found for path in HERE.glob(f"{package}.txt") for found in re.findall(r"sha256:(\w+)", path.read_text())}


def unpack(wheels: Path, package: str, architecture: str, target: Path) -> None:
    """Lay the package's wheels for one architecture below `target`. Each is checked again."""
    wanted = wanted_hashes(package)
    machine = MACHINES[architecture]
    for path in sorted(wheels.glob("*.whl")):
        named = _FILE_NAME.fullmatch(path.name)
        if named is None or not (named["platform"] == "any" or machine in named["platform"]):
            continue
        digest = _digest(path)
        if digest not in wanted:
            continue
        wanted.remove(digest)
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(target)
    foreign = {_digest(path) for path in wheels.glob("*.whl") if machine not in path.name}
    if missing := wanted - foreign:
        sys.exit(f"{len(missing)} wheels of {package} are not in {wheels}: make deb fetches them")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("pin")
    verbs.add_parser("fetch").add_argument("directory", type=Path)
    unpacking = verbs.add_parser("unpack")
    unpacking.add_argument("wheels", type=Path)
    unpacking.add_argument("package", choices=PACKAGES)
    unpacking.add_argument("architecture", choices=MACHINES)
    unpacking.add_argument("target", type=Path)
    given = parser.parse_args()
    match given.verb:
        case "pin":
            for package in PACKAGES:
                pin(package)
        case "fetch":
            fetch(given.directory)
        case "unpack":
            unpack(given.wheels, given.package, given.architecture, given.target)


if __name__ == "__main__":
    main()
