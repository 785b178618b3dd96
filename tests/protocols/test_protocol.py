"""What every protocol must do: one body, held against each of them."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.advertisement import LEGACY_SIZE, Advertisement, decode
from bluezoned.errors import ProtocolError
from bluezoned.opaque import Opaque
from bluezoned.protocols.bluezone import Bluezone, KeySchedule
from bluezoned.protocols.dp3t import Dp3t
from bluezoned.protocols.gaen import Gaen
from bluezoned.protocols.protocol import DAY, DailyKey, DiagnosisKey, Payload, RollingWindow, TracingProtocol
from bluezoned.protocols.registry import NAMES, by_name

FLAGS_SIZE = 3
"""Bytes of the flags structure that a controller's host may put in front."""

PROTOCOLS: dict[str, TracingProtocol] = {
    "bluezone-independent": Bluezone(),
    "bluezone-chained": Bluezone(KeySchedule.CHAINED),
    "gaen": Gaen(),
    "dp3t": Dp3t(),
}
TIMED = {name: protocol for name, protocol in PROTOCOLS.items() if name != "dp3t"}
"""Protocols whose published key says when each id was on the air."""
MEASURED = TIMED
"""Protocols that carry a transmit power: the same, by chance of design."""
LATEST = 4_000_000_000 * 1000
"""ms: in the year 2096, below the 2^32 seconds that formats on the wire count to."""

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
each_timed = pytest.mark.parametrize("protocol", TIMED.values(), ids=TIMED)
each_measured = pytest.mark.parametrize("protocol", MEASURED.values(), ids=MEASURED)

days = st.integers(0, LATEST // DAY).map(lambda day: day * DAY)
instants = st.integers(0, DAY - 1)
seeds = st.binary(min_size=16, max_size=16)
powers = st.integers(-127, 127)


def key_of_the_day(protocol: TracingProtocol, midnight: int, previous: DailyKey | None = None) -> DailyKey:
    return protocol.daily_key(midnight, midnight + DAY, previous, os.urandom)


def whole(protocol: TracingProtocol, key: DailyKey) -> DiagnosisKey:
    return protocol.publish(key, key.end)


def heard(protocol: TracingProtocol, key: DailyKey, at: int, tx_power: int = -12) -> Payload:
    payload = protocol.read(decode(protocol.advertisement(key, at, tx_power).encode()))
    assert payload is not None
    return payload


def rotations(protocol: TracingProtocol, key: DailyKey) -> Iterator[int]:
    return iter(range(key.start, key.end, protocol.rotation))


def ids(windows: list[RollingWindow]) -> set[bytes]:
    return {window.rolling_id for window in windows}


@each_protocol
def test_figures_of_the_port_are_sound(protocol: TracingProtocol) -> None:
    assert DAY % protocol.rotation == 0
    assert protocol.tolerance >= 0
    assert protocol.key_size in (16, 32)
    assert protocol.name in NAMES


@each_protocol
@given(midnight=days, instant=instants, tx_power=powers)
def test_what_is_advertised_is_read_and_fits_beside_flags(
    protocol: TracingProtocol, midnight: int, instant: int, tx_power: int
) -> None:
    key = key_of_the_day(protocol, midnight)
    advertisement = protocol.advertisement(key, midnight + instant, tx_power)
    data = advertisement.encode()

    assert len(data) <= LEGACY_SIZE - FLAGS_SIZE
    assert decode(data) == advertisement
    assert protocol.read(decode(data)) == protocol.read(advertisement)
    assert protocol.read(advertisement) is not None


@each_protocol
def test_expansion_holds_what_was_broadcast_in_every_rotation_with_its_window(protocol: TracingProtocol) -> None:
    key = key_of_the_day(protocol, 5 * DAY)
    windows = {window.rolling_id: window for window in protocol.expand(whole(protocol, key))}

    for at in rotations(protocol, key):
        window = windows.pop(heard(protocol, key, at).rolling_id)
        assert window.start <= at
        assert at + protocol.rotation <= window.end
    assert not windows


@each_timed
def test_window_of_an_id_is_its_rotation(protocol: TracingProtocol) -> None:
    key = key_of_the_day(protocol, 5 * DAY)

    windows = protocol.expand(whole(protocol, key))

    assert [w.start for w in windows] == list(rotations(protocol, key))
    assert {w.end - w.start for w in windows} == {protocol.rotation}


@each_protocol
@given(midnight=days, instant=instants)
def test_id_stays_for_its_rotation_and_then_changes(protocol: TracingProtocol, midnight: int, instant: int) -> None:
    key = key_of_the_day(protocol, midnight)
    start = midnight + instant - instant % protocol.rotation
    last = start + protocol.rotation - 1

    on_air = {protocol.advertisement(key, at, 0).encode() for at in (start, midnight + instant, last)}

    assert len(on_air) == 1
    assert len(protocol.expand(whole(protocol, key))) == DAY // protocol.rotation


@each_protocol
def test_keys_of_different_days_share_no_id(protocol: TracingProtocol) -> None:
    monday = key_of_the_day(protocol, 4 * DAY)
    tuesday = key_of_the_day(protocol, 5 * DAY, monday)

    assert not ids(protocol.expand(whole(protocol, monday))) & ids(protocol.expand(whole(protocol, tuesday)))


@each_protocol
def test_keys_of_different_devices_share_no_id(protocol: TracingProtocol) -> None:
    ours, theirs = key_of_the_day(protocol, 0), key_of_the_day(protocol, 0)

    assert not ids(protocol.expand(whole(protocol, ours))) & ids(protocol.expand(whole(protocol, theirs)))


@each_protocol
def test_same_key_gives_the_same_bytes_again(protocol: TracingProtocol) -> None:
    key = key_of_the_day(protocol, 0)
    restored = DailyKey(Opaque(bytes(key.secret)), key.start, key.end, Opaque(bytes(key.order)))

    first = [protocol.advertisement(key, at, -3).encode() for at in rotations(protocol, key)]

    assert first == [protocol.advertisement(restored, at, -3).encode() for at in rotations(protocol, key)]


@each_protocol
def test_no_two_rotations_of_a_day_look_alike(protocol: TracingProtocol) -> None:
    key = key_of_the_day(protocol, 0)

    frames = [protocol.advertisement(key, at, -3).encode() for at in rotations(protocol, key)]

    assert len(set(frames)) == len(frames)


@each_measured
def test_metadata_differs_in_each_rotation(protocol: TracingProtocol) -> None:
    """Four equal bytes in two rotations would link them. Of 96 or 144 drawn from 2^32, two are equal by chance in one
    run of 400 000."""
    key = key_of_the_day(protocol, 0)

    sealed = [heard(protocol, key, at).metadata for at in rotations(protocol, key)]

    assert len(set(sealed)) == len(sealed)


@each_measured
@given(midnight=days, instant=instants, tx_power=st.integers(-50, 20))
def test_transmit_power_is_told_by_the_right_key(
    protocol: TracingProtocol, midnight: int, instant: int, tx_power: int
) -> None:
    key = key_of_the_day(protocol, midnight)
    payload = heard(protocol, key, midnight + instant, tx_power)

    assert protocol.tx_power(whole(protocol, key), payload) == tx_power


@each_protocol
@given(midnight=days, instant=instants, tx_power=st.integers(-50, 20))
def test_transmit_power_is_not_told_by_another_key(
    protocol: TracingProtocol, midnight: int, instant: int, tx_power: int
) -> None:
    payload = heard(protocol, key_of_the_day(protocol, midnight), midnight + instant, tx_power)
    another = key_of_the_day(protocol, midnight)

    assert protocol.tx_power(whole(protocol, another), payload) is None


@each_protocol
@pytest.mark.parametrize("tx_power", [-127, -51, 21, 127])
def test_implausible_transmit_power_is_none(protocol: TracingProtocol, tx_power: int) -> None:
    key = key_of_the_day(protocol, 0)

    assert protocol.tx_power(whole(protocol, key), heard(protocol, key, 0, tx_power)) is None


@each_measured
@pytest.mark.parametrize("tx_power", [-128, 128])
def test_transmit_power_beyond_a_byte_is_refused(protocol: TracingProtocol, tx_power: int) -> None:
    with pytest.raises(ValueError, match="dBm"):
        protocol.advertisement(key_of_the_day(protocol, 0), 0, tx_power)


@each_protocol
def test_absent_metadata_tells_no_transmit_power(protocol: TracingProtocol) -> None:
    key = key_of_the_day(protocol, 0)
    payload = Payload(heard(protocol, key, 0).rolling_id, None)

    assert protocol.tx_power(whole(protocol, key), payload) is None


@each_protocol
@given(
    st.frozensets(st.sampled_from([0x4E56, 0xFD6F, 0xFD68, 0x180F])),
    st.dictionaries(st.sampled_from([0x4E56, 0xFD6F, 0xFD68]), st.binary(max_size=40)),
    st.dictionaries(st.sampled_from([0x22B5, 0x004C]), st.binary(max_size=40)),
)
def test_stranger_is_read_as_none_or_as_a_payload_of_the_right_size(
    protocol: TracingProtocol, uuids: frozenset[int], service: dict[int, bytes], maker: dict[int, bytes]
) -> None:
    payload = protocol.read(Advertisement(uuids, service, maker))

    assert payload is None or len(payload.rolling_id) in (12, 16)
    assert payload is None or payload.metadata is None or len(payload.metadata) == 4


@each_protocol
@given(instant=instants, position=st.integers(0, 30), bits=st.integers(1, 255))
def test_flipped_bits_never_raise(protocol: TracingProtocol, instant: int, position: int, bits: int) -> None:
    key = key_of_the_day(protocol, 0)
    data = bytearray(protocol.advertisement(key, instant, 0).encode())
    data[position % len(data)] ^= bits

    payload = protocol.read(decode(bytes(data)))

    assert payload is None or isinstance(protocol.tx_power(whole(protocol, key), payload), int | None)


@each_protocol
def test_other_protocols_advertisements_are_not_ours(protocol: TracingProtocol) -> None:
    others = [other for other in PROTOCOLS.values() if other.name != protocol.name]

    frames = [other.advertisement(key_of_the_day(other, 0), 0, 0) for other in others]

    assert [protocol.read(frame) for frame in frames] == [None] * len(frames)


@each_timed
@given(midnight=days, until=st.integers(1, DAY))
def test_key_published_in_the_middle_of_the_day_hides_later_rotations(
    protocol: TracingProtocol, midnight: int, until: int
) -> None:
    key = key_of_the_day(protocol, midnight)
    broadcast = [at for at in rotations(protocol, key) if at < midnight + until]

    windows = protocol.expand(protocol.publish(key, midnight + until))

    assert [window.start for window in windows] == broadcast


@each_timed
@given(quarter=st.integers(1, 95))
def test_two_keys_of_one_day_divide_it_without_gap_or_overlap(protocol: TracingProtocol, quarter: int) -> None:
    cut = quarter * DAY // 96 // protocol.rotation * protocol.rotation
    morning = protocol.daily_key(0, cut, None, os.urandom)
    rest = protocol.daily_key(cut, DAY, None, os.urandom)

    windows = protocol.expand(whole(protocol, morning)) + protocol.expand(whole(protocol, rest))

    assert [window.start for window in windows] == list(range(0, DAY, protocol.rotation))


@each_protocol
@given(midnight=days, cut=st.integers(1, 95), until=st.integers(0, DAY))
def test_published_window_is_on_the_grid_and_holds_what_was_in_use(
    protocol: TracingProtocol, midnight: int, cut: int, until: int
) -> None:
    start = midnight + cut * DAY // 96 // protocol.rotation * protocol.rotation
    key = protocol.daily_key(start, midnight + DAY, None, os.urandom)

    published = protocol.publish(key, start + 1 + until)

    assert published.start % 600_000 == published.end % 600_000 == 0
    assert midnight <= published.start <= start < published.end <= midnight + DAY
    assert (published.protocol, published.secret) == (protocol.name, key.secret)


@each_protocol
def test_key_not_yet_in_use_cannot_be_published(protocol: TracingProtocol) -> None:
    with pytest.raises(ValueError, match="nothing to publish"):
        protocol.publish(key_of_the_day(protocol, DAY), DAY)


@each_protocol
@pytest.mark.parametrize("at", [DAY - 1, 2 * DAY])
def test_advertisement_outside_the_keys_window_is_refused(protocol: TracingProtocol, at: int) -> None:
    with pytest.raises(ValueError, match="not in use"):
        protocol.advertisement(key_of_the_day(protocol, DAY), at, 0)


@each_protocol
@pytest.mark.parametrize(
    ("start", "end"),
    [(1, DAY), (0, DAY - 1), (0, 2 * DAY), (DAY, DAY), (DAY, 0), (-DAY, 0), (DAY // 2, DAY + DAY // 2)],
    ids=["late start", "early end", "two days", "empty", "backwards", "before 1970", "across midnight"],
)
def test_window_that_is_not_whole_rotations_of_one_day_is_refused(
    protocol: TracingProtocol, start: int, end: int
) -> None:
    with pytest.raises(ValueError, match="window"):
        protocol.daily_key(start, end, None, os.urandom)


def malformed_keys(protocol: TracingProtocol) -> list[DiagnosisKey]:
    secret = Opaque(bytes(protocol.key_size))
    return [
        DiagnosisKey("another", secret, 0, DAY),
        DiagnosisKey(protocol.name, Opaque(secret[1:]), 0, DAY),
        DiagnosisKey(protocol.name, Opaque(secret + b"\0"), 0, DAY),
        DiagnosisKey(protocol.name, Opaque(), 0, DAY),
        DiagnosisKey(protocol.name, secret, 1, DAY),
        DiagnosisKey(protocol.name, secret, 0, DAY - 1),
        DiagnosisKey(protocol.name, secret, DAY, DAY),
        DiagnosisKey(protocol.name, secret, DAY, 0),
        DiagnosisKey(protocol.name, secret, -DAY, 0),
        DiagnosisKey(protocol.name, secret, 0, 2**62 // 600_000 * 600_000),
    ]


@each_protocol
def test_malformed_key_is_a_protocol_error(protocol: TracingProtocol) -> None:
    payload = heard(protocol, key_of_the_day(protocol, 0), 0)

    for key in malformed_keys(protocol):
        with pytest.raises(ProtocolError):
            protocol.expand(key)
        with pytest.raises(ProtocolError):
            protocol.tx_power(key, payload)


@each_protocol
@given(seed=seeds)
def test_no_text_form_shows_a_secret_or_an_id(protocol: TracingProtocol, seed: bytes) -> None:
    key = protocol.daily_key(0, DAY, None, lambda size: (seed * 2)[:size])
    frame = protocol.advertisement(key, 0, 0)
    payload = protocol.read(frame)
    published = whole(protocol, key)
    window = protocol.expand(published)[0]
    assert payload is not None

    text = " ".join(f"{value!r} {value!s}" for value in (protocol, key, frame, payload, published, window))

    for secret in (bytes(key.secret), bytes(payload.rolling_id), bytes(window.rolling_id)):
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text
    assert f"{len(window.rolling_id)} bytes" in repr(window)


@pytest.mark.parametrize("name", NAMES)
def test_protocol_is_found_by_its_name(name: str) -> None:
    assert by_name(name).name == name


def test_key_schedule_reaches_bluezone() -> None:
    assert by_name("bluezone", KeySchedule.CHAINED) == Bluezone(KeySchedule.CHAINED)


@pytest.mark.parametrize("name", ["", "Bluezone", "tcn"])
def test_unknown_name_is_a_protocol_error(name: str) -> None:
    with pytest.raises(ProtocolError, match="known are bluezone, gaen, dp3t"):
        by_name(name)
