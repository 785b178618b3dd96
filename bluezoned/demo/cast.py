"""Who plays: the bus, the authority and the boxes, each a real process that can be started, asked and killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluezoned.bus import BusError
from bluezoned.control import proxy
from bluezoned.control.report import StatusReport
from bluezoned.errors import BluezonedError

STARTING_S = 30.0
"""Seconds that a program may take to answer: imports take a second here and eight on a Pi Zero 2 W."""


class DemoError(BluezonedError):
    """The demo cannot go on; the sentence says which program failed and what it said."""


class Player:
    """One long-running process, its output in a file."""

    def __init__(self, name: str, command: Sequence[str], directory: Path, environment: dict[str, str]) -> None:
        self.name = name
        self._command = list(command)
        self.log = directory / f"{name}.log"
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment
            )

    def check(self) -> None:
        """DemoError when the process has ended on its own."""
        if self._process is not None and self._process.returncode is not None:
            tail = self.log.read_text(errors="replace").strip().splitlines()[-5:]
            raise DemoError(f"{self.name} ended with status {self._process.returncode}: " + " / ".join(tail))

    async def kill(self) -> None:
        """As a pulled plug would: no word of warning."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        await process.wait()


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything stands."""

    directory: Path
    desk: Path
    """Socket of the desk: the ether and the clock."""
    bus: str
    """Address of a private D-Bus."""
    port: int
    """Of the authority, on loopback."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the caller's settings, so that the demo plays the same everywhere."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BLUEZONED_") and k != "JOURNAL_STREAM"}
        return kept | {"PYTHONUNBUFFERED": "1"}


def program(name: str) -> str:
    """Path of one of our console scripts, beside the running Python."""
    return str(Path(sys.executable).parent / name)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def run(stage: Stage, *command: str, good: Sequence[int] = (0,)) -> str:
    """Standard output of a short-lived program. DemoError when it ends with another status than `good`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=stage.environment,
    )
    output, complaints = await process.communicate()
    if process.returncode not in good:
        raise DemoError(
            f"{Path(command[0]).name} ended with status {process.returncode}: {complaints.decode().strip()}"
        )
    return output.decode()


class Bus(Player):
    """A private D-Bus, so that the demo needs no root and disturbs nobody."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.address = f"unix:path={directory / 'bus'}"
        command = ("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={self.address}")
        super().__init__("dbus", command, directory, environment)


class Authority(Player):
    """The health authority: a server, and the acts of its staff."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.data = stage.directory / "authority"
        command = (program("bluezone-authority"), "serve", "--data", str(self.data), "--port", str(stage.port),
                   "--desk", str(stage.desk))  # fmt: skip
        super().__init__("authority", command, stage.directory, stage.environment)

    async def init(self) -> None:
        await run(self._stage, program("bluezone-authority"), "init", "--data", str(self.data), "--yes")

    async def ready(self) -> None:
        """Returns when the server answers."""
        for _ in range(int(STARTING_S / 0.05)):
            self.check()
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._stage.port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.05)
        raise DemoError("the authority did not start: see " + str(self.log))

    async def act(self, *words: str) -> Any:
        """One act of the staff; its answer."""
        output = await run(
            self._stage, program("bluezone-authority"), *words, "--data", str(self.data), "--json",
            "--desk", str(self._stage.desk),
        )  # fmt: skip
        return json.loads(output)


class Beacon(Player):
    """One box: the daemon, and the sync that its timer would start."""

    def __init__(self, name: str, stage: Stage, settings: str) -> None:
        self._stage = stage
        self._settings = stage.directory / f"{name}.toml"
        self._settings.write_text(settings)
        command = (program("bluezoned"), "--config", str(self._settings), "--desk", f"{stage.desk}:{name}")
        super().__init__(name, command, stage.directory, stage.environment)

    async def ready(self) -> None:
        """Returns when the daemon answers on the bus."""
        for _ in range(int(STARTING_S / 0.05)):
            self.check()
            with contextlib.suppress(BluezonedError):
                await self.status()
                return
            await asyncio.sleep(0.05)
        raise DemoError(f"box {self.name} did not start: see {self.log}")

    async def status(self) -> StatusReport:
        async with proxy.reached(self._stage.bus, self.name) as daemon:
            return await daemon.status()

    async def minutes_near(self) -> int:
        """Of all days, as the box estimates them."""
        async with proxy.reached(self._stage.bus, self.name) as daemon:
            return sum(day.minutes_near for day in await daemon.encounters())

    async def consent(self, code: str) -> None:
        """The carrier's yes, once: asked again only when the first did not reach the store."""
        for _ in range(3):
            try:
                async with proxy.reached(self._stage.bus, self.name) as daemon:
                    if (await daemon.status()).last_upload != "pending":
                        await daemon.consent(code)
                return
            except BusError:
                await self.ready()
        raise DemoError(f"box {self.name} could not take the consent")

    async def start_sync(self) -> asyncio.subprocess.Process:
        """One visit to the authority, under way; it reports as JSON."""
        return await asyncio.create_subprocess_exec(
            program("bluezoned-sync"), "--config", str(self._settings), "--tries", "1", "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._stage.environment,
        )  # fmt: skip
