"""A box under systemd says what it knows on real GPIO lines, and obeys a button: the kernel's gpio-sim reads and
presses them. Judged by the lines, not by what the box says of itself."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bluezoned import key_export, key_index, upload
from bluezoned.alert.gpio import GpioOutput
from bluezoned.alert.gpiod_pins import GpiodFactory, find_chip
from bluezoned.alert.pattern import Colour, Tone
from bluezoned.alert.wiring import Channel, Wiring
from bluezoned.control import names
from bluezoned.errors import AlertError
from bluezoned.export_message import KeyExport
from bluezoned.feed import spool as spool_names
from bluezoned.feed.spool import Spool
from bluezoned.key_index import Batch, KeyIndex
from bluezoned.protocols.bluezone import Bluezone, KeySchedule
from bluezoned.protocols.protocol import DAY
from tests.logbook import Logbook
from tests.system import boxes, gpio_chip
from tests.system.boxes import SPOOL, Box
from tests.system.conftest import EXTENDED, TREE, run, within, without_bluetoothd
from tests.system.gpio_chip import Chip, Lamp
from tests.system.medium.client import Air
from tests.system.radio_at_work import PHONE, PHONE_DATA

RED, AMBER, GREEN, BUZZER, BUTTON, SECOND_BUTTON = 17, 27, 22, 18, 23, 24
"""The preset `kiosk`."""
LIGHTS = RED, AMBER, GREEN, BUZZER

SIGNING_KEY = ec.generate_private_key(ec.SECP256R1())
PEM = SIGNING_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

SETTINGS = f"""
[exposure]
minutes = 1

[authority]
url = "http://127.0.0.1:9"
public_key = '''
{PEM}'''

[alert]
preset = "kiosk"
buzzer_kind = "active"
kernel_led = "{{kernel_led}}"
"""


@pytest.fixture
def chip(installed: None) -> Iterator[Chip]:
    shutil.copy(TREE / "systemd" / "60-bluezoned.rules", "/etc/udev/rules.d")
    run("udevadm", "control", "--reload")
    with gpio_chip.plugged_in() as chip:
        for button in (BUTTON, SECOND_BUTTON):
            chip.pull(button, "up")
        yield chip


@pytest.fixture
def kernel_led() -> Iterator[Path]:
    """The keyboard's light, handed to the daemon as our rule hands it a Pi's ACT."""
    run("modprobe", "atkbd")
    lights = Path("/sys/class/leds")
    within(20, lambda: bool(list(lights.glob("*::capslock"))), "a light of the kernel's")
    light = next(lights.glob("*::capslock"))
    for file in ("brightness", "trigger"):
        shutil.chown(light / file, group="gpio")
        (light / file).chmod(0o664)
    drop_in = Path("/etc/systemd/system/bluezoned@.service.d/light.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(f"[Service]\nReadWritePaths={light.resolve()}\n")
    run("systemctl", "daemon-reload")
    yield light
    shutil.rmtree(drop_in.parent)
    run("systemctl", "daemon-reload")


class Authority:
    """What sync would bring of one: a double for its server, with real signatures."""

    def __init__(self, box: Box) -> None:
        self._inbox = Spool(SPOOL / box.name).inbox
        self._sealing_key = upload.public_sealing_key(upload.generate_sealing_key())
        self._logbook = Logbook(SIGNING_KEY)

    def publish(self, *exports: KeyExport) -> None:
        batches = []
        for export in exports:
            data = key_export.write(export, SIGNING_KEY, "test")
            name, digest = f"batch{export.sequence}.zip", hashlib.sha256(data).digest()
            batches.append(
                Batch(export.sequence or 0, name, len(data), digest, export.protocol, export.start, export.end)
            )
            self._inbox.write(spool_names.LOG, self._logbook.signed([data]))
            self._inbox.write(spool_names.batch_name(export.sequence or 0, name), data)
        now = round(time.time() * 1000)
        index = KeyIndex("test", len(batches), now, now + 14 * DAY, self._sealing_key, tuple(batches))
        self._inbox.write(spool_names.INDEX, key_index.write(index, SIGNING_KEY))


def shows(chip: Chip, light: int, indication: str, box: Box) -> Lamp:
    """Waits until the box means it, and watches the lines for three repetitions from then on."""
    within(150, lambda: box.get("Indication") == [indication], lambda: f"{indication}: {box.ask('status')}")
    time.sleep(5)  # the repetition under way
    with Lamp(chip, *LIGHTS) as lamp:
        within(60, lambda: lamp.lit[light] >= 3, lambda: f"{indication}: lit {lamp.lit}")
    return lamp


@pytest.mark.timeout(900)
def test_the_lines_tell_what_the_box_knows_and_a_button_is_obeyed(air: Air, chip: Chip, kernel_led: Path) -> None:
    controller = EXTENDED[0]
    status = chip.device.stat()
    assert (chip.device.group(), oct(status.st_mode & 0o777)) == ("gpio", "0o660")
    # Somebody far off, since a box that hears nothing at all after a fault doubts its ear.
    air.phone(controller, PHONE, PHONE_DATA, rssi=-85, kind=3, every_ms=250, times=100_000)
    with boxes.started(air, "left", controller, SETTINGS.format(kernel_led=kernel_led.name)) as box:
        authority = Authority(box)
        stale = shows(chip, AMBER, "KEYS_STALE", box)
        assert stale.lit[GREEN] == stale.lit[RED] == 0

        authority.publish()
        well = shows(chip, GREEN, "ALL_WELL", box)
        assert well.lit[AMBER] == well.lit[RED] == well.lit[BUZZER] == 0
        lit = within(30, lambda: (kernel_led / "brightness").read_text() != "0\n", "the kernel's light blinks")
        assert lit < 30

        the_display_says("Mọi việc đều ổn.", box)

        with without_bluetoothd():
            deaf = shows(chip, AMBER, "CANNOT_HEAR", box)
            assert deaf.lit[GREEN] == 0
        within(120, box.is_well, lambda: box.ask("status"))

        publish_a_case(air, box, authority)
        with Lamp(chip, *LIGHTS) as announced:
            case = shows(chip, RED, "F1", box)
            within(60, lambda: announced.lit[BUZZER] >= 3, lambda: f"heard {announced.lit}")
        assert case.lit[GREEN] == case.lit[AMBER] == 0

        assert box.get("Acknowledged") == [False]
        with chip.pressed(BUTTON):
            time.sleep(0.4)
        within(60, lambda: box.get("Acknowledged") == [True], lambda: box.ask("status"))
        shows(chip, RED, "F1", box)

        with chip.pressed(BUTTON, SECOND_BUTTON):
            within(60, lambda: box.get("Paused") == [True], lambda: box.ask("status"))
    air.order("send_phones_away")


def the_display_says(sentence: str, box: Box) -> None:
    """On loopback, by a user whom the bus lets ask and nothing else."""
    drop_in = Path("/etc/systemd/system/bluezoned-display.service.d/instance.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(f"[Service]\nExecStart=\nExecStart=/usr/bin/bluezoned-display --instance {box.name}\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "bluezoned-display")
    try:
        with urlopen("http://127.0.0.1:8111/", timeout=20) as page:
            assert sentence in page.read().decode()
        name = names.bus_name(box.name)
        as_display = ("setpriv", "--reuid=bluezoned-display", "--clear-groups")
        asked = ("busctl", "call", name, names.PATH, "org.freedesktop.DBus.Properties", "GetAll", "s", names.INTERFACE)
        run(*as_display, *asked)
        for verb in ("Pause", "GetEncounters"):
            tried = subprocess.run(
                [*as_display, "busctl", "call", name, names.PATH, names.INTERFACE, verb],
                check=False, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert "Access denied" in tried.stderr
    finally:
        run("systemctl", "stop", "bluezoned-display")
        shutil.rmtree(drop_in.parent)
        run("systemctl", "daemon-reload")


def publish_a_case(air: Air, box: Box, authority: Authority) -> None:
    """Somebody stands beside the box for two minutes; then the authority publishes their key."""
    protocol = Bluezone(KeySchedule.INDEPENDENT)
    now = round(time.time() * 1000)
    key = protocol.daily_key(now - now % DAY, now - now % DAY + DAY, None, os.urandom)
    sent = protocol.advertisement(key, now, 0).encode()
    air.phone(box.controller, "3A:00:00:00:00:07", sent, rssi=-40, kind=3, every_ms=250, times=100_000)
    within(30, lambda: box.get("Nearby") == [1], lambda: box.ask("status"))
    within(240, lambda: (box.ask("encounters") or [{"minutes_near": 0}])[0]["minutes_near"] >= 2, "two minutes near")
    until = now - now % protocol.rotation + protocol.rotation
    published = round(time.time() * 1000)
    keys = (protocol.publish(key, until),)
    authority.publish(KeyExport("bluezone", 1, keys[0].start, published, "VN", keys))


def test_a_dimmed_light_and_a_tone_switch_their_line(chip: Chip) -> None:
    """Without a box: libgpiod's pins below gpiozero make both themselves. How evenly cannot be said of an emulation."""
    with closing(GpiodFactory(find_chip())) as pins, Lamp(chip, RED, BUZZER) as lamp:
        lights = GpioOutput(Wiring({Channel.RED: RED, Channel.GREEN: GREEN}), pins, level=0.5)
        buzzer = GpioOutput(Wiring({}, buzzer=BUZZER, buzzer_is_passive=True), pins)
        lights.show(Colour.RED, None)
        within(20, lambda: lamp.lit[RED] >= 5, "the dimmed light goes on and off")
        lights.show(Colour.DARK, None)
        buzzer.show(Colour.DARK, Tone.LOW)
        within(20, lambda: lamp.lit[BUZZER] >= 5, "the tone goes on and off")
        buzzer.show(Colour.DARK, None)
        before = dict(lamp.lit)
        time.sleep(1)

        assert not chip.is_high(RED)
        assert not chip.is_high(BUZZER)
        assert lamp.lit == before
        lights.close()
        buzzer.close()


def test_what_holds_a_pin_is_told(chip: Chip) -> None:
    with closing(GpiodFactory(find_chip())) as taken, closing(GpiodFactory(find_chip())) as pins:
        held = GpioOutput(Wiring({Channel.ANY: RED}), taken)
        with pytest.raises(AlertError, match=f"the only light on GPIO{RED}.*busy"):
            GpioOutput(Wiring({Channel.ANY: RED}), pins)
        held.close()
    with closing(GpiodFactory(find_chip())) as pins:
        GpioOutput(Wiring({Channel.ANY: RED}), pins).close()


def test_without_a_chip_of_a_pi_it_says_so() -> None:
    with pytest.raises(AlertError, match=r"no GPIO pins of a Raspberry Pi were found \(alert.gpio_chip"):
        find_chip()
