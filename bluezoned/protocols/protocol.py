"""The port that every tracing protocol implements, and the values that cross it.

Instants are `int` milliseconds UTC, windows half-open. Knows no protocol by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

from bluezoned.advertisement import Advertisement
from bluezoned.opaque import Opaque

DAY = 86_400_000
"""Milliseconds of a UTC day."""

Random = Callable[[int], bytes]
"""`random(n)` gives n bytes fit for keys; `os.urandom` outside tests and simulations."""


class Tier(IntEnum):
    """How far from a confirmed case: F0 is one, F1 met an F0, F2 met an F1."""

    F0 = 0
    F1 = 1
    F2 = 2


class ReportType(IntEnum):
    """Why a key was published. Source: GAEN TemporaryExposureKeyExport, `report_type`."""

    UNKNOWN = 0
    CONFIRMED_TEST = 1
    CONFIRMED_CLINICAL = 2
    SELF_REPORT = 3
    RECURSIVE = 4
    REVOKED = 5


@dataclass(frozen=True, slots=True)
class Payload:
    """What one advertisement of a tracing protocol says."""

    rolling_id: Opaque
    """12 bytes (Bluezone) or 16."""
    metadata: Opaque | None
    """4 sealed bytes, or None where the sender carries none."""


@dataclass(frozen=True, slots=True)
class DailyKey:
    """A secret of our own from which the rolling ids of its window come. Never leaves the device but by consent."""

    secret: Opaque
    start: int
    """First instant of use, ms; a rotation boundary of the protocol."""
    end: int
    """End of use, ms, excluded; at most the end of the UTC day of `start`."""
    order: Opaque = field(default_factory=Opaque)
    """DP-3T only: 16 bytes that shuffle the ids of the day; never published, or the order would be known."""


@dataclass(frozen=True, slots=True)
class DiagnosisKey:
    """A published daily key with its window, as it travels in an upload and in a key export."""

    protocol: str
    secret: Opaque
    start: int
    """ms, a multiple of ten minutes."""
    end: int
    """ms, a multiple of ten minutes, excluded."""
    tier: Tier = Tier.F0
    report_type: ReportType = ReportType.CONFIRMED_TEST
    days_since_onset: int | None = None
    """-14..14, days from the onset of symptoms to the day of the key; None where unknown."""
    loudness: int | None = None
    """-12..12, dB by which its box was heard louder than others were; None while too few have told."""


class RollingWindow(NamedTuple):
    """One rolling id of a published key and when it was on the air, before any tolerance."""

    rolling_id: bytes
    """Plain bytes: a batch makes millions of these, and Opaque would add a fifth to the cost."""
    start: int
    end: int

    def __repr__(self) -> str:
        return f"RollingWindow({len(self.rolling_id)} bytes, start={self.start}, end={self.end})"


class Derivation(IntEnum):
    """How a day's rolling ids come from a secret, as the compiled sieve knows it (sieve.c)."""

    CHAIN = 1
    """Bluezone: each link is the hash of the one before, the first that of secret and label."""
    HKDF_AES = 2
    """GAEN: the blocks under the key that HKDF makes of secret and label."""
    HMAC_AES = 3
    """DP-3T: the blocks under HMAC of the label."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the compiled sieve is to compute of each secret."""

    derivation: Derivation
    label: bytes
    days: int
    """How often the secret is hashed first."""
    count: int
    """Rolling ids."""
    blocks: bytes = b""
    """What is encrypted, 16 bytes for each of them; none for a chain."""


@dataclass(frozen=True, slots=True)
class Beginnings:
    """The way from a published secret to the first four bytes of rolling ids of one UTC day."""

    of: Callable[[bytes], tuple[int, ...]]
    """As little-endian numbers."""
    recipe: Recipe
    """The same for the compiled sieve."""


class TracingProtocol(Protocol):
    """Whole advertisements cross this port, because Bluezone speaks manufacturer data and GAEN service data."""

    @property
    def name(self) -> str:
        """`bluezone`, `gaen` or `dp3t`."""

    @property
    def service(self) -> int:
        """The 16-bit UUID that every advertisement of the protocol lists: a radio may let nothing else through."""

    @property
    def rotation(self) -> int:
        """ms that one rolling id is on the air; divides a day."""

    @property
    def key_size(self) -> int:
        """Bytes of a daily key's secret."""

    @property
    def tolerance(self) -> int:
        """ms by which a sighting may lie outside a RollingWindow and still count, both sides."""

    def daily_key(self, start: int, end: int, previous: DailyKey | None, random: Random) -> DailyKey:
        """The secret for [start, end), within one UTC day. `previous` is the newest key of an unbroken chain, or None
        at first use and after a publication; protocols with independent keys ignore it."""

    def advertisement(self, key: DailyKey, at: int, tx_power: int) -> Advertisement:
        """What to put on the air at `at`, within the key's window, with `tx_power` (dBm, calibrated) sealed inside
        where the protocol has room for it. ValueError outside the window."""

    def read(self, advertisement: Advertisement) -> Payload | None:
        """The payload, or None when this is not ours or malformed: a stranger's bytes are not an error."""

    def publish(self, key: DailyKey, until: int) -> DiagnosisKey:
        """The key as it may be published, its window cut at `until` (rounded up to the end of the rotation on air)
        where the protocol can say so. Tier and report type are the authority's to set."""

    def expand(self, key: DiagnosisKey) -> list[RollingWindow]:
        """Every rolling id that the key can have broadcast. ProtocolError when the key is not of this protocol."""

    def beginnings(self, days: int, midnight: int, starts: Sequence[int]) -> Beginnings:
        """The same for many keys that share a window, and only as far as a first look needs it: of each rolling id
        whose rotation begins at one of `starts` (ms, ascending, in the UTC day that begins at `midnight`) its first
        four bytes. `days` after the key's first day that day is. More ids than asked for may come."""

    def tx_power(self, key: DiagnosisKey, payload: Payload) -> int | None:
        """The sender's calibrated transmit power (dBm) once its key is known; None where absent, or where the
        decrypted value is implausible (outside -50..+20 dBm, GAEN specification) and so not to be trusted."""
