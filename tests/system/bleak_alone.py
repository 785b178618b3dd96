"""What bleak itself costs: a scan as ours, whose callback only counts. Prints one line of JSON when told to end.

python -m tests.system.bleak_alone hci0 UUID...
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import AsyncExitStack

from bleak import BleakScanner
from bleak.args.bluez import BlueZDiscoveryFilters
from bleak.assigned_numbers import AdvertisementDataType


async def main(adapter: str, uuids: list[str]) -> None:
    heard = 0

    def count(device: object, advertisement: object) -> None:
        nonlocal heard
        heard += 1

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    filters = BlueZDiscoveryFilters(RSSI=-127, DuplicateData=True, UUIDs=uuids)
    nothing = (0, AdvertisementDataType.FLAGS, b"\xff\xff\xff\xff")
    async with AsyncExitStack() as stack:
        # The monitor, which lets repeated packets through, is bleak's own passive scan.
        await stack.enter_async_context(
            BleakScanner(count, scanning_mode="passive", bluez={"adapter": adapter, "or_patterns": [nothing]})
        )
        await stack.enter_async_context(BleakScanner(count, bluez={"adapter": adapter, "filters": filters}))
        print("scanning", flush=True)
        begun, heard = time.process_time(), 0
        await ended.wait()
        print(json.dumps({"heard": heard, "cpu_s": time.process_time() - begun}), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2:]))
