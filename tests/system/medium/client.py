"""Orders to the medium, and its log."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOCKET, LOG = Path("/run/air.sock"), Path("/run/air.jsonl")


@dataclass(frozen=True, slots=True)
class Packet:
    """One advertising packet on the air."""

    at: float
    """Seconds UTC."""
    tx: int
    """Number of the controller."""
    address: str
    address_kind: str
    """`public`, `static`, `RPA` or `NRPA`."""
    kind: str
    """`ADV_NONCONN_IND` and so on."""
    data: str
    """Hex."""


class Air:
    """The medium, from a test."""

    def __init__(self, order_socket: Path = SOCKET, log: Path = LOG) -> None:
        self._socket = order_socket
        self._log = log

    def order(self, do: str, **what: Any) -> dict[str, Any]:
        """See Medium.obey. RuntimeError when it cannot be done."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(json.dumps({"do": do, **what}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(connection.makefile().readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def adapter(self, controller: int) -> str:
        """`hciN` of a controller that is plugged in."""
        return f"hci{self.order('look')['adapters'][str(controller)]}"

    def set_rssi(self, tx: int, rx: int, levels: Sequence[int]) -> None:
        """dBm of the packets from one controller to another, begun anew at the end."""
        self.order("rssi", tx=tx, rx=rx, levels=list(levels))

    def phone(
        self, rx: int, address: str, data: bytes, rssi: int = -60, kind: int = 3, every_ms: int = 250, times: int = 1
    ) -> None:
        """Somebody else's device near controller `rx`; `kind` 0 is connectable, 3 is not."""
        what = {"rx": rx, "address": address, "data": data.hex(), "rssi": rssi}
        self.order("phone", **what, kind=kind, every_ms=every_ms, times=times)

    def crowd(
        self, rx: int, per_second: int, seconds: int, residents: Sequence[bytes], visitors: int, rssi: int = -60
    ) -> None:
        """See Crowd. It comes at once and goes by itself, or with `send_phones_away`."""
        sent = [data.hex() for data in residents]
        self.order("crowd", rx=rx, per_second=per_second, seconds=seconds, residents=sent, visitors=visitors, rssi=rssi)

    def crowd_tally(self) -> tuple[int, int]:
        """Packets sent so far by the residents and the visitors of the crowd."""
        tally = self.order("crowd_tally")
        return tally["residents"], tally["visitors"]

    def mark(self) -> int:
        """A place in the log."""
        return self._log.stat().st_size

    def has_sent(self, mark: int, tx: int, content: str) -> bool:
        """Whether controller `tx` sent something with that in it (hex) since then; cheap, to be asked often."""
        with self._log.open() as log:
            log.seek(mark)
            return any(content in line and f'"tx": {tx},' in line for line in log)

    def since(self, mark: int, tx: int) -> list[Packet]:
        """What controller `tx` sent since then."""
        with self._log.open() as log:
            log.seek(mark)
            lines = log.read().splitlines(keepends=True)
        packets = [Packet(**json.loads(line)) for line in lines if line.endswith("\n")]
        return [packet for packet in packets if packet.tx == tx]
