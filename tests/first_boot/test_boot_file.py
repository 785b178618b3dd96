"""What the boot file may say, and each mistake in it with its message in both languages."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bluezoned.first_boot import boot_file, network
from bluezoned.first_boot.boot_file import Wifi
from bluezoned.first_boot.problem import Kind, report


def public_pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


AUTHORITY_KEY = public_pem(ec.generate_private_key(ec.SECP256R1()))
UPDATE_KEY = public_pem(ed25519.Ed25519PrivateKey.generate())
SSH_KEY = (
    ed25519.Ed25519PrivateKey.generate()
    .public_key()
    .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    .decode()
)

WIFI = '[wifi]\nssid = "nhà"\npassword = "rất bí mật"\ncountry = "VN"\n'


def test_all_that_can_be_wished() -> None:
    text = (
        f'name = "Hop-7"\n{WIFI}[ssh]\nkey = "{SSH_KEY} me@there"\n[update]\npublic_key = """{UPDATE_KEY}"""\n'
        f'[beacon]\nprofile = "kiosk"\n[authority]\nurl = "https://y-te.example"\npublic_key = """{AUTHORITY_KEY}"""\n'
    )

    wishes = boot_file.read(text.encode())

    assert wishes.problems == []
    assert wishes.name == "hop-7"
    assert wishes.wifi == Wifi("nhà", "rất bí mật", "VN")
    assert wishes.ssh_key == f"{SSH_KEY} me@there"
    assert wishes.update_key == UPDATE_KEY
    assert wishes.settings["beacon"] == {"profile": "kiosk"}
    assert wishes.settings["authority"]["url"] == "https://y-te.example"


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        ("", Kind.EMPTY, None),
        ("name = hop", Kind.NOT_TOML, 1),
        ("[beacon]\nprofile = “kiosk”\n", Kind.CURLY_QUOTES, 2),
        ("name: hop\n", Kind.NOT_TOML, 1),
        ('name = "hộp số 7"', Kind.BAD_NAME, 1),
        ("name = 7", Kind.BAD_NAME, 1),
        ('[wify]\nssid = "x"\n', Kind.NO_SUCH_SECTION, 1),
        ('[wifi]\nSSID = "x"\n', Kind.NO_SUCH_OPTION, 2),
        ('[wifi]\nssid = "x"\npassword = 12345678\ncountry = "VN"\n', Kind.NOT_ALLOWED, 3),
        ('wifi = "x"\n', Kind.NOT_ALLOWED, 1),
        ('[wifi]\npassword = "12345678"\ncountry = "VN"\n', Kind.WIFI_NAME, 1),
        ('[wifi]\nssid = "x"\npassword = "1234567"\ncountry = "VN"\n', Kind.WIFI_PASSWORD, 3),
        ('[wifi]\nssid = "x"\ncountry = "VN"\n', Kind.WIFI_PASSWORD, 1),
        ('[wifi]\nssid = "x"\npassword = "12345678"\n', Kind.WIFI_COUNTRY, 1),
        ('[wifi]\nssid = "x"\npassword = "12345678"\ncountry = "Vietnam"\n', Kind.WIFI_COUNTRY, 4),
        ('[wifi]\nssid = "x"\npassword = "12345678"\ncountry = "UK"\n', Kind.WIFI_COUNTRY, 4),
        ('[ssh]\nkey = "my key"\n', Kind.SSH_KEY, 2),
        ('[ssh]\nkey = """-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA"""\n', Kind.SSH_PRIVATE_KEY, 2),
        ('[update]\npublic_key = "x"\n', Kind.UPDATE_KEY, 2),
        (f'[update]\npublic_key = """{AUTHORITY_KEY}"""\n', Kind.UPDATE_KEY, 2),
        ('[beacon]\nprofil = "kiosk"\n', Kind.NO_SUCH_OPTION, 2),
        ('[beacon]\nprofile = "kiosks"\n', Kind.NOT_ALLOWED, 2),
        ('[authority]\nurl = "https://y-te.example"\n', Kind.CONTRADICTION, 2),
        (f'[authority]\nurl = "http://y-te.example"\npublic_key = """{AUTHORITY_KEY}"""\n', Kind.CONTRADICTION, 2),
        (
            '[authority]\nurl = "https://y-te.example"\npublic_key = """-----BEGIN PUBLIC KEY-----\nMFkw"""\n',
            Kind.AUTHORITY_KEY,
            3,
        ),
        (f'[authority]\nurl = "https://y.example"\npublic_key = """{UPDATE_KEY}"""\n', Kind.AUTHORITY_KEY, 3),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, kind: Kind, line: int | None) -> None:
    wishes = boot_file.read(text.encode())

    assert [(problem.kind, problem.line) for problem in wishes.problems] == [(kind, line)]
    told = report(wishes.problems, [])
    assert wishes.problems[0].told(kind.vietnamese) in told
    assert wishes.problems[0].told(kind.english) in told
    assert "{" not in told


def test_bytes_that_are_no_text_and_files_that_are_too_large() -> None:
    assert [problem.kind for problem in boot_file.read(b"PK\x03\x04\x00\xff").problems] == [Kind.NOT_TEXT]
    assert [problem.kind for problem in boot_file.read(b"#" * 100_000).problems] == [Kind.TOO_LARGE]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_editors_of_windows_are_understood(encoding: str) -> None:
    wishes = boot_file.read(WIFI.replace("\n", "\r\n").encode(encoding))

    assert wishes.problems == []
    assert wishes.wifi is not None
    assert wishes.wifi.ssid == "nhà"


def test_a_section_with_a_mistake_leaves_the_others_alone() -> None:
    wishes = boot_file.read(
        f'name = "hop"\n[ssh]\nkey = "x"\n{WIFI}[beacon]\nprofile = "x"\n[log]\nlevel = "debug"\n'.encode()
    )

    assert wishes.name == "hop"
    assert wishes.wifi is not None
    assert wishes.ssh_key is None
    assert wishes.settings == {"log": {"level": "debug"}}
    assert [problem.kind for problem in wishes.problems] == [Kind.SSH_KEY, Kind.NOT_ALLOWED]


def test_no_message_repeats_a_password() -> None:
    wishes = boot_file.read(b'[wifi]\nssid = "x"\npassword = "secret1"\ncountry = "VN"\n[ssh]\nkey = "secret2"\n')

    assert len(wishes.problems) == 2
    assert "secret" not in report(wishes.problems, [])
    assert "secret" not in repr(wishes)


def test_the_key_is_what_wpa_makes_of_a_password() -> None:
    """IEEE 802.11-2016, J.4.2, first test vector."""
    key = network.wpa_key(Wifi("IEEE", "password", "VN"))

    assert key == "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
