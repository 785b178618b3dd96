"""What `export.bin` says: a header of 16 bytes and a protobuf of diagnosis keys, read one key at a time.

Knows no zip and no signature: bytes that come here from elsewhere have been verified, which key_export.py sees to.
Source: `TemporaryExposureKeyExport` of the Exposure Notification server; the table with our own fields is in
docs/protocols/key-export.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from operator import attrgetter
from typing import NamedTuple

from bluezoned import protobuf
from bluezoned.errors import AuthorityError
from bluezoned.opaque import Opaque
from bluezoned.protobuf import EndsEarly, Field, ProtobufError
from bluezoned.protocols.protocol import DAY, DiagnosisKey, ReportType, Tier
from bluezoned.protocols.window import GRID, LONGEST_CHAIN

HEADER = b"EK Export v1    "
INTERVAL = GRID
"""ms; windows travel in whole intervals of ten minutes since 1970, whatever the protocol."""

KEY_SIZES = {"gaen": 16, "bluezone": 32, "dp3t": 32}
"""Bytes of a key by protocol. No protocol in the file means GAEN."""

_LONGEST = {"gaen": DAY, "bluezone": LONGEST_CHAIN, "dp3t": LONGEST_CHAIN}
"""ms of a key's window. A chained key speaks for the days after its own too."""

_LATEST = 1 << 47
"""ms; beyond any calendar, and its sums fit into any integer of a database. Sequence numbers stay below it too."""

LARGEST_FIELD = 1 << 16
"""Bytes of one field. Keys take some dozens, and a reader must hold a field whole."""

_KEY_TAGS = (0x3A, 0x42)
"""Fields 7 and 8, messages."""
_LONGEST_SHORT = 2 + 0x7F
"""Bytes of a field whose length is written in one byte: every key's."""
_MOST_TERMS = 4096
"""Terms kept while reading: 14 days of 144 starts, and what is said beside them, in some thousand combinations."""

_LONGEST_ONSET = 14
_LONGEST_REGION = 64
_MOST_INFOS = 10  # GAEN's bound
_PROTOCOL, _SEQUENCE = 1001, 1002
_TIER, _LOUDNESS = 1001, 1002  # in a key
_LOUDEST = 12
_REPORT_TYPES = {int(report_type): report_type for report_type in ReportType}
_TIERS = {int(tier): tier for tier in Tier}


class Reason(Enum):
    """Why an export is not believed."""

    WRONG_KEY = "its signature is not by the pinned authority, or the file was changed"
    MISSING_SIGNATURE = "it has no export.sig"
    EMPTY_SIGNATURE = "its export.sig holds no signature"
    TRUNCATED = "it ends early or is damaged"
    TOO_LARGE = "it is larger than allowed, or grows too much when unpacked"
    ENCRYPTED = "it is encrypted"
    BAD_KEY_LENGTH = "a key in it has the wrong length for its protocol"
    BAD_WINDOW = "a key in it claims an impossible window of use"
    REPLAYED = "it is older than one applied before"
    UNKNOWN_PROTOCOL = "it speaks a protocol that is not known here"
    MALFORMED = "it is not a key export"


class KeyExportError(AuthorityError):
    """A batch that is not believed; nothing of it counts."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"the key export is refused: {reason.value}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class KeyExport:
    """One batch."""

    protocol: str
    sequence: int | None
    """Counts this authority's batches from 1; None in exports of others."""
    start: int
    """ms, whole seconds; what was received in [start, end) is in this batch."""
    end: int
    """ms, whole seconds; when it was published."""
    region: str
    keys: tuple[DiagnosisKey, ...]
    """Of any report type but REVOKED; after reading, those whose report type was revised are among them."""
    revoked: tuple[DiagnosisKey, ...] = ()
    """Keys published before and taken back; they travel as revised keys with report type REVOKED."""
    revised: tuple[DiagnosisKey, ...] = ()
    """Keys published before of which more is known now; after reading, they are among `keys`."""


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What an export says of a key beside its secret. Compared and hashed by identity: thousands of keys share one."""

    protocol: str
    start: int
    """ms."""
    end: int
    """ms."""
    tier: Tier
    report_type: ReportType
    days_since_onset: int | None
    loudness: int | None = None

    def key(self, secret: bytes) -> DiagnosisKey:
        """The diagnosis key of that secret."""
        return DiagnosisKey(
            self.protocol,
            Opaque(secret),
            self.start,
            self.end,
            self.tier,
            self.report_type,
            self.days_since_onset,
            self.loudness,
        )


class Head(NamedTuple):
    """What a file says beside its keys."""

    protocol: str
    sequence: int | None
    start: int
    """ms."""
    end: int
    """ms."""
    region: str
    signed_as: list[tuple[bytes, int, int]]
    """Who may have signed it, and which file of how many it is: what each signature in export.sig repeats."""


def encode(export: KeyExport, info: bytes) -> bytes:
    """The whole of export.bin; `info` is the encoded SignatureInfo of its one signer. Keys are sorted by their bytes,
    so that the order of uploads tells nothing; `start` is rounded down and `end` up to a second. KeyExportError for
    what `head` and `keys` would refuse."""
    start, end = export.start // 1000, -(-export.end // 1000)
    _require_possible(export.protocol, export.sequence, start * 1000, end * 1000, export.region)
    if any(key.report_type is ReportType.REVOKED for key in export.keys + export.revised):
        raise KeyExportError(Reason.MALFORMED)
    revised = [*export.revised, *(replace(key, report_type=ReportType.REVOKED) for key in export.revoked)]
    fields = (
        protobuf.put_fixed64(1, start),
        protobuf.put_fixed64(2, end),
        protobuf.put_bytes(3, export.region.encode()),
        protobuf.put_varint(4, 1),
        protobuf.put_varint(5, 1),
        protobuf.put_bytes(6, info),
        *_encoded(7, export.keys, export.protocol, end * 1000),
        *_encoded(8, revised, export.protocol, end * 1000),
        protobuf.put_bytes(_PROTOCOL, export.protocol.encode()),
        b"" if export.sequence is None else protobuf.put_varint(_SEQUENCE, export.sequence),
    )
    return HEADER + b"".join(fields)


def _encoded(number: int, keys: Iterable[DiagnosisKey], protocol: str, published: int) -> Iterator[bytes]:
    """The field of each key, sorted by secrets."""
    size = KEY_SIZES.get(protocol)
    # Of a hundred thousand keys only some hundred differ in more than their secret: what stands around it.
    around: dict[tuple[str, int, int, int, int, int | None, int | None], tuple[bytes, bytes]] = {}
    for key in sorted(keys, key=attrgetter("secret", "start")):
        reported = (key.tier, key.report_type, key.days_since_onset, key.loudness)
        terms = (key.protocol, key.start, key.end, *reported)
        found = around.get(terms)
        if found is None or len(key.secret) != size:
            _require_fit(key, protocol, published)
            rest = _encoded_terms(key)
            field = protobuf.put_bytes(number, protobuf.put_bytes(1, key.secret) + rest)
            found = around[terms] = field[: -len(rest) - len(key.secret)], rest
        before, rest = found
        yield before + key.secret + rest


def _encoded_terms(key: DiagnosisKey) -> bytes:
    return b"".join(
        (
            protobuf.put_varint(3, key.start // INTERVAL),
            protobuf.put_varint(4, (key.end - key.start) // INTERVAL),
            protobuf.put_varint(5, key.report_type),
            b"" if key.days_since_onset is None else protobuf.put_signed(6, key.days_since_onset),
            b"" if key.tier is Tier.F0 else protobuf.put_varint(_TIER, key.tier),
            b"" if key.loudness is None else protobuf.put_signed(_LOUDNESS, key.loudness),
        )
    )


def head(chunks: Iterable[bytes]) -> Head:
    """What the file says beside its keys. KeyExportError when it cannot be."""
    numbers = dict.fromkeys((1, 2, 4, 5), 0)
    texts = {3: b"", _PROTOCOL: b"gaen"}
    sequence: int | None = None
    infos: list[bytes] = []
    window = _Window(chunks)
    while (field := window.next_beside_keys()) is not None:
        match field:
            case (1 | 2 | 4 | 5) as number, int(value):
                numbers[number] = value
            case 6, memoryview() as part:
                if len(infos) == _MOST_INFOS:
                    raise KeyExportError(Reason.MALFORMED)
                infos.append(bytes(part))
            case (3 | 1001) as number, memoryview() as part:
                texts[number] = bytes(part)
            case 1002, int(value):
                sequence = value
    try:
        protocol, region = texts[_PROTOCOL].decode(), texts[3].decode()
    except UnicodeDecodeError as error:
        raise KeyExportError(Reason.MALFORMED) from error
    start, end = numbers[1] * 1000, numbers[2] * 1000
    _require_possible(protocol, sequence, start, end, region)
    return Head(protocol, sequence, start, end, region, [(info, numbers[4], numbers[5]) for info in infos])


def keys(chunks: Iterable[bytes], found: Head) -> Iterator[tuple[bytes, Terms]]:
    """Every key, new and revised, one at a time: its secret and what is said of it. The same terms are the same
    object, so that what follows from them is worked out once. KeyExportError at the first key that cannot be, which
    is then the last: nothing of the file counts.

    A million keys pass here, most of them like the one before but for the secret; so the bytes behind the secret are
    looked up, and parsed only when they are new.
    """
    size = KEY_SIZES[found.protocol]
    shapes = {bytes((tag, 2 + size + rest, 0x0A, size)): 4 + size + rest for tag in _KEY_TAGS for rest in range(0x40)}
    known: dict[bytes, Terms] = {}
    window = _Window(chunks)
    while True:
        piece, position = window.piece, window.position
        last = len(piece) - _LONGEST_SHORT
        while position <= last:
            secret_at = position + 4
            tail_at = secret_at + size
            length = shapes.get(piece[position:secret_at])
            terms = known.get(piece[tail_at : position + length]) if length is not None else None
            if length is None or terms is None:
                break
            yield piece[secret_at:tail_at], terms
            position += length
        window.position = position
        field = window.next()
        if field is None:
            return
        if field.number in (7, 8) and isinstance(field.value, memoryview):
            secret, terms = _key(field.value, found)
            if len(known) == _MOST_TERMS:
                known.clear()
            # Only what stands behind the secret is known; a secret written twice, or last, is read anew each time.
            if field.value[: 2 + size] == bytes((0x0A, size)) + secret:
                known[bytes(field.value[2 + size :])] = terms
            yield secret, terms


class _Window:
    """The part of the message that is in memory: some fields, of which the last may not be whole yet."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.piece = b""
        self.position = 0
        while len(self.piece) < len(HEADER) and self._extend():
            pass
        if not self.piece.startswith(HEADER):
            raise KeyExportError(Reason.MALFORMED)
        self.position = len(HEADER)

    def next(self) -> Field | None:
        """The field at `position`, which moves behind it; None at the end of the message."""
        while self.position < len(self.piece) or self._extend():
            try:
                field, self.position = protobuf.field(memoryview(self.piece), self.position)
            except EndsEarly as error:
                if len(self.piece) - self.position > LARGEST_FIELD:
                    raise KeyExportError(Reason.TOO_LARGE) from error
                if not self._extend():
                    raise unreadable(error) from error
            except ProtobufError as error:
                raise unreadable(error) from error
            else:
                return field
        return None

    def next_beside_keys(self) -> Field | None:
        """The next field that is no key of the usual length; those are passed over."""
        while True:
            piece, position = self.piece, self.position
            last = len(piece) - _LONGEST_SHORT
            while position <= last and piece[position] in _KEY_TAGS and piece[position + 1] < 0x80:
                position += 2 + piece[position + 1]
            self.position = position
            field = self.next()
            if field is None or field.number not in (7, 8):
                return field

    def _extend(self) -> bool:
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self.piece = self.piece[self.position :] + chunk
        self.position = 0
        return True


def _key(data: memoryview, found: Head) -> tuple[bytes, Terms]:
    secret = b""
    numbers = {3: 0, 4: DAY // INTERVAL, 5: 0, _TIER: 0}
    onset: int | None = None
    loudness: int | None = None
    try:
        for number, value in protobuf.fields(data):
            if isinstance(value, memoryview):
                if number == 1:
                    secret = bytes(value)
            elif number in numbers:
                numbers[number] = value
            elif number == 6:
                onset = protobuf.zigzag(value)
            elif number == _LOUDNESS:
                loudness = protobuf.zigzag(value)
    except ProtobufError as error:
        raise unreadable(error) from error
    start = numbers[3] * INTERVAL
    terms = Terms(
        found.protocol,
        start,
        start + numbers[4] * INTERVAL,
        # Tiers and report types of later versions are read as the least that they can mean.
        _TIERS.get(numbers[_TIER], Tier.F2),
        _REPORT_TYPES.get(numbers[5], ReportType.UNKNOWN),
        # Beyond two weeks GAEN takes it for unknown, and some exporters write there what they like.
        onset if onset is not None and abs(onset) <= _LONGEST_ONSET else None,
        loudness,
    )
    _require_fit(terms.key(secret), found.protocol, found.end)
    return secret, terms


def unreadable(error: ProtobufError) -> KeyExportError:
    """The same in the words of exports."""
    return KeyExportError(Reason.TRUNCATED if isinstance(error, EndsEarly) else Reason.MALFORMED)


def _require_possible(protocol: str, sequence: int | None, start: int, end: int, region: str) -> None:
    if protocol not in KEY_SIZES:
        raise KeyExportError(Reason.UNKNOWN_PROTOCOL)
    # The region is shown to people, so it must not hold a terminal's commands.
    if len(region) > _LONGEST_REGION or not region.isprintable():
        raise KeyExportError(Reason.MALFORMED)
    if not 0 <= start <= end < _LATEST or end == 0 or not (sequence is None or 1 <= sequence < _LATEST):
        raise KeyExportError(Reason.MALFORMED)


def _require_fit(key: DiagnosisKey, protocol: str, published: int) -> None:
    if key.protocol != protocol:
        raise KeyExportError(Reason.UNKNOWN_PROTOCOL)
    if len(key.secret) != KEY_SIZES[protocol]:
        raise KeyExportError(Reason.BAD_KEY_LENGTH)
    # Nobody publishes a key before its day; the day's grace is for exporters that round their windows.
    if key.start % INTERVAL or key.end % INTERVAL or not 0 <= key.start < published + DAY:
        raise KeyExportError(Reason.BAD_WINDOW)
    if not key.start < key.end <= key.start + _LONGEST[protocol]:
        raise KeyExportError(Reason.BAD_WINDOW)
    if key.days_since_onset is not None and abs(key.days_since_onset) > _LONGEST_ONSET:
        raise KeyExportError(Reason.MALFORMED)
    if key.loudness is not None and abs(key.loudness) > _LOUDEST:
        raise KeyExportError(Reason.MALFORMED)
