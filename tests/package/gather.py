"""Our package and all that Debian 13 needs for it, into build/deb-guest: for a guest without a network.

python -m tests.package.gather
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.package.conftest import ARCHITECTURE, BUILT, ROOT, bare, run

NOT_NEEDED = ("systemd", "libsystemd", "udev", "libudev", "kmod", "libkmod", "dbus", "bluez_", "libc6", "adduser")
"""The guest has its own."""


def main() -> None:
    target = ROOT / "build" / "deb-guest"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (ours,) = BUILT.glob(f"bluezoned_*_{ARCHITECTURE}.deb")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        run("tar", "-C", root, "-xpf", bare("trixie"), "--numeric-owner")
        for name in ("resolv.conf", "hosts"):
            shutil.copy(f"/etc/{name}", root / "etc")
        shutil.copy(ours, root / "tmp")
        fetch = f"apt-get update -q && apt-get install -q -y --download-only --no-install-recommends /tmp/{ours.name}"
        subprocess.run(["chroot", root, "sh", "-c", fetch], check=True, stdout=subprocess.DEVNULL)
        for package in (root / "var/cache/apt/archives").glob("*.deb"):
            if not package.name.startswith(NOT_NEEDED):
                shutil.copy(package, target)
    shutil.copy(ours, target)
    print(f"{len(list(target.iterdir()))} packages in {target}")


if __name__ == "__main__":
    main()
