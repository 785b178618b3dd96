"""The boot file on a card: what it leaves there, and on the machine."""

from __future__ import annotations

import json
import stat
import tempfile
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bluezoned import config_source
from bluezoned.first_boot import boot_file, card, program
from bluezoned.first_boot.problem import Kind
from tests.first_boot.test_boot_file import AUTHORITY_KEY, SSH_KEY, UPDATE_KEY, WIFI

PASSWORD = "rất bí mật"


class Card:
    """A boot partition and a machine, as directories."""

    def __init__(self, place: Path) -> None:
        self.boot = place / "boot"
        self.root = place / "root"
        self.boot.mkdir()
        for folder in ("etc", "root", "sys/class/leds/ACT"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")

    def write(self, text: str | bytes, name: str = "bluezoned.toml") -> None:
        (self.boot / name).write_bytes(text.encode() if isinstance(text, str) else text)

    def start(self) -> None:
        """As at a boot; it never fails."""
        done = CliRunner().invoke(program.main, ["--boot", str(self.boot), "--root", str(self.root)])
        assert done.exit_code == 0, done.output

    def told(self) -> list[str]:
        """The mistakes that bluezoned-problems.txt names, Vietnamese first."""
        text = (self.boot / "bluezoned-problems.txt").read_text(encoding="utf-8-sig")
        return [line.removeprefix("- ") for line in text.splitlines() if line.startswith("- ")]

    def names(self) -> set[str]:
        return {path.name for path in self.boot.iterdir()}


@pytest.fixture
def sd(tmp_path: Path) -> Card:
    return Card(tmp_path)


def test_a_good_file_is_taken_over_once(sd: Card) -> None:
    key = json.dumps(AUTHORITY_KEY)
    sd.write(
        f'name = "hop-7"\n{WIFI}[ssh]\nkey = "{SSH_KEY}"\n[authority]\nurl = "https://y.example"\npublic_key = {key}\n'
    )

    sd.start()

    assert sd.names() == {"bluezoned-imported.toml"}
    assert (sd.root / "etc/hostname").read_text() == "hop-7\n"
    assert (sd.root / "root/.ssh/authorized_keys").read_text() == f"{SSH_KEY}\n"
    drop_in = sd.root / "etc/bluezoned/bluezoned.toml.d/50-boot.toml"
    assert config_source.load([drop_in], {}, {}).authority.public_key == AUTHORITY_KEY
    assert list((sd.root / "sys/class/leds/ACT").iterdir()) == []


def test_nothing_happens_without_a_file(sd: Card) -> None:
    sd.start()

    assert sd.names() == set()


@pytest.mark.parametrize("inline", [False, True])
def test_the_password_is_gone_from_the_card(sd: Card, inline: bool) -> None:
    written = (
        f'wifi = {{ ssid = "nhà", password = "{PASSWORD}", country = "VN" }}\n' if inline else f"# nhà tôi\n{WIFI}"
    )
    sd.write(written)

    sd.start()

    left = (sd.boot / "bluezoned-imported.toml").read_text()
    assert PASSWORD not in left
    assert "(imported)" in left
    network = sd.root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf"
    assert PASSWORD not in network.read_text()
    assert "country=VN" in network.read_text()
    assert stat.S_IMODE(network.stat().st_mode) == 0o600


def test_where_network_manager_runs_it_gets_the_network(sd: Card) -> None:
    (sd.root / "etc/NetworkManager").mkdir()
    sd.write(WIFI)

    sd.start()

    connection = sd.root / "etc/NetworkManager/system-connections/bluezoned.nmconnection"
    assert "ssid=110;104;195;160;\n" in connection.read_text()
    assert stat.S_IMODE(connection.stat().st_mode) == 0o600


def test_a_mistake_is_told_on_the_card_and_by_the_light(sd: Card) -> None:
    sd.write(f'{WIFI}[beacon]\nprofile = "kios"\n')

    sd.start()

    told = (sd.boot / "bluezoned-problems.txt").read_text(encoding="utf-8-sig")
    assert "Dòng 6: Giá trị của beacon.profile không dùng được" in told
    assert "Line 6: The value of beacon.profile cannot be used" in told
    assert (sd.root / "sys/class/leds/ACT/trigger").read_text() == "timer"
    kept = (sd.boot / "bluezoned.toml").read_text()
    assert 'profile = "kios"' in kept
    assert PASSWORD not in kept


def test_a_mended_file_is_taken_over_at_the_next_boot(sd: Card) -> None:
    sd.write(f'{WIFI}[beacon]\nprofile = "kios"\n')
    sd.start()
    network = (sd.root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf").read_text()

    sd.write((sd.boot / "bluezoned.toml").read_text().replace("kios", "kiosk"))
    sd.start()

    assert sd.names() == {"bluezoned-imported.toml"}
    assert (sd.root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf").read_text() == network
    assert 'profile = "kiosk"' in (sd.root / "etc/bluezoned/bluezoned.toml.d/50-boot.toml").read_text()


def test_a_file_under_a_wrong_name_counts_and_is_told(sd: Card) -> None:
    sd.write(WIFI, "bluezoned.toml.txt")

    sd.start()

    assert "bluezoned.toml.txt" in (sd.boot / "bluezoned-problems.txt").read_text(encoding="utf-8-sig")
    assert PASSWORD not in (sd.boot / "bluezoned.toml.txt").read_text()


def test_what_cannot_be_written_is_told_and_the_rest_goes_on(sd: Card) -> None:
    sd.write(f'name = "hop"\n{WIFI}')
    # A file in the way of a directory.
    (sd.root / "etc/wpa_supplicant").write_text("")

    wishes = card.run(sd.boot, sd.root)

    assert wishes is not None
    assert [problem.kind for problem in wishes.problems] == [Kind.NOT_WRITTEN]
    assert (sd.root / "etc/hostname").read_text() == "hop\n"
    # Not taken over, so not erased either: it is wanted again.
    assert PASSWORD in (sd.boot / "bluezoned.toml").read_text()


def test_the_key_goes_to_the_first_person_where_there_is_one(sd: Card) -> None:
    (sd.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\npi:x:1000:1000::/home/pi:/bin/bash\n")
    sd.write(f'[ssh]\nkey = "{SSH_KEY}"\n')

    wishes = card.run(sd.boot, sd.root)

    folder = sd.root / "home/pi/.ssh"
    # Only root may give files away; without it that is a problem, and told.
    if wishes is not None and not wishes.problems:
        assert (folder.stat().st_uid, (folder / "authorized_keys").stat().st_uid) == (1000, 1000)
    assert (folder / "authorized_keys").read_text() == f"{SSH_KEY}\n"
    assert stat.S_IMODE((folder / "authorized_keys").stat().st_mode) == 0o600


def told_of(kind: Kind) -> tuple[str | bytes, str, str]:
    """A file with that mistake alone, and what a person reads of it."""
    match kind:
        case Kind.NAME_OF_FILE:
            return WIFI, "Tập tin tên là bluezoned.toml.txt.", "The file is called bluezoned.toml.txt."
        case Kind.TOO_LARGE:
            return b"#" * 70_000, "Tập tin quá lớn", "The file is too large"
        case Kind.NOT_TEXT:
            return b"PK\x03\x04\xff\xd8", "Tập tin không phải là văn bản.", "The file is not plain text."
        case Kind.CURLY_QUOTES:
            return "name = “hop-7”\n", "Dòng 1: Có dấu nháy cong", "Line 1: There are curly quotes"
        case Kind.NOT_TOML:
            return "\nname: hop-7\n", "Dòng 2: Không đọc được dòng này.", "Line 2: This line cannot be read."
        case Kind.EMPTY:
            return "# name\n", "Tập tin không có cài đặt nào.", "The file holds no setting."
        case Kind.NO_SUCH_SECTION:
            return '[wify]\nssid = "x"\n', "Dòng 1: Không có mục [wify].", "Line 1: There is no section [wify]."
        case Kind.NO_SUCH_OPTION:
            wrong = '[beacon]\nprofil = "kiosk"\n'
            return wrong, "Dòng 2: Không có tùy chọn beacon.profil.", "Line 2: There is no option beacon.profil."
        case Kind.NOT_ALLOWED:
            wrong = '[beacon]\nprofile = "kios"\n'
            return wrong, "Dòng 2: Giá trị của beacon.profile", "Line 2: The value of beacon.profile cannot be used"
        case Kind.CONTRADICTION:
            wrong = '[authority]\nurl = "https://y-te.example"\n'
            return wrong, "Dòng 2: authority.url mâu thuẫn", "Line 2: authority.url does not go with the rest"
        case Kind.BAD_NAME:
            return 'name = "hộp số 7"\n', "Dòng 1: Tên hộp chỉ được có", "Line 1: The box's name may have"
        case Kind.WIFI_NAME:
            wrong = WIFI.replace('"nhà"', '""')
            return wrong, "Dòng 2: Tên mạng Wi-Fi (ssid) bị thiếu", "Line 2: The Wi-Fi's name (ssid) is missing"
        case Kind.WIFI_PASSWORD:
            wrong = WIFI.replace(PASSWORD, "ngắn")
            return wrong, "Dòng 3: Mật khẩu Wi-Fi phải có từ 8", "Line 3: The Wi-Fi's password has 8 to 63"
        case Kind.WIFI_COUNTRY:
            wrong = WIFI.replace("VN", "Việt Nam")
            return wrong, "Dòng 4: Thiếu mã quốc gia hoặc mã sai.", "Line 4: The country is missing or wrong."
        case Kind.SSH_PRIVATE_KEY:
            wrong = '[ssh]\nkey = """-----BEGIN OPENSSH PRIVATE KEY-----\n"""\n'
            return wrong, "Dòng 2: Đây là khóa RIÊNG", "Line 2: This is the PRIVATE key"
        case Kind.SSH_KEY:
            return f'[ssh]\nkey = "{SSH_KEY[:40]}"\n', "Dòng 2: Khóa SSH không đúng.", "Line 2: This is no SSH key."
        case Kind.AUTHORITY_KEY:
            wrong = f'[authority]\nurl = "https://y.example"\npublic_key = """{AUTHORITY_KEY[:90]}"""\n'
            return wrong, "Dòng 3: Khóa công khai của cơ quan y tế", "Line 3: The authority's public key is damaged."
        case Kind.UPDATE_KEY:
            wrong = f'[update]\npublic_key = """{AUTHORITY_KEY}"""\n'
            return wrong, "Dòng 2: Khóa cập nhật phải là", "Line 2: The key of updates must be an Ed25519"
        case Kind.NOT_WRITTEN:
            return f'[update]\npublic_key = """{UPDATE_KEY}"""\n', "Hộp không ghi được", "The box could not write"


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_mistake_has_its_words_and_lets_the_boot_go_on(sd: Card, kind: Kind) -> None:
    content, vietnamese, english = told_of(kind)
    name = "bluezoned.toml.txt" if kind is Kind.NAME_OF_FILE else "bluezoned.toml"
    sd.write(content, name)
    if kind is Kind.NOT_WRITTEN:
        # A file in the way of a directory.
        (sd.root / "etc/bluezoned").write_text("")

    sd.start()

    first, second = sd.told()
    assert first.startswith(vietnamese)
    assert second.startswith(english)
    assert sd.names() == {name, "bluezoned-problems.txt"}
    assert (sd.root / "sys/class/leds/ACT/trigger").read_text() == "timer"


WIFI_IN_A_LINE = f'wifi = {{ ssid = "nhà", password = "{PASSWORD}", country = "VN" }}\n'


@pytest.mark.parametrize(
    "content",
    [
        "name = " + "[" * 30_000,
        "name" + ".a" * 30_000 + " = 1\n",
        WIFI_IN_A_LINE + "beacon" + ".a" * 30_000 + " = 1\n",
        "name = " + "9" * 5_000,
        "[beacon]\nlisten = [\n" + '"gaen",\n' * 7_000 + "]\n",
        "[authority]\nurl = 5\npublic_key = 7\n",
        WIFI_IN_A_LINE + "x = 1979-05-27\n",
        WIFI_IN_A_LINE + "[beacon]\nprofile = 1979-05-27T07:32:00Z\n",
        "\ufeff\ufeff",
        '["{what}"]\n"{0}" = "{said}"\n',
    ],
    ids=range(10),
)
def test_no_file_stops_the_boot(sd: Card, content: str) -> None:
    sd.write(content)

    sd.start()

    assert sd.told()


SIMPLE = st.text() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.dates() | st.times()
VALUES = st.recursive(
    SIMPLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6
)


@given(st.dictionaries(st.text(), st.dictionaries(st.text(), VALUES, max_size=3), max_size=3))
def test_what_is_written_back_says_the_same(document: dict[str, dict[str, object]]) -> None:
    assert tomllib.loads(boot_file.drop_in(document)) == document


PIECES = ["name", "wifi", "ssh", "key", "authority", "public_key", "beacon", "[", "]", "{", "}", "=", ".", ",", "\n"]
PIECES += ['"', '"""', "'", "\\", "#", " ", "7", "-", "nan", "1979-05-27", "true", "nhà", "“", "\r", "\x7f", WIFI]


@given(st.binary() | st.lists(st.sampled_from(PIECES)).map("".join).map(str.encode))
def test_any_bytes_are_taken_or_told(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        sd = Card(Path(place))
        sd.write(content)

        sd.start()

        assert ("bluezoned-imported.toml" in sd.names()) != ("bluezoned-problems.txt" in sd.names())
