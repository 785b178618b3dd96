"""Another program that searches behind bluetoothd's back: it asks the kernel for a search, over and over, so that
whoever asks besides is refused.

python -m tests.system.rival_search hci0 hci1...

Linux, Documentation of the management interface (bluez, doc/mgmt-api.txt): Start Discovery Command.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import time

AF_BLUETOOTH, BTPROTO_HCI = 31, 1
CHANNEL_CONTROL, NO_DEVICE = 3, 0xFFFF
START_DISCOVERY = 0x0023
LOW_ENERGY = 0x06
"""Public and random addresses."""

PAUSE_S = 0.02
"""A search lasts ten seconds, and others find the kernel free for so long at most between two."""


def main(adapters: list[str]) -> None:
    """Until killed; says so once the first search was asked for."""
    with socket.socket(AF_BLUETOOTH, socket.SOCK_RAW, BTPROTO_HCI) as kernel:
        # Python binds this family to a device only, not to a channel.
        address = struct.pack("<HHH", AF_BLUETOOTH, NO_DEVICE, CHANNEL_CONTROL)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.bind(kernel.fileno(), address, len(address)):
            raise OSError(ctypes.get_errno(), f"no management channel: {os.strerror(ctypes.get_errno())}")
        kernel.setblocking(False)
        orders = [
            struct.pack("<HHHB", START_DISCOVERY, int(name.removeprefix("hci")), 1, LOW_ENERGY) for name in adapters
        ]
        is_told = False
        while True:
            for order in orders:
                kernel.send(order)
            if not is_told:
                print("searching", flush=True)
                is_told = True
            time.sleep(PAUSE_S)
            _drain(kernel)


def _drain(kernel: socket.socket) -> None:
    """Answers and events, which nobody wants."""
    try:
        while kernel.recv(1024):
            pass
    except BlockingIOError:
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
