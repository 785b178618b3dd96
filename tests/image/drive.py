"""A double of a card where its physics is missing: what was written and not yet flushed may be lost at a power cut.

Speaks NBD over a socket (doc/proto.md of the NBD project: fixed newstyle, simple replies) to QEMU.
Killing QEMU alone would show too little: all that a guest has written is in the host's memory by then.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

SECTOR = 512

_NBD = 0x4E42444D41474943
_OPTION = 0x49484156454F5054
_OPTION_REPLY = 0x3E889045565A9
_REQUEST = 0x25609513
_REPLY = 0x67446698
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_EXPORT_NAME, _GO, _ABORT = 1, 7, 2
_ACKNOWLEDGED, _INFO, _UNSUPPORTED = 1, 3, 0x80000001
_HAS_FLAGS, _SENDS_FLUSH, _SENDS_FUA = 1, 4, 8
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
_FUA = 1
_EIO = 5


class CardWithACache:
    """Serves `image` on the socket `place`, to one machine at a time."""

    def __init__(self, image: Path, place: Path) -> None:
        self._file = os.open(image, os.O_RDWR)
        self._size = os.fstat(self._file).st_size
        self._unsafe: list[tuple[int, bytes]] = []
        """Written since the last flush, oldest first."""
        self._is_cut = False
        self._mutex = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(place))
        self._listener.listen(1)
        self._place = place
        self.written = 0
        """Bytes, all in all."""
        self.flushes = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self._place.unlink()
        with self._mutex:
            self._is_cut = True
            os.close(self._file)

    def cut(self) -> None:
        """From here on nothing reaches the card, and nothing is answered."""
        with self._mutex:
            self._is_cut = True

    def lose(self, chance: random.Random) -> int:
        """What a power cut makes of the unflushed: any sectors of any writes stand. Bytes that are lost."""
        sectors = [
            (offset + at, data[at : at + SECTOR]) for offset, data in self._unsafe for at in range(0, len(data), SECTOR)
        ]
        share = chance.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        kept = [sector for sector in sectors if chance.random() < share]
        if chance.random() < 0.7:
            chance.shuffle(kept)
        for offset, data in kept:
            os.pwrite(self._file, data, offset)
        self._unsafe.clear()
        return (len(sectors) - len(kept)) * SECTOR

    def settle(self) -> None:
        """All that was written stands, as after an orderly end."""
        with self._mutex:
            self._flush()

    def _flush(self) -> None:
        for offset, data in self._unsafe:
            os.pwrite(self._file, data, offset)
        self._unsafe.clear()

    def _read(self, offset: int, length: int) -> bytes:
        content = bytearray(os.pread(self._file, length, offset))
        for start, data in self._unsafe:
            first, last = max(start, offset), min(start + len(data), offset + length)
            if first < last:
                content[first - offset : last - offset] = data[first - start : last - start]
        return bytes(content)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                machine, _ = self._listener.accept()
                with machine, contextlib.suppress(EOFError, ConnectionError):
                    if self._greet(machine):
                        self._answer(machine)

    def _greet(self, machine: socket.socket) -> bool:
        """Whether the machine wants the card, and not only to know of it."""
        machine.sendall(struct.pack(">QQH", _NBD, _OPTION, _FIXED_NEWSTYLE | _NO_ZEROES))
        _take(machine, 4)
        flags = _HAS_FLAGS | _SENDS_FLUSH | _SENDS_FUA
        while True:
            option: int
            _, option, length = struct.unpack(">QII", _take(machine, 16))
            _take(machine, length)
            if option == _EXPORT_NAME:
                machine.sendall(struct.pack(">QH", self._size, flags))
                return True
            if option == _GO:
                about = struct.pack(">HQH", 0, self._size, flags)
                machine.sendall(struct.pack(">QIII", _OPTION_REPLY, option, _INFO, len(about)) + about)
            answer = _ACKNOWLEDGED if option in (_GO, _ABORT) else _UNSUPPORTED
            machine.sendall(struct.pack(">QIII", _OPTION_REPLY, option, answer, 0))
            if option in (_GO, _ABORT):
                return option == _GO

    def _answer(self, machine: socket.socket) -> None:
        while True:
            _, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", _take(machine, 28))
            data = _take(machine, length) if kind == _WRITE else b""
            if kind == _DISCONNECT:
                return
            with self._mutex:
                if self._is_cut:
                    return
                reply = self._do(kind, flags, offset, length, data)
            error = _EIO if reply is None else 0
            machine.sendall(struct.pack(">IIQ", _REPLY, error, handle) + (reply or b""))

    def _do(self, kind: int, flags: int, offset: int, length: int, data: bytes) -> bytes | None:
        """What is read; None for what this card cannot do."""
        if kind == _READ:
            return self._read(offset, length)
        if kind == _WRITE:
            self._unsafe.append((offset, data))
            self.written += length
        if kind == _FLUSH or flags & _FUA:
            self._flush()
            self.flushes += 1
        return b"" if kind in (_WRITE, _FLUSH) else None


def _take(machine: socket.socket, length: int) -> bytes:
    content = bytearray()
    while len(content) < length:
        piece = machine.recv(length - len(content))
        if not piece:
            raise EOFError
        content += piece
    return bytes(content)
