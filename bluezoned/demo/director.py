"""Sets the stage, plays the story step by step and compares what the lights show with what they must.

With `kills`, pulls the plug of a random program at random moments and starts it again: the end must be the same.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bluezoned.control.report import StatusReport
from bluezoned.demo import scene, story
from bluezoned.demo.cast import Authority, Beacon, Bus, DemoError, Stage, free_port
from bluezoned.demo.story import Advance, Consent, Expect, OpenCase, Revoke, Say, Step, SyncAll
from bluezoned.errors import BluezonedError
from bluezoned.radio.desk import Desk
from bluezoned.radio.ether import Ether

TRIES = 5
"""Visits to an authority whose plug was pulled; one is enough when nobody pulls."""

LATEST_KILL_S = 0.4
"""Seconds after the start of a step until which a plug is pulled: a sync takes about that long."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One act as it must end and as it did."""

    act: str
    expected: dict[str, str]
    observed: dict[str, str]

    @property
    def is_right(self) -> bool:
        return self.expected == self.observed


@dataclass(slots=True)
class Scene:
    """What the audience can see at one moment."""

    now: int
    status: dict[str, StatusReport] = field(default_factory=dict)
    minutes_near: dict[str, int] = field(default_factory=dict)
    level: dict[str, float] = field(default_factory=dict)
    """dBm, mean of what a box heard in the last step; absent when it heard nobody."""
    fetched: dict[str, int] = field(default_factory=dict)
    """Signed batches that a box's sync has brought."""
    sent: dict[str, int] = field(default_factory=dict)
    """Sealed uploads that it has carried out."""


Audience = Callable[[Scene, str], None]
"""Called with the present scene and a line to say, empty for none."""


class Director:
    """Plays the story once."""

    def __init__(self, protocol: str, directory: Path, audience: Audience, kills: int, seed: int) -> None:
        self._protocol = protocol
        self._directory = directory
        self._audience = audience
        self._random = random.Random(seed)
        self._kills = self._moments(kills)
        self._ether = Ether()
        self._scene = Scene(story.START)
        self._cases: dict[str, str] = {}
        self._pulling = asyncio.Lock()
        self.killed: list[str] = []
        """Whose plug was pulled, in order."""

    def _moments(self, kills: int) -> list[int]:
        """In which steps plugs are pulled: half of them where something travels, half anywhere."""
        busy = [n for n, step in enumerate(story.STEPS) if isinstance(step, SyncAll | Consent | Revoke)]
        anywhere = range(len(story.STEPS))
        return [self._random.choice(busy if kill % 2 else anywhere) for kill in range(kills)]

    async def play(self) -> list[Outcome]:
        """Every act's outcome. DemoError when a program fails for good."""
        outcomes: list[Outcome] = []
        async with self._set() as (self._stage, self._desk, self._authority, self._beacons):
            for number, step in enumerate(story.STEPS):
                plugs = [asyncio.create_task(self._pull_a_plug()) for _ in range(self._kills.count(number))]
                outcome = await self._step(step)
                for plug in plugs:
                    await plug
                if outcome is not None:
                    outcomes.append(outcome)
                await self._look()
        if self.killed:
            self._say(f"{len(self.killed)} plugs were pulled on the way: {', '.join(self.killed)}.")
        return outcomes

    @asynccontextmanager
    async def _set(self) -> AsyncIterator[tuple[Stage, Desk, Authority, dict[str, Beacon]]]:
        async with AsyncExitStack() as stack:
            bus_environment = Stage(self._directory, self._directory / "desk", "", 0).environment
            bus = Bus(self._directory, bus_environment)
            stage = Stage(self._directory, self._directory / "desk", bus.address, free_port())
            scene.furnish(self._ether)
            desk = await stack.enter_async_context(Desk(self._ether, story.START, stage.desk))
            authority = Authority(stage)
            await authority.init()
            key = (authority.data / "device.toml").read_text()
            beacons = {name: Beacon(name, stage, self._settings(name, stage, key)) for name in story.NAMES}
            for player in (bus, authority, *beacons.values()):
                stack.push_async_callback(player.stop)
                await player.start()
            await authority.ready()
            for beacon in beacons.values():
                await beacon.ready()
            yield stage, desk, authority, beacons

    def _settings(self, name: str, stage: Stage, device_toml: str) -> str:
        return scene.settings(name, self._protocol, stage.directory, stage.bus, stage.url, device_toml)

    # the steps

    async def _step(self, step: Step) -> Outcome | None:
        match step:
            case Say(text):
                self._say(text)
            case Advance(to):
                await self._desk.advance(to)
                self._measure(self._scene.now, to)
                self._scene.now = to
            case SyncAll():
                for beacon in self._beacons.values():
                    await self._sync(beacon)
            case OpenCase(box, tier, source):
                await self._open_case(box, tier, source)
            case Consent(box):
                await self._consent(self._beacons[box])
            case Revoke(box):
                await self._authority.act("revoke", self._cases[box])
            case Expect(act, lights):
                return await self._compare(act, lights)
        return None

    async def _open_case(self, box: str, tier: str, source: str | None) -> None:
        origin = () if source is None else ("--source", self._cases[source])
        answer = await self._authority.act("case", "create", "--tier", tier, *origin)
        self._cases[box] = str(answer["case"])

    async def _consent(self, beacon: Beacon) -> None:
        answer = await self._authority.act("code", "issue", self._cases[beacon.name])
        await beacon.consent(answer["code"])
        self._say(f"{beacon.name.upper()} agrees; the box seals its own keys and sync carries them out.")
        await self._sync(beacon)

    async def _sync(self, beacon: Beacon) -> None:
        """One firing of the timer, repeated while plugs are pulled."""
        for _ in range(TRIES):
            process = await beacon.start_sync()
            self._syncing = process
            output, _ = await process.communicate()
            if process.returncode == 0:
                report = json.loads(output)
                scene = self._scene
                scene.fetched[beacon.name] = scene.fetched.get(beacon.name, 0) + report["batches"]
                scene.sent[beacon.name] = scene.sent.get(beacon.name, 0) + report["uploads"]
                return
            await self._authority.ready()
        raise DemoError(f"box {beacon.name} could not reach the authority: see {self._authority.log}")

    async def _compare(self, act: str, lights: dict[str, str]) -> Outcome:
        observed = {}
        for name, beacon in self._beacons.items():
            light = (await beacon.status()).indication
            observed[name] = light if light in (story.OWN_CASE, story.F1, story.F2) else story.DARK
        outcome = Outcome(act, lights, observed)
        self._say(f"{act}: " + ("as expected" if outcome.is_right else "NOT AS EXPECTED"))
        return outcome

    # the audience

    async def _look(self) -> None:
        for name, beacon in self._beacons.items():
            beacon.check()
            with suppress(BluezonedError):
                self._scene.status[name] = await beacon.status()
                self._scene.minutes_near[name] = await beacon.minutes_near()
        self._audience(self._scene, "")

    def _measure(self, start: int, end: int) -> None:
        for name in story.NAMES:
            levels = [reception.rssi for reception in self._ether.heard(name, start, end)]
            if levels:
                self._scene.level[name] = sum(levels) / len(levels)
            else:
                self._scene.level.pop(name, None)

    def _say(self, text: str) -> None:
        self._audience(self._scene, text)

    # the plugs

    _syncing: asyncio.subprocess.Process | None = None

    async def _pull_a_plug(self) -> None:
        """Kill one program in the midst of the present step, and start it again."""
        await asyncio.sleep(self._random.uniform(0, LATEST_KILL_S))
        if self._syncing is not None and self._syncing.returncode is None and self._random.random() < 0.5:
            self.killed.append("sync")
            with suppress(ProcessLookupError):
                self._syncing.kill()
            return
        victims: list[Authority | Beacon] = [self._authority, *self._beacons.values()]
        victim = self._random.choice(victims)
        self.killed.append(victim.name)
        # One at a time: two plugs of one box pulled at once would start it twice.
        async with self._pulling:
            await victim.kill()
            await victim.start()
            await victim.ready()
