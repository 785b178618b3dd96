"""What the estimator takes in this interpreter on this machine."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence

from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import Payload
from bluezoned.tracing import proximity as shipped
from bluezoned.tracing.encounter import EncounterLog, pack_minutes
from bluezoned.tracing.sighting import Sighting
from tests.bench import judges, proximity
from tests.bench.recordings import Window
from tests.bench.scorecard.table import Table

LIFE = 15
"""Minutes for which a rolling id is on the air."""

PEERS = 200


def cost(scenes: Sequence[Window]) -> Table:
    """What the estimator takes in this interpreter on this machine."""
    packets = [round(level) for w in scenes for level in w.rssi]
    sightings = list(_sightings([packets[place : place + 30] for place in range(0, LIFE * 30, 30)]))

    def hear() -> None:
        log = EncounterLog(5 * shipped.MINUTE)
        for sighting in sightings:
            log.hear(sighting)
        log.changed()

    entries = judges.entries(scenes)
    whole = _seconds(lambda: proximity.batch(entries))
    peer = [proximity.minute(number, packets[number * 30 : number * 30 + 30]) for number in range(LIFE)]
    return Table(
        "Cost",
        "CPython on the machine that wrote this page; a Pi Zero 2 W takes eight to ten times as long. A peer is one "
        f"rolling id, {LIFE} minutes of 30 packets.",
        ("what", "measured", "bound"),
        (
            ("a packet, taken up into its encounter", f"{_seconds(hear) / len(sightings) * 1e6:.2f} us", "20 us"),
            (
                "a packet's share of offsets, smoothing and minutes near",
                f"{whole / len(packets) * 1e6:.2f} us",
                "20 us",
            ),
            ("a peer in memory, while it is met", f"{_bytes_met(packets):.0f} bytes", "1024 bytes"),
            ("a peer as stored, its minutes", f"{len(pack_minutes(peer))} bytes", "1024 bytes"),
        ),
    )


def _sightings(levels: Sequence[Sequence[int]]) -> Iterator[Sighting]:
    """Each minute's levels (dBm) from each of many peers."""
    for number, heard in enumerate(levels):
        for peer in range(PEERS):
            payload = Payload(Opaque(peer.to_bytes(12)), Opaque(peer.to_bytes(4)))
            for place, rssi in enumerate(heard):
                yield Sighting("bluezone", payload, rssi, number * shipped.MINUTE + place * 2000)


def _bytes_met(packets: Sequence[int]) -> float:
    """Of one of many open encounters, everything included."""
    levels = [packets[place : place + 30] for place in range(0, LIFE * 30, 30)]
    tracemalloc.start()
    log = EncounterLog(5 * shipped.MINUTE)
    for sighting in _sightings(levels):
        log.hear(sighting)
    gc.collect()  # also the interpreter's stock of freed tuples, which is the same however many peers are met
    taken = tracemalloc.get_traced_memory()[0] / PEERS
    tracemalloc.stop()
    return taken


def _seconds(work: Callable[[], object]) -> float:
    """The best of three: what the machine does besides only adds."""
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)
