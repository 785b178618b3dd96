"""Who hears whom: the recordings laid between the boxes, and each box's settings."""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path

from bluezoned.demo import story
from bluezoned.radio.ether import Ether, Packet, Trace

POSITION = 180_000
"""ms that one position was recorded for."""

LEVEL_1M = -67
"""dBm, of the recorded boards; see recordings/README.md."""


def trace(name: str) -> Trace:
    """A recording of the demo: its positions one after the other, begun anew at the end."""
    text = resources.files("bluezoned.demo").joinpath("recordings", f"{name}.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    packets = [
        Packet(int(row["position"]) * POSITION + round(float(row["t_s"]) * 1000), int(row["rssi_dbm"])) for row in rows
    ]
    return Trace(tuple(packets), (int(rows[-1]["position"]) + 1) * POSITION)


def furnish(ether: Ether) -> None:
    """Open a path each way for every meeting of the story."""
    # The first, short meeting in pockets, the two that must count in the open.
    near = iter([trace("near_jeans"), trace("near_open"), trace("near_open")])
    far = trace("far_open")
    for meeting in story.MEETINGS:
        path = next(near) if meeting.near else far
        ether.open_path(meeting.one, meeting.other, path, meeting.start, meeting.end)
        ether.open_path(meeting.other, meeting.one, path, meeting.start, meeting.end)


def settings(name: str, protocol: str, directory: Path, bus: str, url: str, device_toml: str) -> str:
    """A box's bluezoned.toml: its places, its calibration and the authority's fragment as `init` wrote it, which ends
    within its section. No chaff: a story is the same each time."""
    fragment = "".join(
        f'url = "{url}"\n' if line.startswith("url =") else line for line in device_toml.splitlines(keepends=True)
    )
    return f"""\
[beacon]
protocol = "{protocol}"
instance = "{name}"
state_dir = "{directory / name / "state"}"
spool_dir = "{directory / name / "spool"}"

[proximity]
attenuation_1m_db = {-LEVEL_1M}

[control]
bus = "{bus}"

[log]
level = "debug"

{fragment}
chaff_s = 0
"""
