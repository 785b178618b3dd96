"""Bare Debian systems in directories, to install the packages in. Needs root; the bare ones are kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "deb"
ARCHITECTURE = subprocess.run(
    ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
).stdout.strip()


def run(*command: str | Path) -> str:
    """What a command said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


class Machine:
    """A Debian in a directory. No systemd runs there: what units do is the virtual machine's to show."""

    def __init__(self, suite: str, root: Path) -> None:
        self.suite = suite
        self.root = root

    def run(self, command: str) -> str:
        """What a shell said there."""
        clean = "env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive"
        # Its mounts end with the command. The archives that apt brought stay for the next machine.
        archives = _cache() / f"{self.suite}-archives"
        archives.mkdir(exist_ok=True)
        inside = (
            f"mount -t proc proc {self.root}/proc && mount --rbind /dev {self.root}/dev && "
            f"mount --bind {archives} {self.root}/var/cache/apt/archives && "
            f'exec chroot {self.root} {clean} sh -ec "$1"'
        )
        return run("unshare", "--mount", "sh", "-c", inside, "sh", command)

    def install(self, *packages: Path) -> None:
        """With apt, as its user would, and what they depend on."""
        for package in packages:
            shutil.copy(package, self.root / "tmp")
        names = " ".join(f"/tmp/{package.name}" for package in packages)
        self.run(
            "apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-confdef "
            f"-o APT::Keep-Downloaded-Packages=true {names}"
        )

    def paths(self) -> set[str]:
        """All that lies there, but for what the tools of installing note down."""
        noted = ("var/lib/dpkg/", "var/lib/apt/", "var/cache/", "var/log/", "tmp/", "proc/", "dev/", "etc/ssl/")
        found = (str(path.relative_to(self.root)) for path in self.root.rglob("*"))
        return {path for path in found if not path.startswith(noted)}


def _cache() -> Path:
    return Path(os.environ.get("BLUEZONED_ROOTS_CACHE", Path.home() / ".cache" / "bluezoned" / "roots"))


def bare(suite: str) -> Path:
    """Debian's smallest, as a tar; made where none is kept."""
    kept = _cache() / f"{suite}.tar"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        run(ROOT / "need.sh", "mmdebstrap")
        new = kept.with_suffix(".new.tar")
        run("mmdebstrap", "--quiet", "--variant=minbase", "--aptopt=Acquire::Languages none", suite, new)
        new.rename(kept)
    return kept


@pytest.fixture(scope="session", params=["bookworm", "trixie"])
def suite(request: pytest.FixtureRequest) -> str:
    """Debian 12 and 13."""
    return str(request.param)


@pytest.fixture(scope="session")
def machine(suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A bare one, for all tests of one suite in their order."""
    root = tmp_path_factory.mktemp(suite) / "root"
    root.mkdir()
    # Those who are not root on this machine must be able to walk in: the packages' own users.
    for parent in (root.parent, root.parent.parent):
        parent.chmod(0o755)
    run("tar", "-C", root, "-xpf", bare(suite), "--numeric-owner")
    shutil.copy("/etc/resolv.conf", root / "etc")
    shutil.copy("/etc/hosts", root / "etc")
    (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    found = Machine(suite, root)
    found.run("apt-get update -q")
    yield found
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def packages() -> dict[str, Path]:
    """Name to the package that make deb built for this machine."""
    found = {path.name.partition("_")[0]: path for path in sorted(BUILT.glob(f"*_{ARCHITECTURE}.deb"))}
    assert set(found) == {"bluezoned", "bluezone-authority"}, "make deb"
    return found
