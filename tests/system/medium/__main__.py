"""The air: several virtual controllers that hear one another, with every packet written down.

    python -m tests.system.medium --controllers 4 --legacy 2,3

Orders come over a unix socket, one JSON object a line: see tests/system/medium/client.py, which sends them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tests.system.medium.controller import Controller
from tests.system.medium.crowd import LEGACY_ADVERTISING, Crowd, legacy_packet

TICK_S = 0.005
DEFAULT_RSSI = -50

_EXTENDED_ADVERTISING = 0x37
"""RootCanal's number of that link layer packet."""

_TYPES = {0: "ADV_IND", 1: "ADV_DIRECT_IND", 2: "ADV_SCAN_IND", 3: "ADV_NONCONN_IND"}
_RANDOM_KINDS = {0: "NRPA", 1: "RPA", 3: "static"}


def address_kind(is_random: bool, address: bytes) -> str:
    """By the two top bits (Core 5.4, vol 6, part B, 1.3.2)."""
    return _RANDOM_KINDS.get(address[5] >> 6, "?") if is_random else "public"


class Medium:
    """Who hears whom, how loud, and what was said."""

    def __init__(self, count: int, legacy: set[int], log: Path) -> None:
        self._log = log.open("w", buffering=1)
        self._rssi: dict[tuple[int, int], list[int]] = {}
        self._loss: dict[tuple[int, int], float] = {}
        self._muted: set[int] = set()
        self._gagged: set[int] = set()
        self._chance = random.Random(1)
        self._phones: set[asyncio.Task[None]] = set()
        self._crowd: Crowd
        self.controllers = [Controller(number, number in legacy, self._transmit) for number in range(count)]

    async def run(self) -> None:
        """Plug all in, one after another, then let time pass."""
        for controller in self.controllers:
            controller.load()
        ticking = asyncio.create_task(self._tick())
        for controller in self.controllers:
            controller.plug_in()
            await self._set_up(controller)
        print("the air is up", flush=True)
        # RootCanal tells each command on the standard output.
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        await ticking

    async def _set_up(self, controller: Controller) -> None:
        """Until the kernel has asked it all it wants to know."""
        seen = -1
        while seen != controller.commands or seen < 10:
            seen = controller.commands
            await asyncio.sleep(0.5)

    async def _tick(self) -> None:
        while True:
            for controller in self.controllers:
                controller.tick()
            await asyncio.sleep(TICK_S)

    def _transmit(self, sender: int, packet: bytes, phy: int) -> None:
        if sender in self._gagged:
            return
        self._write_down(sender, packet)
        loop = asyncio.get_running_loop()
        for receiver in self.controllers:
            path = (sender, receiver.number)
            if receiver.number == sender or receiver.number in self._muted:
                continue
            if self._chance.random() >= self._loss.get(path, 0.0):
                levels = self._rssi.get(path, [DEFAULT_RSSI])
                levels.append(levels.pop(0))
                loop.call_soon(receiver.receive, packet, phy, levels[-1])

    def _write_down(self, sender: int, packet: bytes) -> None:
        if packet[0] == LEGACY_ADVERTISING:
            kind, data = _TYPES.get(packet[15], str(packet[15])), packet[16:]
        elif packet[0] == _EXTENDED_ADVERTISING:
            kind, data = "EXTENDED", packet[22:]
        else:
            return
        address = packet[1:7]
        line = {
            "at": round(time.time(), 4),
            "tx": sender,
            "address": ":".join(f"{byte:02X}" for byte in address[::-1]),
            "address_kind": address_kind(bool(packet[13]), address),
            "kind": kind,
            "data": data.hex(),
        }
        self._log.write(json.dumps(line) + "\n")

    # orders

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order; the answer names the adapters."""
        match order.pop("do"):
            case "look":
                pass
            case "rssi":
                self._rssi[order["tx"], order["rx"]] = list(order["levels"])
            case "loss":
                self._loss[order["tx"], order["rx"]] = order["share"]
            case "mute":
                self._muted.add(order["rx"])
            case "unmute":
                self._muted.discard(order["rx"])
            case "gag":
                self._gagged.add(order["tx"])
            case "ungag":
                self._gagged.discard(order["tx"])
            case "unplug":
                self.controllers[order["controller"]].unplug()
            case "plug_in":
                self.controllers[order["controller"]].plug_in()
            case "phone":
                self._begin(self._phone(**order))
            case "crowd":
                self._crowd = Crowd(**order)
                self._begin(self._crowd.send(self._receive))
            case "crowd_tally":
                return {"residents": self._crowd.residents_sent, "visitors": self._crowd.visitors_sent}
            case "send_phones_away":
                for phone in self._phones:
                    phone.cancel()
            case unknown:
                return {"error": f"no such order: {unknown}"}
        return {"adapters": {c.number: c.hci_index for c in self.controllers}}

    def _begin(self, sending: Coroutine[Any, Any, None]) -> None:
        phone = asyncio.create_task(sending)
        self._phones.add(phone)
        phone.add_done_callback(self._phones.discard)

    def _receive(self, rx: int, packet: bytes, rssi: int) -> None:
        if rx not in self._muted:
            self.controllers[rx].receive(packet, 0, rssi)

    async def _phone(self, rx: int, address: str, data: str, rssi: int, kind: int, every_ms: int, times: int) -> None:
        """A sender that is no controller of ours, near one receiver."""
        packet = legacy_packet(bytes.fromhex(address.replace(":", ""))[::-1], kind, bytes.fromhex(data))
        for _ in range(times):
            self._receive(rx, packet, rssi)
            await asyncio.sleep(every_ms / 1000)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--controllers", type=int, default=4)
    parser.add_argument("--legacy", default="2,3", help="numbers of those without extended advertising")
    parser.add_argument("--log", type=Path, default=Path("/run/air.jsonl"))
    parser.add_argument("--socket", type=Path, default=Path("/run/air.sock"))
    given = parser.parse_args()
    medium = Medium(given.controllers, {int(number) for number in given.legacy.split(",") if number}, given.log)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            try:
                answer = await medium.obey(json.loads(line))
            except (KeyError, TypeError, ValueError, OSError) as error:
                answer = {"error": repr(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    given.socket.unlink(missing_ok=True)
    await asyncio.start_unix_server(talk, given.socket)
    await medium.run()


asyncio.run(main())
