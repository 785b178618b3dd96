"""What the tests inside the virtual machine stand on: the air, the real bluetoothd, programs under systemd."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.medium.client import SOCKET, Air

TREE = Path(__file__).parents[2]

EXTENDED, LEGACY = (0, 1), (2, 3)
"""Controllers: with and without extended advertising."""

AIR_SAID = Path("/run/air.out")
"""What the medium had to say."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--patience", type=float, default=1.0, help="factor for bounds of time, on a machine under load")
    parser.addoption("--crowd-minutes", type=float, default=2.5, help="how long the crowd of test_crowd stays")


def pytest_configure(config: pytest.Config) -> None:
    # By the environment: this module is known by two names, to pytest and to the tests.
    os.environ["BLUEZONED_PATIENCE"] = str(config.getoption("--patience"))


def patient(seconds: float) -> float:
    """A bound of time as the machine's load allows."""
    return seconds * float(os.environ["BLUEZONED_PATIENCE"])


def run(*command: str, check: bool = True) -> str:
    """What a command printed. One that fails unforeseen fails the test with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(90))
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def without_bluetoothd() -> Iterator[None]:
    """Nobody can start it meanwhile: a request on the bus would. The box has it started afterwards."""
    run("systemctl", "mask", "--runtime", "--now", "bluetooth")
    try:
        yield
    finally:
        run("systemctl", "unmask", "--runtime", "bluetooth")


def told(what: Callable[[], object] | str) -> object:
    return what if isinstance(what, str) else what()


def within(seconds: float, holds: Callable[[], bool], what: Callable[[], object] | str) -> float:
    """Seconds until it held. Fails when it does not, with what was awaited, or what there is instead."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > patient(seconds):
            pytest.fail(f"not within {patient(seconds):.0f} s: {told(what)}")
        time.sleep(0.2)
    return time.monotonic() - begun


async def eventually(seconds: float, holds: Callable[[], bool], what: Callable[[], object] | str) -> float:
    """The same, in a loop that has other work."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > patient(seconds):
            pytest.fail(f"not within {patient(seconds):.0f} s: {told(what)}")
        await asyncio.sleep(0.2)
    return time.monotonic() - begun


@pytest.fixture(scope="session")
def air() -> Iterator[Air]:
    """Four controllers on one medium, with the real bluetoothd on them."""
    run("modprobe", "hci_vhci")
    drop_in = Path("/etc/systemd/system/bluetooth.service.d")
    shutil.copytree(TREE / "systemd" / drop_in.name, drop_in, dirs_exist_ok=True)
    run("systemctl", "daemon-reload")
    for _ in range(3):
        with medium_at_work() as air:
            off = next((name for name in map(air.adapter, (*EXTENDED, *LEGACY)) if not becomes_powered(name)), None)
            if off is None:
                yield air
                return
    pytest.fail(f"{off} stays off: {AIR_SAID.read_text()}")


@contextmanager
def medium_at_work() -> Iterator[Air]:
    """Its process, with bluetoothd begun anew on its controllers. Before others: the kernel gives up a controller that
    leaves a command unanswered for two seconds."""
    SOCKET.unlink(missing_ok=True)
    command = ["nice", "-n", "-15", *medium_python(), "-m", "tests.system.medium"]
    with AIR_SAID.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as medium:
        try:
            within(120, lambda: "the air is up" in AIR_SAID.read_text(), AIR_SAID.read_text)
            run("systemctl", "restart", "bluetooth")
            yield Air()
        finally:
            medium.kill()


def medium_python() -> list[str]:
    """The interpreter, with the newer C library that RootCanal needs where the guest has an older one."""
    newer = Path("/opt/newer/usr/lib/x86_64-linux-gnu")
    if not newer.exists():
        return [sys.executable]
    return [str(newer / "ld-linux-x86-64.so.2"), "--library-path", str(newer), sys.executable]


def is_powered(adapter: str) -> bool:
    """As bluetoothd says."""
    command = ("busctl", "get-property", "org.bluez", f"/org/bluez/{adapter}", "org.bluez.Adapter1", "Powered")
    return run(*command, check=False).strip() == "b true"


def becomes_powered(adapter: str) -> bool:
    """Soon."""
    try:
        within(60, lambda: is_powered(adapter), adapter)
    except pytest.fail.Exception:
        return False
    return True


@pytest.fixture(scope="session")
def installed() -> None:
    """The programs and units of this tree."""
    # Here, since boxes stand on what is above.
    from tests.system import boxes

    boxes.install()
