"""Boxes with real protocols, signatures and SQLite for the tests of the heart; time is pushed by hand."""

from __future__ import annotations

import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import key_export, key_index, upload
from bluezoned.advertisement import Reception
from bluezoned.key_export import KeyExport
from bluezoned.key_index import KeyIndex
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Tier
from bluezoned.tracing.case_list import Applied
from bluezoned.tracing.device import Device, Settings
from bluezoned.tracing.proximity import MINUTE, Ranging
from bluezoned.tracing.store import Store
from tests.logbook import Logbook

MONDAY = 20_759 * DAY
HOUR = 60 * MINUTE
NINE = MONDAY + 9 * HOUR
TUESDAY_NOON = MONDAY + DAY + 12 * HOUR
NEAR, FAR = -60, -80
RANGING = Ranging(attenuation_1m=67.0)
SIGNING_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGERS_KEY = ec.generate_private_key(ec.SECP256R1())
SEALING_KEY = upload.generate_sealing_key()
CODE = "12345678"


class CountingRandom:
    """Randomness that repeats from run to run."""

    def __init__(self, seed: int) -> None:
        self._counter = seed << 32

    def __call__(self, count: int) -> bytes:
        self._counter += 1
        return self._counter.to_bytes(16, "big").ljust(count, b"\x5a")[:count]


class Box:
    """A device on its own database."""

    def __init__(self, protocol: str, path: Path, seed: int) -> None:
        speak = registry.by_name(protocol)
        settings = Settings(
            advertised=speak,
            heard={name: registry.by_name(name) for name in registry.NAMES},
            authority_key=SIGNING_KEY.public_key(),
            tx_power=0,
            ranging=RANGING,
        )
        self.protocol = speak
        self.settings = settings
        self.store = Store(path, bytes(32), os.urandom)
        self.random = CountingRandom(seed)
        self.device = Device(settings, self.store, self.random)
        self.logbook = Logbook(SIGNING_KEY)

    def take(self, data: bytes, at: int) -> Applied | None:
        """A batch, as an honest authority tells it: with the log that it stands in."""
        self.device.apply_log(self.logbook.signed([data]))
        return apply(self.device, data, at)

    def restart(self) -> None:
        """As after a pulled plug: only what is stored is left."""
        self.device = Device(self.settings, self.store, self.random)

    def published(self, at: int, tier: Tier) -> tuple[DiagnosisKey, ...]:
        keys = self.store.own_keys(self.protocol.name)
        return tuple(replace(self.protocol.publish(k, at), tier=tier) for k in keys if k.start <= at)


def meet(one: Box, other: Box, start: int, minutes: int, rssi: int) -> None:
    """Both hear one another each ten seconds."""
    for at in range(start, start + minutes * MINUTE, 10_000):
        sent, received = one.device.advertisement(at), other.device.advertisement(at)
        assert other.device.hear(Reception(sent, rssi, at))
        assert one.device.hear(Reception(received, rssi, at))
    for box in (one, other):
        box.device.tick(start + minutes * MINUTE)


def batch(
    box: Box,
    sequence: int,
    keys: tuple[DiagnosisKey, ...],
    revoked: tuple[DiagnosisKey, ...] = (),
    at: int = TUESDAY_NOON,
) -> bytes:
    export = KeyExport(box.protocol.name, sequence, at - DAY, at, "VN", keys, revoked)
    return key_export.write(export, SIGNING_KEY, "test")


def apply(device: Device, data: bytes, at: int) -> Applied | None:
    """To the end, at once."""
    steps = device.apply_export(BytesIO(data), at)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            applied: Applied | None = end.value
            return applied


def run_until(device: Device, until: int) -> None:
    """On through the days, as a box that runs does."""
    for at in range(MONDAY, until + 1, DAY):
        device.tick(at)
    device.tick(until)


def index(sequence: int, issued: int, protocol: str = "bluezone") -> bytes:
    """It lists the newest batch alone."""
    sealing_key = upload.public_sealing_key(SEALING_KEY)
    newest = key_index.Batch(sequence, f"{sequence}.zip", 1000, bytes(32), protocol, issued - HOUR, issued)
    listed = (newest,) if sequence else ()
    return key_index.write(KeyIndex("test", sequence, issued, issued + 14 * DAY, sealing_key, listed), SIGNING_KEY)


def consented(box: Box, at: int, hours: tuple[int, int] | None = None) -> upload.Upload:
    box.device.apply_index(index(0, at - HOUR))
    box.device.consent(CODE, at, hours)
    *_, sealed = box.device.pending_uploads().values()
    return upload.open_sealed(sealed, SEALING_KEY)


def exposed(boxes: tuple[Box, Box, Box]) -> Box:
    """A box that met a case."""
    a, b, _ = boxes
    meet(a, b, NINE, 20, NEAR)
    b.take(batch(a, 1, a.published(TUESDAY_NOON - DAY, Tier.F0)), TUESDAY_NOON)
    assert b.device.alert().tier is Tier.F1
    return b
