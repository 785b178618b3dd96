"""The boot file on a card: what it leaves there, and on the machine."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from bluezoned import config_source
from bluezoned.first_boot import card, program
from bluezoned.first_boot.problem import Kind
from tests.first_boot.test_boot_file import AUTHORITY_KEY, SSH_KEY, WIFI

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

    def write(self, text: str, name: str = "bluezoned.toml") -> None:
        (self.boot / name).write_text(text)

    def start(self) -> None:
        """As at a boot; it never fails."""
        done = CliRunner().invoke(program.main, ["--boot", str(self.boot), "--root", str(self.root)])
        assert done.exit_code == 0, done.output

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
