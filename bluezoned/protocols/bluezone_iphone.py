"""Bluezone as iPhones with the published app speak it: they cannot put a rolling id into what they send, and hold it
ready to be read over a connection.

Source: the app's behaviour, iOS versions 2.0.3 to 3.0.8; docs/protocols/bluezone.md. What was read is made into the
advertisement that the same phone would send if it could, so that nothing else has to know.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bluezoned.advertisement import Advertisement
from bluezoned.protocols.bluezone import COMPANY, ROLLING_ID_SIZE, SERVICE

IPHONE_SERVICE = "00004e56-73f5-4bc4-a12f-17d1ad07a667"
"""Advertised while the app is in the foreground; the GATT service."""

CHARACTERISTIC = "00004e56-73f5-4bc4-a12f-17d1ad07a689"
"""Read only, without encryption: the rolling id of now."""

_APPLE = 0x004C
_OVERFLOW = 0x01
_OVERFLOW_SIZE = 17
_OVERFLOW_BIT = 0x08
"""Of the first byte of the mask: what iOS makes of IPHONE_SERVICE while the app is in the background. Apps share the
mask, so other bits may be set beside it, and other apps' services may fall on the same bit."""


def is_shown(service_uuids: Collection[str], manufacturer_data: Mapping[int, bytes]) -> bool:
    """Whether an advertisement may be such a phone's; only reading tells."""
    if IPHONE_SERVICE in service_uuids:
        return True
    apple = manufacturer_data.get(_APPLE, b"")
    return len(apple) == _OVERFLOW_SIZE and apple[0] == _OVERFLOW and bool(apple[1] & _OVERFLOW_BIT)


def advertisement(value: bytes) -> Advertisement | None:
    """What was read, as Android phones send it; None when it is no rolling id."""
    if len(value) != ROLLING_ID_SIZE:
        return None
    return Advertisement(frozenset((SERVICE,)), {}, {COMPANY: bytes(value)})
