"""The whole job in a real browser: a nurse, the real server, two real boxes on a desk."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from bluezoned.authority.house import found_house
from bluezoned.demo import scene
from bluezoned.demo.cast import Beacon, Bus, Stage
from bluezoned.radio.desk import Desk
from bluezoned.radio.ether import Ether, PathLoss
from tests.authority.portal.conftest import EVENING
from tests.authority.portal.nurse import Nurse, arrive
from tests.authority.portal.served import Served

MINUTE = 60_000
HOUR = 60 * MINUTE

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Town:
    """An authority with its portal, and two people who sit together for half an hour."""

    def __init__(self, served: Served, boxes: dict[str, Beacon]) -> None:
        self.served, self.desk, self.boxes = served, served.desk, boxes

    async def sync(self) -> None:
        for box in self.boxes.values():
            process = await box.start_sync()
            await process.communicate()
            assert process.returncode == 0

    async def light(self, name: str) -> str:
        return (await self.boxes[name].status()).indication


@pytest_asyncio.fixture(loop_scope="module")
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    environment = Stage(tmp_path, tmp_path / "desk", "", 0).environment
    bus = Bus(tmp_path, environment)
    ether = Ether()
    for one, other in (("a", "b"), ("b", "a")):
        near = PathLoss(0.5, level_1m=scene.LEVEL_1M, shadowing=1)
        ether.open_path(one, other, near, EVENING, EVENING + 30 * MINUTE)
    found_house(tmp_path / "authority", "Ward-3", os.urandom)
    key = (tmp_path / "authority" / "device.toml").read_text()
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(Desk(ether, EVENING, tmp_path / "desk"))
        served = Served(tmp_path, desk, tmp_path / "desk")
        stack.push_async_callback(served.stop)
        await served.start()
        stage = Stage(tmp_path, tmp_path / "desk", bus.address, served.port)
        settings = {n: scene.settings(n, "bluezone", tmp_path, bus.address, stage.url, key) for n in "ab"}
        boxes = {name: Beacon(name, stage, settings[name]) for name in "ab"}
        for player in (bus, *boxes.values()):
            stack.push_async_callback(player.stop)
            await player.start()
        for box in boxes.values():
            await box.ready()
        yield Town(served, boxes)


async def add_passkey(nurse: Nurse) -> None:
    """With a virtual authenticator of Chromium: everything but the finger is real."""
    devtools = await nurse.context.new_cdp_session(nurse.page)
    await devtools.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "usb", "hasResidentKey": False, "hasUserVerification": True,
           "isUserVerified": True, "automaticPresenceSimulation": True}  # fmt: skip
    await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": key})
    await nurse.open("/portal/enrol/passkey")
    await nurse.press("Set up a passkey")
    await expect(nurse.page.get_by_text("The second step is set up.")).to_be_visible()


@pytest.mark.timeout(600)
async def test_from_the_first_run_to_a_light_that_goes_out_again(town: Town, browser: Browser) -> None:
    nurse = await arrive(town.served, browser)
    page = nurse.page
    await nurse.set_up("lan")
    assert await nurse.heading() == "Today"
    await add_passkey(nurse)
    await town.desk.advance(EVENING + 40 * MINUTE)
    await town.sync()
    await town.desk.advance(EVENING + 42 * MINUTE)

    # The session has ended meanwhile: half an hour passed on the desk. In again with the passkey.
    await nurse.open("/portal/cases/new")
    assert await nurse.heading() == "Sign in"
    await nurse.sign_in("lan")
    await nurse.press("Use my passkey")
    await expect(page.locator("h1")).to_have_text("Today")

    case = await nurse.register(reference="KHOA2-0017", onset="2026-11-01")
    await nurse.press("Issue a code")
    code = await nurse.slip_code()
    await nurse.press("To the case")
    await expect(page.locator("#codes .badge")).to_have_text("issued")

    # The box sends, and the page turns by itself.
    await town.boxes["a"].consent(code)
    await town.sync()
    await expect(page.locator("#codes .badge")).to_have_text("used")
    await nurse.picture("case-used")

    await town.desk.advance(EVENING + 2 * HOUR + 2 * MINUTE)
    await town.sync()
    await town.desk.advance(EVENING + 2 * HOUR + 4 * MINUTE)
    assert [await town.light(name) for name in "ab"] == ["OWN_CASE", "F1"]

    # And in with the six digits, to take it back.
    await nurse.sign_in("lan")
    await nurse.fill("Six digits", nurse.digits())
    await nurse.press("Continue")
    await nurse.open(f"/portal/cases/{case}/revoke")
    await nurse.press("Revoke it")
    await expect(page.get_by_text("The case is revoked.")).to_be_visible()
    await town.desk.advance(EVENING + 3 * HOUR + 2 * MINUTE)
    await town.sync()
    await town.desk.advance(EVENING + 3 * HOUR + 4 * MINUTE)
    assert await town.light("b") not in ("F1", "F2", "OWN_CASE")
    nurse.require_quiet()
    # The passkey's library would tell which key came in.
    assert "fido2" not in town.served.log.read_text()
