"""The whole job in a real browser: a nurse, the real server, real boxes on a desk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from bluezoned.demo import scene
from bluezoned.radio.ether import Ether, PathLoss
from tests.authority.portal.conftest import EVENING
from tests.authority.portal.nurse import Nurse, arrive
from tests.authority.portal.town import Town, built

MINUTE = 60_000
HOUR = 60 * MINUTE

pytestmark = pytest.mark.asyncio(loop_scope="module")


def sitting_together(one: str, other: str, start: int, end: int, ether: Ether) -> None:
    """Two who hear each other at half a metre."""
    for sender, listener in ((one, other), (other, one)):
        ether.open_path(sender, listener, PathLoss(0.5, level_1m=scene.LEVEL_1M, shadowing=1), start, end)


@pytest_asyncio.fixture(loop_scope="module")
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """Two people who sit together for half an hour."""
    ether = Ether()
    sitting_together("a", "b", EVENING, EVENING + 30 * MINUTE, ether)
    async with built(tmp_path, ether, {"a": "", "b": ""}) as town:
        yield town


@pytest_asyncio.fixture(loop_scope="module")
async def market(tmp_path: Path) -> AsyncIterator[Town]:
    """A box that stands there, one who comes in the hour that will count, one who comes later on the same day."""
    ether = Ether()
    sitting_together("kiosk", "early", EVENING + 5 * MINUTE, EVENING + 35 * MINUTE, ether)
    sitting_together("kiosk", "late", EVENING + 90 * MINUTE, EVENING + 120 * MINUTE, ether)
    async with built(tmp_path, ether, {"kiosk": 'profile = "kiosk"\n', "early": "", "late": ""}) as town:
        yield town


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


@pytest.mark.timeout(600)
@pytest.mark.parametrize("hours", [("--from", "2026-11-03 03:00", "--to", "2026-11-03 04:00"), ()])
async def test_who_was_at_a_place_in_the_marked_hours_is_warned_and_nobody_else(
    market: Town, browser: Browser, hours: tuple[str, ...]
) -> None:
    """Also when the box's staff forget to name the hours: the authority publishes no more than it wrote down itself."""
    await market.desk.advance(EVENING + 130 * MINUTE)
    await market.sync()
    await market.desk.advance(EVENING + 132 * MINUTE)
    near = {name: await box.minutes_near() for name, box in market.boxes.items() if name != "kiosk"}
    assert all(minutes >= 20 for minutes in near.values()), near

    nurse = await arrive(market.served, browser)
    await nurse.set_up("lan")
    await nurse.open("/portal/venues")
    await nurse.fill("Name of the place", "Chợ trung tâm, cổng 3")
    await nurse.press("Add it")
    await nurse.page.locator("#start").select_option("03:00")
    await nurse.page.locator("#end").select_option("04:00")
    await nurse.press("Mark it and make the slip")
    code = await nurse.slip_code()
    await nurse.press("To the case")
    await expect(nurse.page.locator("#codes .badge")).to_have_text("issued")

    # As its staff type it at the box, in the hours of the place.
    await market.ctl("kiosk", "consent", code, *hours, "--yes", zone="Asia/Ho_Chi_Minh")
    await market.sync()
    await expect(nurse.page.locator("#codes .badge")).to_have_text("used")

    await market.desk.advance(EVENING + 4 * HOUR + 2 * MINUTE)
    await market.sync()
    await market.desk.advance(EVENING + 4 * HOUR + 4 * MINUTE)
    assert [await market.light(name) for name in ("kiosk", "early")] == ["OWN_CASE", "F1"]
    assert await market.light("late") == "ALL_WELL"
    nurse.require_quiet()
