"""Exports of other authorities become keys of this one, once, and go when their source takes them back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from bluezoned import key_export, transparency_log
from bluezoned.authority.cli.program import main
from bluezoned.authority.house import found_house, rotate_signing_key
from bluezoned.authority.imports import Imported, ImportRefused
from bluezoned.authority.staff import OPERATOR
from bluezoned.authority.verification import HOUR
from bluezoned.key_export import KeyExport, KeyExportError
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, ReportType, Tier
from tests.authority.conftest import settings
from tests.authority.ward import MIDNIGHT, NOON, Ward, key

VECTORS = Path(__file__).parent.parent / "vectors"
ABROAD = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def hue(tmp_path: Path) -> Iterator[Ward]:
    """Another authority."""
    directory = tmp_path / "hue"
    directory.mkdir()
    (directory / "authority.toml").write_text(settings(""))
    found_house(directory, "hue", os.urandom)
    opened = Ward(directory)
    yield opened
    opened.database.close()


def newest(ward: Ward) -> bytes:
    return (ward.files / ward.index().batches[-1].name).read_bytes()


def take(ward: Ward, *files: bytes, of: Ward, at: int = NOON + HOUR, source: str = "hue") -> Imported:
    return ward.house.imports.take(OPERATOR, source, [BytesIO(file) for file in files], of.public_key, at)


def abroad(
    *keys: DiagnosisKey, revoked: tuple[DiagnosisKey, ...] = (), at: int = NOON, protocol: str = "bluezone"
) -> bytes:
    """An export without a number."""
    return key_export.write(KeyExport(protocol, None, at - DAY, at, "abroad", keys, revoked), ABROAD, "abroad")


def take_abroad(
    ward: Ward, *files: bytes, at: int = NOON + HOUR, source: str = "abroad", tier: Tier | None = None
) -> Imported:
    streams = [BytesIO(file) for file in files]
    return ward.house.imports.take(OPERATOR, source, streams, ABROAD.public_key(), at, tier)


def told(ward: Ward) -> list[bytes]:
    return [bytes(each.secret) for export in ward.exports() for each in export.keys]


def taken_back(ward: Ward) -> list[bytes]:
    return [bytes(each.secret) for export in ward.exports() for each in export.revoked]


def test_boxes_hear_of_the_keys_of_others_in_our_own_logged_batch_once(ward: Ward, hue: Ward) -> None:
    case = hue.authority.open_case(Tier.F0, NOON)
    sent = key()
    assert hue.send_for(case.id, sent).accepted
    hue.publisher.publish(NOON)

    assert take(ward, newest(hue), of=hue) == Imported(new=1)
    assert take(ward, newest(hue), of=hue) == Imported(known=1)
    ward.publisher.publish(NOON + HOUR)
    assert take(ward, newest(hue), of=hue) == Imported(known=1)
    ward.publisher.publish(NOON + 2 * HOUR)

    ward.require_whole()
    assert told(ward) == [bytes(sent.secret)]
    (export,) = ward.exports()
    assert (export.keys[0].tier, export.keys[0].report_type) == (Tier.F0, ReportType.CONFIRMED_TEST)
    log = transparency_log.read((ward.directory / "public" / "log").read_bytes(), ward.public_key)
    assert log.knows(key_export.signed_digest(newest(ward)))


def test_what_the_source_takes_back_goes_here_too(ward: Ward, hue: Ward) -> None:
    case = hue.authority.open_case(Tier.F0, NOON)
    sent = key()
    hue.send_for(case.id, sent)
    hue.publisher.publish(NOON)
    take(ward, newest(hue), of=hue)
    ward.publisher.publish(NOON + HOUR)
    hue.authority.revoke(case.id, NOON + HOUR)
    hue.publisher.publish(NOON + HOUR)

    assert take(ward, newest(hue), of=hue) == Imported(revoked=1)
    ward.publisher.publish(NOON + 2 * HOUR)

    assert taken_back(ward) == [bytes(sent.secret)]
    ward.require_whole()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_key_that_was_taken_back_before_it_was_told_here_is_never_told(ward: Ward, order: tuple[int, int]) -> None:
    sent = key()
    files = (abroad(sent, at=NOON), abroad(revoked=(sent,), at=NOON + HOUR))

    for number in order:
        take_abroad(ward, files[number])
    ward.publisher.publish(NOON + HOUR)
    take_abroad(ward, files[0])
    ward.publisher.publish(NOON + 2 * HOUR)

    assert (told(ward), taken_back(ward)) == ([], [])


def test_files_are_taken_in_the_order_of_their_publication(ward: Ward) -> None:
    sent = key()

    taken = take_abroad(ward, abroad(revoked=(sent,), at=NOON + HOUR), abroad(sent, at=NOON))

    assert taken == Imported(new=1, revoked=1)


def test_key_that_comes_back_from_whoever_imported_it_is_not_taken(ward: Ward, hue: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON)
    ward.send_for(case.id, key())
    ward.publisher.publish(NOON)
    take(hue, newest(ward), of=ward, source="ward")
    hue.publisher.publish(NOON + HOUR)

    assert take(ward, newest(hue), of=hue) == Imported(known=1)
    ward.authority.revoke(case.id, NOON + HOUR)
    # Hue has not heard of it yet, and tells the key still.
    assert take(ward, newest(hue), of=hue) == Imported(known=1)
    ward.publisher.publish(NOON + 2 * HOUR)

    assert len(told(ward)) == len(taken_back(ward)) == 1


@pytest.mark.parametrize("protocol", ["bluezone", "gaen", "dp3t"])
def test_authorities_that_import_from_one_another_come_to_rest(ward: Ward, hue: Ward, protocol: str) -> None:
    """Each fills its batches up with random keys, which the other cannot tell from real ones."""
    padded = {
        each: replace(each.publisher, manner=replace(each.publisher.manner, least_keys=50)) for each in (ward, hue)
    }
    case = ward.authority.open_case(Tier.F0, NOON)
    assert ward.send_for(case.id, key(protocol=protocol)).accepted
    at, taken = NOON, []
    for _ in range(4):
        for one, other in ((ward, hue), (hue, ward)):
            padded[one].publish(at)
            if one.index().batches:
                taken.append(take(other, newest(one), of=one, at=at, source="neighbour").new)
        at += 4 * HOUR

    # Hue takes one real key and the padding; what it tells on is no news to the ward, padding of the ward included.
    first = next(number for number in taken if number)
    assert first >= 50
    assert [number for number in taken if number] == [first]


def test_own_keys_are_hidden_among_padding_though_many_are_imported(ward: Ward) -> None:
    """Who reads the other's exports can take those keys away."""
    publisher = replace(ward.publisher, manner=replace(ward.publisher.manner, least_keys=50))
    imported = tuple(key() for _ in range(60))
    take_abroad(ward, abroad(*imported))
    case = ward.authority.open_case(Tier.F0, NOON)
    ward.send_for(case.id, key())
    publisher.publish(NOON + HOUR)

    assert len(set(told(ward)) - {bytes(each.secret) for each in imported}) >= 50


def test_nobody_takes_back_what_another_told(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON)
    own, theirs = key(), key()
    ward.send_for(case.id, own)
    take_abroad(ward, abroad(theirs))
    ward.publisher.publish(NOON + HOUR)

    assert take_abroad(ward, abroad(revoked=(own, theirs)), source="elsewhere") == Imported()
    assert take_abroad(ward, abroad(revoked=(own,))) == Imported()
    ward.publisher.publish(NOON + 2 * HOUR)

    assert taken_back(ward) == []


def test_own_contact_stands_when_the_same_key_falls_as_a_case_of_others(ward: Ward) -> None:
    shared = key()
    take_abroad(ward, abroad(shared))
    ward.publisher.publish(NOON + HOUR)
    source = ward.authority.open_case(Tier.F0, NOON)
    contact = ward.authority.open_case(Tier.F1, NOON, source.id)
    ward.send_for(contact.id, shared)
    ward.publisher.publish(NOON + 2 * HOUR)

    take_abroad(ward, abroad(revoked=(shared,), at=NOON + 2 * HOUR), at=NOON + 3 * HOUR)
    ward.publisher.publish(NOON + 3 * HOUR)
    ward.publisher.publish(NOON + 4 * HOUR)

    last = max(export.sequence or 0 for export in ward.exports() if export.revoked)
    after = [each.tier for export in ward.exports() if (export.sequence or 0) > last for each in export.keys]
    assert (taken_back(ward), after) == ([bytes(shared.secret)], [Tier.F1])


@pytest.mark.parametrize("spoil", ["signature", "cut", "foreign", "empty"])
def test_one_bad_file_and_nothing_is_taken(ward: Ward, spoil: str) -> None:
    good, other = abroad(key()), ec.generate_private_key(ec.SECP256R1())
    export = KeyExport("bluezone", None, NOON - DAY, NOON, "", (key(),))
    bad = {
        "signature": key_export.write(export, other, "abroad"),
        "cut": good[:-40],
        "foreign": b"PK\x03\x04" + bytes(400),
        "empty": b"",
    }[spoil]
    before = ward.everything()

    with pytest.raises(KeyExportError):
        take_abroad(ward, good, bad)

    assert ward.everything() == before


def test_own_exports_are_not_taken_back_in_not_even_those_of_an_earlier_key(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON)
    ward.send_for(case.id, key())
    ward.publisher.publish(NOON)
    file = newest(ward)
    with pytest.raises(ImportRefused, match="own key"):
        take(ward, file, of=ward)
    rotate_signing_key(ward.directory, NOON + 1, os.urandom)

    with pytest.raises(ImportRefused, match="own key"):
        take(ward, file, of=ward)


@pytest.mark.parametrize("source", ["", "x", "Huế", "a b", "=1+1", "-ab", "a" * 41])
def test_source_has_a_plain_name(ward: Ward, source: str) -> None:
    with pytest.raises(ImportRefused, match="small letters"):
        take_abroad(ward, abroad(key()), source=source)


def test_what_nobody_should_hear_of_is_left_out(ward: Ward) -> None:
    left = [
        key(start=NOON + 2 * HOUR, length=HOUR),  # not begun
        key(start=MIDNIGHT - 14 * DAY),  # forgotten here before long
        DiagnosisKey("bluezone", Opaque(os.urandom(32)), MIDNIGHT - DAY, MIDNIGHT, Tier.F2),
    ]
    running = key(start=MIDNIGHT)

    assert take_abroad(ward, abroad(running, *left)) == Imported(new=1, left_out=3)
    ward.publisher.publish(NOON + HOUR)
    assert told(ward) == []  # embargo
    ward.publisher.publish(NOON + DAY)
    assert told(ward) == [bytes(running.secret)]


def test_operator_says_the_tier_where_the_export_cannot(ward: Ward) -> None:
    take_abroad(ward, abroad(key()), tier=Tier.F1)
    ward.publisher.publish(NOON + HOUR)

    assert [each.tier for export in ward.exports() for each in export.keys] == [Tier.F1]


def test_imported_keys_are_forgotten_as_all_others_and_do_not_come_again(ward: Ward) -> None:
    sent = key(start=MIDNIGHT)
    take_abroad(ward, abroad(sent), at=NOON)
    assert bytes(sent.secret) in ward.everything()

    for day in range(1, 16):
        ward.publisher.publish(NOON + day * DAY)
        again = take_abroad(ward, abroad(sent), at=NOON + day * DAY)
        assert again.new == 0

    assert bytes(sent.secret) not in ward.everything()


def test_export_of_the_exposure_notification_server_is_taken(ward: Ward) -> None:
    public_key = load_pem_public_key((VECTORS / "gaen-server-public.pem").read_bytes())
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    file = (VECTORS / "gaen-server-2-keys.zip").read_bytes()
    at = (2_649_980 // 144 + 2) * DAY

    taken = ward.house.imports.take(OPERATOR, "server", [BytesIO(file)], public_key, at)
    ward.publisher.publish(at)

    assert taken == Imported(new=2)
    listed = json.loads((VECTORS / "gaen-server-2-keys.json").read_text())["temporaryExposureKeys"]
    (export,) = ward.exports()
    assert export.protocol == "gaen"
    assert sorted(each.start // 600_000 for each in export.keys) == sorted(k["rollingStartNumber"] for k in listed)


def test_more_keys_than_one_statement_takes(ward: Ward) -> None:
    keys = tuple(key() for _ in range(4_500))

    assert take_abroad(ward, abroad(*keys)) == Imported(new=4_500)
    assert take_abroad(ward, abroad(*keys)) == Imported(known=4_500)


def test_import_from_the_command_line_is_in_the_audit_log(ward: Ward, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(abroad(key(protocol="gaen"), protocol="gaen"))
    pem = ABROAD.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "abroad.pem").write_bytes(pem)

    def ran(pinned: str) -> tuple[int, str, str]:
        words = ["import", str(tmp_path / "a.zip"), "--public-key", str(tmp_path / pinned), "--source", "abroad"]
        done = CliRunner().invoke(main, [*words, "--data", str(ward.directory), "--json"])
        return done.exit_code, done.stdout, done.stderr

    # The keys' day is past or to come on the clock of this machine: all are left out, and said to be.
    code, out, _ = ran("abroad.pem")
    assert code == 0
    assert json.loads(out) == {"source": "abroad", "new": 0, "known": 0, "revoked": 0, "left_out": 1}
    assert b"keys-imported" in ward.everything()
    code, _, err = ran("a.zip")
    assert code == 2
    assert "no PEM public key" in err
