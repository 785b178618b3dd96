"""One sealed message out, one signed receipt back."""

import hashlib
import hmac
import traceback
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from bluezoned import upload
from bluezoned.errors import AuthorityError, ProtocolError
from bluezoned.key_export import HEADER, INTERVAL, KEY_SIZES
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Tier
from bluezoned.protocols.registry import NAMES
from bluezoned.upload import RECEIPT_SIZE, SEALED_SIZE, Hearing, Receipt, ReceiptError, Upload, UploadError

PRIVATE_KEY = bytes(range(96))
SEALING_KEY = upload.public_sealing_key(PRIVATE_KEY)
STRANGERS_PRIVATE_KEY = bytes(96)
SIGNING_KEY = ec.derive_private_key(2020, ec.SECP256R1())
PUBLIC_KEY = SIGNING_KEY.public_key()
MONDAY = 20_000 * DAY
CODE = "K7QX9M2PWDHT4VNB"
NONCE = Opaque(b"\xa5" * 16)

codes = st.from_regex(r"[0-9A-Z]{6,24}", fullmatch=True)
nonces = st.binary(min_size=16, max_size=16).map(Opaque)


@st.composite
def uploads(draw: st.DrawFn) -> Upload:
    protocol = draw(st.sampled_from(NAMES))
    size = KEY_SIZES[protocol]
    keys = st.builds(
        lambda secret, start, period: DiagnosisKey(
            protocol, Opaque(secret), start * INTERVAL, (start + period) * INTERVAL
        ),
        st.binary(min_size=size, max_size=size),
        st.integers(0, 200_000_000),
        st.integers(1, 15 * 144),
    )
    hearings = st.builds(Hearing, st.binary(min_size=8, max_size=8).map(Opaque), st.integers(-12, 12))
    told = draw(st.lists(hearings, max_size=upload.MOST_HEARINGS, unique_by=lambda hearing: bytes(hearing.tag)))
    return Upload(
        draw(codes),
        tuple(draw(st.lists(keys, min_size=1, max_size=upload.MOST_KEYS))),
        draw(nonces),
        tuple(sorted(told, key=lambda hearing: bytes(hearing.tag))),
    )


accepted = st.builds(Receipt, nonces, st.just(True), st.just(""), st.sampled_from(Tier), st.integers(0, (1 << 47) - 1))
refused = st.builds(
    Receipt,
    nonces,
    st.just(False),
    st.from_regex(r"[a-z-]{1,24}", fullmatch=True),
    st.none(),
    st.integers(0, (1 << 47) - 1),
)


def key(protocol: str = "bluezone", **changes: Any) -> DiagnosisKey:
    secret = Opaque(b"\x5a" * KEY_SIZES.get(protocol, 32))
    return replace(DiagnosisKey(protocol, secret, MONDAY, MONDAY + DAY), **changes)


def message(*keys: DiagnosisKey, **changes: Any) -> Upload:
    return replace(Upload(CODE, keys or (key(),), NONCE), **changes)


# sealing


def test_chaff_is_sealed_and_says_nothing() -> None:
    chaff = [upload.seal_chaff(SEALING_KEY) for _ in range(2)]

    assert [len(sealed) for sealed in chaff] == [SEALED_SIZE, SEALED_SIZE]
    assert chaff[0] != chaff[1]
    with pytest.raises(UploadError, match="another version"):
        upload.open_sealed(chaff[0], PRIVATE_KEY)


@settings(deadline=None)
@given(uploads())
def test_what_is_sealed_is_opened(whole: Upload) -> None:
    sealed = upload.seal(whole, SEALING_KEY)

    assert len(sealed) == SEALED_SIZE
    assert upload.open_sealed(sealed, PRIVATE_KEY) == whole


def test_a_generated_key_opens_what_is_sealed_to_its_public_half() -> None:
    private_key = upload.generate_sealing_key()

    sealed = upload.seal(message(), upload.public_sealing_key(private_key))

    assert upload.open_sealed(sealed, private_key) == message()


def test_the_same_upload_never_looks_the_same() -> None:
    assert upload.seal(message(), SEALING_KEY) != upload.seal(message(), SEALING_KEY)


def test_what_the_authority_decides_does_not_travel() -> None:
    boastful = message(key(tier=Tier.F2, days_since_onset=3))

    assert upload.open_sealed(upload.seal(boastful, SEALING_KEY), PRIVATE_KEY) == message()


def test_hpke_by_hand_opens_it() -> None:
    """RFC 9180 base mode with KEM 0x647A (X-Wing), KDF 1 (HKDF-SHA256), AEAD 3 (ChaCha20-Poly1305), from nothing but
    its primitives. Source: RFC 9180, sections 4 and 5.1; draft-connolly-cfrg-xwing-kem, section 5.3."""
    sealed = upload.seal(message(), SEALING_KEY)

    lattice_part, curve_part, ciphertext = sealed[:1088], sealed[1088:1120], sealed[1120:]
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(PRIVATE_KEY[:64])
    curve = x25519.X25519PrivateKey.from_private_bytes(PRIVATE_KEY[64:])
    shared = hashlib.sha3_256(
        lattice.decapsulate(lattice_part)
        + curve.exchange(x25519.X25519PublicKey.from_public_bytes(curve_part))
        + curve_part
        + SEALING_KEY[1184:]
        + rb"\./"
        + rb"/^" + b"\\"
    ).digest()  # fmt: skip
    context = b"\0" + extract(b"psk_id_hash", b"") + extract(b"info_hash", b"bluezoned upload v1")
    secret = extract(b"secret", b"", salt=shared)
    plain = ChaCha20Poly1305(expand(secret, b"key", context, 32)).decrypt(
        expand(secret, b"base_nonce", context, 12), ciphertext, b""
    )

    assert plain == (
        bytes([1, 16]) + CODE.encode().ljust(24, b"\0") + NONCE + bytes([1, 1])
        + b"\x5a" * 32 + (MONDAY // 600_000).to_bytes(4) + (144).to_bytes(2)
    ).ljust(2048, b"\0")  # fmt: skip


SUITE = b"HPKE" + bytes.fromhex("647a 0001 0003")


def extract(label: bytes, secret: bytes, salt: bytes = bytes(32)) -> bytes:
    return hmac.digest(salt, b"HPKE-v1" + SUITE + label + secret, "sha256")


def expand(secret: bytes, label: bytes, context: bytes, size: int) -> bytes:
    return hmac.digest(secret, size.to_bytes(2) + b"HPKE-v1" + SUITE + label + context + b"\1", "sha256")[:size]


# opening


def opening_error(data: bytes, private_key: bytes = PRIVATE_KEY) -> UploadError:
    with pytest.raises(UploadError) as caught:
        upload.open_sealed(data, private_key)
    return caught.value


def sealed_bytes(plain: bytes) -> bytes:
    """What somebody seals who does not ask our encoder."""
    public_key = hpke.MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(SEALING_KEY[:1184]),
        x25519.X25519PublicKey.from_public_bytes(SEALING_KEY[1184:]),
    )
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    return suite.encrypt(plain, public_key, b"bluezoned upload v1")


def plain_text(head: str, body: bytes = b"\x5a" * 32 + bytes.fromhex("002bf200 0090")) -> bytes:
    """Version and code size in hex, then the rest of a good upload."""
    return (bytes.fromhex(head) + CODE.encode().ljust(24, b"\0") + NONCE + b"\1\1" + body).ljust(2048, b"\0")


def test_another_authority_cannot_open_it() -> None:
    opening_error(upload.seal(message(), SEALING_KEY), STRANGERS_PRIVATE_KEY)


@settings(deadline=None)
@given(st.integers(0, SEALED_SIZE * 8 - 1))
def test_a_flipped_bit_is_refused(bit: int) -> None:
    sealed = upload.seal(message(), SEALING_KEY)

    opening_error((int.from_bytes(sealed) ^ 1 << bit).to_bytes(SEALED_SIZE))


@pytest.mark.parametrize("size", [0, 1, 1120, SEALED_SIZE - 1, SEALED_SIZE + 1])
def test_another_size_is_refused(size: int) -> None:
    opening_error(bytes(size))


def test_noise_of_the_right_size_is_refused() -> None:
    opening_error(bytes(SEALED_SIZE))


def test_a_good_text_sealed_by_another_is_opened() -> None:
    """Or the refusals below would prove nothing."""
    assert len(upload.open_sealed(sealed_bytes(plain_text("0110")), PRIVATE_KEY).keys) == 1


@pytest.mark.parametrize(
    "plain",
    [
        plain_text("0210"),
        plain_text("0010"),
        plain_text("0100"),
        plain_text("010f"),
        plain_text("0111"),
        plain_text("01ff"),
        plain_text("0110").replace(b"K7QX", b"K7qX"),
        plain_text("0110").replace(b"K7QX", b"K7\xffX"),
        plain_text("0110").replace(NONCE + b"\1\1", NONCE + b"\3\1"),
        plain_text("0110").replace(NONCE + b"\1\1", NONCE + b"\1\0"),
        plain_text("0110").replace(NONCE + b"\1\1", NONCE + b"\1\2"),
        plain_text("0110").replace(NONCE + b"\1\1", NONCE + b"\1\x1f"),
        plain_text("0110").replace(NONCE + b"\1\1", NONCE + b"\0\xff"),
        plain_text("0110", b"\x5a" * 32 + bytes.fromhex("002bf200 0000")),
        plain_text("0110", b"\x5a" * 32 + bytes.fromhex("002bf200 0871")),
        plain_text("0110")[:-1] + b"\1",
        plain_text("0110", b"\x5a" * 32 + bytes.fromhex("002bf200 0090 02 0000000000000000 01")),
        plain_text("0110", b"\x5a" * 32 + bytes.fromhex("002bf200 0090 01 0000000000000001 0d")),
        plain_text("0110", b"\x5a" * 32 + bytes.fromhex("002bf200 0090 ff")),
    ],
    ids=range(19),
)
def test_a_sealed_nonsense_is_refused(plain: bytes) -> None:
    opening_error(sealed_bytes(plain))


@pytest.mark.parametrize(
    "plain",
    [plain_text("0110").replace(b"K7QX", b"K7\xffX"), plain_text("0110").replace(b"K7QX", b"k7qx")],
)
def test_no_error_of_opening_shows_a_code_or_a_key(plain: bytes) -> None:
    """Nor its traceback, with every error that it was chained to."""
    shown = "".join(traceback.format_exception(opening_error(sealed_bytes(plain))))

    assert "9M2PWDHT" not in shown
    assert "0xff" not in shown
    assert "5a5a" not in shown
    assert r"\x5a" not in shown
    assert "ZZZZ" not in shown


# what is not even sealed


@pytest.mark.parametrize(
    "wrong",
    [
        message(code=""),
        message(code="12345"),
        message(code="1234-5678"),
        message(code="\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668"),
        message(nonce=Opaque(bytes(15))),
        replace(message(), keys=()),
        message(*[key()] * 31),
        message(key("herald")),
        message(key("gaen"), key("dp3t")),
        message(key(secret=Opaque(bytes(16)))),
        message(key(start=MONDAY + 1)),
        message(key(start=-DAY, end=0)),
        message(key(end=MONDAY)),
        message(key(end=MONDAY + 15 * DAY + INTERVAL)),
        message(hearings=(Hearing(Opaque(bytes(8)), 13),)),
        message(hearings=(Hearing(Opaque(bytes(7)), 0),)),
        message(hearings=(Hearing(Opaque(bytes(8)), 0),) * 2),
        message(hearings=tuple(Hearing(Opaque(n.to_bytes(8)), 0) for n in range(65))),
        message(hearings=tuple(Hearing(Opaque(n.to_bytes(8)), 0) for n in (2, 1))),
    ],
    ids=range(19),
)
def test_what_cannot_be_opened_is_not_sealed(wrong: Upload) -> None:
    with pytest.raises(UploadError):
        upload.seal(wrong, SEALING_KEY)


@pytest.mark.parametrize("sealing_key", [b"", SEALING_KEY[:-1], b"\xff" * len(SEALING_KEY)])
def test_a_damaged_sealing_key_is_refused(sealing_key: bytes) -> None:
    with pytest.raises(UploadError):
        upload.seal(message(), sealing_key)


def test_a_damaged_private_key_is_refused() -> None:
    with pytest.raises(UploadError):
        upload.public_sealing_key(PRIVATE_KEY[:-1])


# codes


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("12345678", "12345678"),
        (" 1234 5678\n", "12345678"),
        ("k7qx-9m2p-wdht-4vnb", CODE),
        ("K7QX\u00a09M2PWDHT4VNB", CODE),
    ],
)
def test_codes_are_taken_as_people_type_them(typed: str, code: str) -> None:
    assert upload.normalise_code(typed) == code


@pytest.mark.parametrize(
    "typed", ["", "12345", "1" * 25, "12345678!", "\u0661" * 8, "caf\u00e9-cafe-cafe", "1-" * 8 + "-" * 99]
)
def test_what_can_be_no_code_is_refused_and_not_repeated(typed: str) -> None:
    with pytest.raises(UploadError) as caught:
        upload.normalise_code(typed)

    assert typed.strip() == "" or typed not in str(caught.value)


# receipts


@given(accepted | refused)
def test_what_is_receipted_is_read(receipt: Receipt) -> None:
    data = upload.write_receipt(receipt, SIGNING_KEY)

    assert len(data) == RECEIPT_SIZE
    assert upload.read_receipt(data, PUBLIC_KEY) == receipt


def receipt_error(data: bytes) -> ReceiptError:
    with pytest.raises(ReceiptError) as caught:
        upload.read_receipt(data, PUBLIC_KEY)
    return caught.value


def signed_receipt(body: bytes, tag: bytes = b"bluezoned receipt v1\n") -> bytes:
    signature = SIGNING_KEY.sign(tag + body, ec.ECDSA(SHA256()))
    return body + bytes([len(signature)]) + signature.ljust(72, b"\0")


GOOD_RECEIPT = NONCE + b"\1" + bytes(24) + b"\1" + MONDAY.to_bytes(8)


def test_the_layout_of_a_receipt() -> None:
    """As in docs/protocols/upload.md."""
    found = upload.read_receipt(signed_receipt(GOOD_RECEIPT), PUBLIC_KEY)

    assert found == Receipt(NONCE, True, "", Tier.F1, MONDAY)


def test_every_flipped_bit_of_a_receipt_is_refused() -> None:
    data = upload.write_receipt(Receipt(NONCE, True, "", Tier.F1, MONDAY), SIGNING_KEY)
    number = int.from_bytes(data)

    for bit in range(len(data) * 8):
        receipt_error((number ^ 1 << bit).to_bytes(len(data)))


def test_another_authoritys_receipt_is_refused() -> None:
    stranger = ec.derive_private_key(666, ec.SECP256R1())

    receipt_error(upload.write_receipt(Receipt(NONCE, True, "", Tier.F1, MONDAY), stranger))


@pytest.mark.parametrize("tag", [b"", b"bluezoned index v1\n", HEADER])
def test_a_signature_for_another_purpose_is_refused(tag: bytes) -> None:
    receipt_error(signed_receipt(GOOD_RECEIPT, tag))


def test_no_purpose_begins_like_another() -> None:
    """The one key signs three kinds of bytes; each begins with its own tag, and no tag begins with another."""
    tags = [HEADER, b"bluezoned index v1\n", b"bluezoned receipt v1\n"]

    assert not any(one.startswith(other) for one in tags for other in tags if one is not other)


@pytest.mark.parametrize("size", [0, RECEIPT_SIZE - 1, RECEIPT_SIZE + 1])
def test_a_receipt_of_another_size_is_refused(size: int) -> None:
    receipt_error(bytes(size))


@pytest.mark.parametrize(
    "body",
    [
        NONCE + b"\2" + bytes(24) + b"\1" + MONDAY.to_bytes(8),
        NONCE + b"\1" + bytes(24) + b"\3" + MONDAY.to_bytes(8),
        NONCE + b"\1" + bytes(24) + b"\xff" + MONDAY.to_bytes(8),
        NONCE + b"\0" + bytes(24) + b"\xff" + MONDAY.to_bytes(8),
        NONCE + b"\1" + b"code-used".ljust(24, b"\0") + b"\1" + MONDAY.to_bytes(8),
        NONCE + b"\0" + b"code-used".ljust(24, b"\0") + b"\1" + MONDAY.to_bytes(8),
        NONCE + b"\0" + b"code\0used".ljust(24, b"\0") + b"\xff" + MONDAY.to_bytes(8),
        NONCE + b"\0" + b"\x1b[2J".ljust(24, b"\0") + b"\xff" + MONDAY.to_bytes(8),
        NONCE + b"\0" + b"\xff".ljust(24, b"\0") + b"\xff" + MONDAY.to_bytes(8),
        NONCE + b"\1" + bytes(24) + b"\1" + b"\xff" * 8,
    ],
    ids=range(10),
)
def test_a_signed_receipt_that_cannot_be_is_refused(body: bytes) -> None:
    receipt_error(signed_receipt(body))


@pytest.mark.parametrize(
    "receipt",
    [
        Receipt(Opaque(b""), True, "", Tier.F0, 0),
        Receipt(NONCE, True, "code-used", Tier.F0, 0),
        Receipt(NONCE, True, "", None, 0),
        Receipt(NONCE, False, "", None, 0),
        Receipt(NONCE, False, "a" * 25, None, 0),
        Receipt(NONCE, False, "code-used", Tier.F0, 0),
        Receipt(NONCE, True, "", Tier.F0, -1),
    ],
    ids=range(7),
)
def test_a_receipt_that_a_reader_would_refuse_is_not_written(receipt: Receipt) -> None:
    with pytest.raises(ReceiptError):
        upload.write_receipt(receipt, SIGNING_KEY)


def test_whose_fault_it_is() -> None:
    assert issubclass(UploadError, ProtocolError)
    assert issubclass(ReceiptError, AuthorityError)


def test_nothing_that_prints_holds_a_code_or_a_key() -> None:
    shown = repr(message()) + repr(Receipt(NONCE, True, "", Tier.F0, 0))

    assert CODE not in shown
    assert r"\x" not in shown
