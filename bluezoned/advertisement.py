"""One Bluetooth LE advertisement and its reception: the words between radio/ and protocols/.

Knows AD structures (Bluetooth Core Specification Supplement, part A), never an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bluezoned.errors import ProtocolError

LEGACY_SIZE = 31
"""Bytes of advertising data in one legacy PDU (Core 5.4, vol 6, part B, 2.3.1). Pi controllers send no more."""

_INCOMPLETE_UUIDS_16 = 0x02
_COMPLETE_UUIDS_16 = 0x03
_SERVICE_DATA_16 = 0x16
_MANUFACTURER_DATA = 0xFF


@dataclass(frozen=True, slots=True)
class Advertisement:
    """The parts of an advertisement that tracing protocols use; 16-bit UUIDs and company ids as `int`.

    128-bit UUIDs, names, flags and power levels are not carried: no protocol here speaks them.
    """

    service_uuids: frozenset[int] = frozenset()
    service_data: Mapping[int, bytes] = field(default_factory=dict, repr=False, hash=False)
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict, repr=False, hash=False)

    def encode(self) -> bytes:
        """AD structures, 31 bytes at most: manufacturer data, UUID list, service data.

        Raises ProtocolError when they do not fit a legacy PDU.
        """
        structures = [
            (_MANUFACTURER_DATA, company.to_bytes(2, "little") + body)
            for company, body in self.manufacturer_data.items()
        ]
        if self.service_uuids:
            uuids = b"".join(uuid.to_bytes(2, "little") for uuid in sorted(self.service_uuids))
            structures.append((_COMPLETE_UUIDS_16, uuids))
        structures += [
            (_SERVICE_DATA_16, uuid.to_bytes(2, "little") + body) for uuid, body in self.service_data.items()
        ]
        size = sum(2 + len(body) for _, body in structures)
        if size > LEGACY_SIZE:
            raise ProtocolError(f"advertisement of {size} bytes does not fit the {LEGACY_SIZE} of a legacy PDU")
        return b"".join(bytes((len(body) + 1, kind)) + body for kind, body in structures)


def decode(data: bytes) -> Advertisement:
    """Read AD structures of any sender. A truncated or overlong structure ends the reading, as controllers do:
    what stood before it counts. Never raises."""
    uuids: set[int] = set()
    service_data: dict[int, bytes] = {}
    manufacturer_data: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        length = data[position]
        body = data[position + 2 : position + 1 + length]
        if length == 0 or position + 1 + length > len(data):
            break
        kind = data[position + 1]
        if kind in (_INCOMPLETE_UUIDS_16, _COMPLETE_UUIDS_16):
            uuids.update(int.from_bytes(body[i : i + 2], "little") for i in range(0, len(body) - 1, 2))
        elif kind == _SERVICE_DATA_16 and len(body) >= 2:
            service_data[int.from_bytes(body[:2], "little")] = body[2:]
        elif kind == _MANUFACTURER_DATA and len(body) >= 2:
            manufacturer_data[int.from_bytes(body[:2], "little")] = body[2:]
        position += 1 + length
    return Advertisement(frozenset(uuids), service_data, manufacturer_data)


@dataclass(frozen=True, slots=True)
class Reception:
    """One advertisement as heard. The sender's address is gone before this exists."""

    advertisement: Advertisement
    rssi: int
    """dBm, negative; a packet without a measured RSSI is never made into a Reception."""
    at: int
    """Milliseconds UTC."""
