"""An authority with its portal and some real boxes, each a process, on one desk."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from bluezoned.authority.house import found_house
from bluezoned.demo import scene
from bluezoned.demo.cast import Beacon, Bus, Stage, program, run
from bluezoned.radio.desk import Desk
from bluezoned.radio.ether import Ether
from tests.authority.portal.conftest import EVENING
from tests.authority.portal.served import Served


class Town:
    """An authority with its portal, and boxes."""

    def __init__(self, served: Served, stage: Stage, boxes: dict[str, Beacon]) -> None:
        self.served, self.desk, self.boxes = served, served.desk, boxes
        self._stage = stage

    async def sync(self) -> None:
        for box in self.boxes.values():
            process = await box.start_sync()
            await process.communicate()
            assert process.returncode == 0

    async def light(self, name: str) -> str:
        return (await self.boxes[name].status()).indication

    async def ctl(self, name: str, *words: str, zone: str) -> None:
        """`bluezonectl` beside that box, whose clock on the wall goes by `zone`."""
        settings = self._stage.directory / f"{name}.toml"
        await run(self._stage, "env", f"TZ={zone}", program("bluezonectl"), "--config", str(settings), *words)


@asynccontextmanager
async def built(directory: Path, ether: Ether, boxes: Mapping[str, str]) -> AsyncIterator[Town]:
    """From EVENING on. `boxes`: more lines for the section [beacon] of each, by its name."""
    environment = Stage(directory, directory / "desk", "", 0).environment
    bus = Bus(directory, environment)
    found_house(directory / "authority", "Ward-3", os.urandom)
    key = (directory / "authority" / "device.toml").read_text()
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(Desk(ether, EVENING, directory / "desk"))
        served = Served(directory, desk, directory / "desk")
        stack.push_async_callback(served.stop)
        await served.start()
        stage = Stage(directory, directory / "desk", bus.address, served.port)
        started = {}
        for name, lines in boxes.items():
            settings = scene.settings(name, "bluezone", directory, bus.address, stage.url, key)
            started[name] = Beacon(name, stage, settings.replace("[beacon]\n", f"[beacon]\n{lines}"))
        for player in (bus, *started.values()):
            stack.push_async_callback(player.stop)
            await player.start()
        for box in started.values():
            await box.ready()
        yield Town(served, stage, started)
