"""One virtual Bluetooth controller: RootCanal's, behind /dev/vhci, so that the kernel takes it for a dongle.

RootCanal is loaded as the shared library that its Python package carries; importing the package itself would cost
seconds under emulation.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import os
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_size_t, c_ubyte, c_uint, c_void_p
from pathlib import Path

_SEND_HCI = CFUNCTYPE(None, c_void_p, c_int, POINTER(c_ubyte), c_size_t)
_SEND_LL = CFUNCTYPE(None, c_void_p, POINTER(c_ubyte), c_size_t, c_int, c_int)
_RANDOM = CFUNCTYPE(c_uint, c_void_p, c_void_p)

_LEGACY = bytes((0x12, 0x04, 0x08, 0x00, 0x10, 0x00))
"""RootCanal's configuration: features { le_extended_advertising: false, le_periodic_advertising: false }."""

_VENDOR_PACKET = 0xFF
"""Of /dev/vhci: creates the controller, and is answered with its number."""

Transmit = Callable[[int, bytes, int], None]
"""Number of the controller, link layer packet, phy."""


def _library() -> ctypes.CDLL:
    found = importlib.util.find_spec("rootcanal")
    assert found is not None
    assert found.origin is not None
    library = ctypes.CDLL(str(Path(found.origin).parent / "bin/linux-x86_64/librootcanal_ffi.so"))
    library.ffi_controller_new.restype = c_void_p
    return library


class Controller:
    """Number `number`; with `is_legacy`, one without LE extended advertising, as all on-board ones of a Pi are."""

    library = _library()

    def __init__(self, number: int, is_legacy: bool, transmit: Transmit) -> None:
        self.number = number
        self.hci_index: int | None = None
        """Of `hciN`, as the kernel said."""
        self.commands = 0
        """HCI packets that came from the kernel."""
        self._is_legacy = is_legacy
        self._transmit = transmit
        self._address = bytes((number + 1, 0x00, 0x00, 0x01, 0xAA, 0x00))
        self._file: int | None = None
        self._instance: int | None = None
        # Kept, because the library holds only their addresses.
        self._callbacks = (_SEND_HCI(self._to_kernel), _SEND_LL(self._to_air), _RANDOM(lambda _a, _b: 100))

    def load(self) -> None:
        """Create it. All are, before the first is plugged in: loading the library outlasts the kernel's patience of
        2 s with a controller."""
        if self._instance is None:
            to_kernel, to_air, random = self._callbacks
            configuration = c_char_p(_LEGACY) if self._is_legacy else None
            self._instance = self.library.ffi_controller_new(
                c_char_p(self._address), to_kernel, to_air, None, random, None,
                configuration, c_size_t(len(_LEGACY) if self._is_legacy else 0),
            )  # fmt: skip

    def plug_in(self) -> None:
        """The kernel sees a new adapter."""
        self.load()
        self._file = os.open("/dev/vhci", os.O_RDWR | os.O_NONBLOCK)
        os.write(self._file, bytes((_VENDOR_PACKET, 0)))
        asyncio.get_running_loop().add_reader(self._file, self._from_kernel)

    def unplug(self) -> None:
        """The adapter is pulled out; what it was told is lost."""
        assert self._file is not None
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)
        instance, self._file, self._instance, self.hci_index = self._instance, None, None, None
        self.library.ffi_controller_delete(c_void_p(instance))

    def tick(self) -> None:
        """Time passes."""
        if self._instance is not None:
            self.library.ffi_controller_tick(c_void_p(self._instance))

    def receive(self, packet: bytes, phy: int, rssi: int) -> None:
        """A link layer packet reaches the antenna with `rssi` dBm."""
        if self._instance is not None:
            self.library.ffi_controller_receive_ll(
                c_void_p(self._instance), c_char_p(packet), c_size_t(len(packet)), c_int(phy), c_int(rssi)
            )

    def _from_kernel(self) -> None:
        assert self._file is not None
        try:
            packet = os.read(self._file, 4096)
        except BlockingIOError:
            return
        if not packet:
            return
        if packet[0] == _VENDOR_PACKET:
            self.hci_index = int.from_bytes(packet[2:4], "little")
            return
        self.commands += 1
        self.library.ffi_controller_receive_hci(
            c_void_p(self._instance), c_int(packet[0]), c_char_p(packet[1:]), c_size_t(len(packet) - 1)
        )

    def _to_kernel(self, _context: int, kind: int, data: object, size: int) -> None:
        if self._file is not None:
            try:
                os.write(self._file, bytes((kind,)) + ctypes.string_at(data, size))  # type: ignore[arg-type]
            except OSError as error:
                print(f"controller {self.number}: the kernel takes nothing: {error}", flush=True)

    def _to_air(self, _context: int, data: object, size: int, phy: int, _power: int) -> None:
        self._transmit(self.number, ctypes.string_at(data, size), phy)  # type: ignore[arg-type]
