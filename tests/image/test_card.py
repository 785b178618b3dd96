"""The flashable card in QEMU: make test-image. One boot of each board tells all; the tests read what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bluezoned.first_boot import card as first_boot
from tests.image.machine import BUILT, Card, Said, selftest, tool

MB = 1_000_000

SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@home"
GOOD = f"""
name = "hop-7"
[wifi]
ssid = "phong kham"
password = "its-password-on-the-card"
country = "VN"
[ssh]
key = "{SSH_KEY}"
[alert]
kernel_led = "ACT"
"""
BAD = '''
name = "hộp số 7"
[wifi]
ssid = ""
password = "short"
country = "Việt Nam"
[wify]
ssid = "phong kham"
[ssh]
key = """-----BEGIN OPENSSH PRIVATE KEY-----
-----END OPENSSH PRIVATE KEY-----"""
[update]
public_key = "x"
[authority]
url = "https://y-te.example"
public_key = """-----BEGIN PUBLIC KEY-----
MFkw
-----END PUBLIC KEY-----"""
[beacon]
profile = "kios"
[alert]
kernel_leds = "ACT"
[exposure]
bucket_thresholds_db = [70, 60, 50]
[log]
level = "debug"
'''
BAD_NAME = "bluezoned.toml.txt"
"""With the name, as many kinds of mistakes as one file can have."""


@pytest.fixture(scope="session")
def authority(place: Path) -> Path:
    """A founded one that has published its first list."""
    data = place / "authority"
    for words in (("init", "--yes"), ("publish",)):
        program = Path(sys.executable).with_name("bluezone-authority")
        subprocess.run([program, *words, "--data", data], check=True, capture_output=True)
    return data


@pytest.fixture(scope="session")
def virt_card(place: Path, authority: Path) -> Card:
    (place / "virt").mkdir()
    card = Card(place / "virt")
    card.write(GOOD + (authority / "device.toml").read_text(), "bluezoned.toml")
    card.put(authority / "public", "keys")
    return card


@pytest.fixture(scope="session")
def virt(virt_card: Card) -> Said:
    """A fast board: a good boot file, and keys on the boot partition."""
    return selftest("virt", virt_card)


@pytest.fixture(scope="session")
def raspi(place: Path) -> Said:
    """A Pi 3 from its card slot: a bad boot file."""
    (place / "raspi3b").mkdir()
    card = Card(place / "raspi3b")
    card.write(BAD, BAD_NAME)
    return selftest("raspi3b", card)


@pytest.fixture(params=["virt", "raspi"])
def said(request: pytest.FixtureRequest) -> Said:
    """Of either board."""
    found: Said = request.getfixturevalue(request.param)
    return found


def fields(said: Said, word: str, key: str) -> list[str]:
    """The rest of the line of `word` that begins with `key`."""
    (line,) = (line for line in said[word] if line.split()[0] == key)
    return line.split()[1:]


def test_it_is_small_enough_to_be_fetched() -> None:
    (packed,) = BUILT.glob("*.img.xz")

    assert packed.stat().st_size <= 400 * MB


def test_the_bill_names_what_is_on_it() -> None:
    (bill,) = BUILT.glob("*.sbom.json")
    names = {component["name"] for component in json.loads(bill.read_text())["components"]}

    assert {"bluezoned", "bluez", "linux-image-arm64", "bleak", "cryptography"} <= names


def test_imager_is_told_what_it_will_write() -> None:
    (offered,) = json.loads((BUILT / "bluezoned.rpi-imager-manifest").read_text())["os_list"]
    (image,) = BUILT.glob("*.img")
    (packed,) = BUILT.glob("*.img.xz")

    assert offered["extract_size"] == image.stat().st_size
    assert offered["image_download_size"] == packed.stat().st_size


def test_the_firmware_finds_what_it_starts(virt_card: Card) -> None:
    """QEMU does not run the Pi's own firmware: by what it reads, then."""
    config = virt_card.read("config.txt")
    named = {line.split()[1] for line in config.splitlines() if line.startswith("initramfs ")}
    kernels = {line.partition("=")[2] for line in config.splitlines() if line.startswith("kernel=")}

    assert named | kernels <= set(virt_card.names)
    assert named
    assert kernels
    assert {"bootcode.bin", "start.elf", "start4.elf", "fixup.dat", "fixup4.dat"} <= set(virt_card.names)
    trees = {"bcm2837-rpi-zero-2-w.dtb", "bcm2837-rpi-3-b.dtb", "bcm2837-rpi-3-b-plus.dtb", "bcm2711-rpi-4-b.dtb"}
    assert trees <= set(virt_card.names)
    assert {"root=LABEL=ROOT", "rootwait", "fsck.repair=yes"} <= set(virt_card.words)


def test_it_comes_up_whole(said: Said) -> None:
    assert said["state"] == ["running"]
    assert "failed" not in said
    assert fields(said, "active", "bluezoned") == ["active"]


def test_it_is_honest_about_the_missing_adapter(said: Said) -> None:
    status = json.loads(said["status"][0])

    assert (status["hearing"], status["advertising"]) == (False, False)
    assert any("Bluetooth" in problem for problem in status["problems"])
    assert "NRestarts=0" in said["bluezoned"]


def test_the_data_partition_has_grown_to_the_cards_end(said: Said) -> None:
    _, kind, size, options = fields(said, "mount", "/data")

    assert kind == "ext4"
    # Of 4 GiB, less the other two partitions and what a file system needs.
    assert int(size) > 2_000 * MB
    assert {"noatime", "nosuid", "nodev", "noexec"} <= set(options.split(","))
    assert fields(said, "mount", "/var/lib/bluezoned")[0].endswith("[/state]")
    assert fields(said, "mount", "/var/spool/bluezoned")[0].endswith("[/spool]")
    assert "bluezoned bluezoned 700 /var/lib/bluezoned" in said["owner"]


def test_it_writes_little(said: Said) -> None:
    assert fields(said, "mount", "/tmp")[1] == "tmpfs"
    assert "commit=60" in fields(said, "mount", "/")[3]
    assert said["swap"] == ["/dev/zram0"]


def test_nobody_comes_in_by_a_password(said: Said) -> None:
    assert "password" not in said


def test_lights_and_buttons_are_in_reach(raspi: Said) -> None:
    assert any("root gpio" in line for line in raspi["gpio"])


def test_the_boot_file_is_taken_over(virt: Said) -> None:
    assert virt["machine"][0].startswith("hop-7 ")
    assert virt["boot"] == ["bluezoned-imported.toml bluezoned.toml.example"]
    assert 'kernel_led = "ACT"' in virt["setting"]
    assert virt["key"] == ["me@home"]
    assert virt["wifi"] == ["ssid", "psk"]
    assert fields(virt, "active", "ssh") == ["active"]


def test_its_password_is_erased_from_the_card(virt: Said) -> None:
    assert virt["password-on-fat"] == ["0"]


def test_it_is_found_by_its_name_on_the_network(virt: Said) -> None:
    """ssh pi@hop-7.local: multicast DNS answers."""
    assert any(line.endswith(":5353") for line in virt["listens"])


def test_keys_on_the_boot_partition_are_taken_in(virt: Said) -> None:
    status = json.loads(virt["status"][0])

    assert virt["import"] == ["Result=success ExecMainStatus=0 ConditionResult=yes"]
    assert status["keys_updated_at"] is not None
    assert "root bluezoned-spool 640 /boot/firmware/config.txt" in virt["owner"]


def test_a_bad_boot_file_is_told_of_and_does_not_stop_the_boot(raspi: Said, tmp_path: Path) -> None:
    """With the words that tests/first_boot holds to each kind; test_it_comes_up_whole sees the boot go on."""
    boot, root = tmp_path / "boot", tmp_path / "root"
    boot.mkdir()
    root.mkdir()
    (boot / BAD_NAME).write_text(BAD)
    here = first_boot.run(boot, root)
    assert here is not None
    assert len({problem.kind for problem in here.problems}) == 12
    told = (boot / first_boot.PROBLEMS).read_text(encoding="utf-8-sig").splitlines()

    assert raspi["problem"] == [line for line in told if line.startswith("- ")]
    assert raspi["boot"] == [f"{first_boot.PROBLEMS} bluezoned.toml.example {BAD_NAME}"]
    assert raspi["setting"] == ['level = "debug"']
    assert fields(raspi, "active", "ssh") == ["inactive"]


def test_its_file_systems_are_whole_afterwards(virt: Said, virt_card: Card) -> None:
    for number in (2, 3):
        start, size = virt_card.partition(number)
        part = virt_card.place / "part"
        with virt_card.image.open("rb") as image, part.open("wb") as copy:
            os.posix_fallocate(copy.fileno(), 0, size)
            image.seek(start)
            os.sendfile(copy.fileno(), image.fileno(), start, size)
        tool("e2fsck", "-fn", part)
