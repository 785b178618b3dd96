"""Every page in a real browser, in both languages, on a desk's screen and a telephone's: seen, heard, printed."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from bluezoned.authority.office import Registration
from bluezoned.authority.portal import application
from bluezoned.authority.staff import OPERATOR, Actor, Role
from bluezoned.authority.venue import GRID, Hours
from bluezoned.authority.verification import HOUR, Kind
from bluezoned.protocols.protocol import DAY, Tier
from tests.authority.portal.conftest import EVENING
from tests.authority.portal.nurse import Nurse, arrive
from tests.authority.portal.served import PASSWORD, Served

LAN = Actor("lan")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(served: Served) -> dict[str, str]:
    """Two weeks of a ward, and one of each page's address by what it shows."""
    chance = random.Random(5)
    house = served.house
    for days in range(13, 0, -1):
        at = EVENING - days * DAY
        rows = [
            Registration(Tier.F0, reference=f"KHOA1-{n:04d}", onset=at // DAY - 2) for n in range(chance.randint(4, 30))
        ]
        done = house.office.register_all(LAN, rows, Kind.LONG, at)
        contacts = [Registration(Tier.F1, done[0].case.id) for _ in range(chance.randint(8, 20))]
        house.office.register_all(LAN, contacts, Kind.LONG, at)
    case = house.office.register(LAN, Registration(Tier.F0, reference="KHOA2-0017"), EVENING)
    house.office.issue(LAN, case.id, Kind.LONG, EVENING)
    contact = house.office.register(LAN, Registration(Tier.F1, case.id), EVENING)
    place = house.office.add_venue(LAN, "Chợ trung tâm, cổng 3", EVENING)
    start = EVENING - EVENING % GRID - 12 * HOUR
    house.office.mark_outbreak(LAN, place, Hours(start, start + 3 * HOUR), Kind.LONG, EVENING)
    house.personnel.invite(LAN, "minh", Role.ISSUER, EVENING)
    gone = house.office.register(LAN, Registration(Tier.F0), EVENING)
    house.office.revoke(LAN, gone.id, EVENING)
    return {"case": case.id, "contact": contact.id, "revoked": gone.id}


PAGES = (
    "", "cases", "cases?q=KHOA1-0001", "cases/new", "cases/{case}", "cases/{case}/revoke", "cases/{revoked}", "many",
    "venues", "statistics", "audit", "staff", "account", "knows", "enrol", "enrol/app", "enrol/passkey", "cases/C-NONE",
)  # fmt: skip

STRANGERS_PAGES = ("sign-in", "invitation", "knows")


async def test_every_page_that_can_be_shown_is_walked_through() -> None:
    """A new page must be put into PAGES, or a part of a page be named here."""
    parts = {"/static/{name:str}", "/cases/{case_id:str}/codes", "/audit.csv", "/statistics.csv", "/many/example.csv"}
    alone = {"/setup", "/second-factor"}  # are in the walk by their own nature
    walked = {"/" + page.partition("?")[0].replace("{case}", "{case_id:str}") for page in PAGES + STRANGERS_PAGES}
    shown = {path for handler in application.HANDLERS if "GET" in handler.http_methods for path in handler.paths}

    assert shown - parts - alone <= walked


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("locale", "phone"), [("en-GB", False), ("vi-VN", True)])
async def test_every_page_is_accessible_fits_and_asks_nobody_else(
    served: Served, browser: Browser, made: dict[str, str], locale: str, phone: bool
) -> None:
    nurse = await arrive(served, browser, "en-GB", phone)
    await come_in(nurse, "hoa" if phone else "lan", Role.ADMIN)
    if locale == "vi-VN":
        await nurse.press("Tiếng Việt")
    for page in PAGES:
        await nurse.open("/portal/" + page.format(**made))
        await require_good(nurse)
        await nurse.picture((page.partition("?")[0].replace("{", "").replace("}", "").replace("/", "-") or "home")
                            + ("-phone" if phone else ""))  # fmt: skip
    # What is shown as an answer to a form.
    await nurse.open(f"/portal/cases/{made['contact']}")
    await nurse.page.locator("form[action$=codes] button").click()
    await require_good(nurse)
    await nurse.picture("slip" + ("-phone" if phone else ""))
    await nurse.page.emulate_media(media="print")
    assert await nurse.page.locator(".slip").is_visible()
    assert not await nurse.page.locator(".top").is_visible()
    await nurse.page.emulate_media(media="screen")
    await nurse.open("/portal/cases/new")
    await nurse.page.locator("#reference").fill("0912 345 678")
    await nurse.page.locator("main form button").click()
    await require_good(nurse)
    await nurse.picture("mistake" + ("-phone" if phone else ""))
    await nurse.page.locator("form.leave button").click()
    for page in STRANGERS_PAGES:
        await nurse.open("/portal/" + page)
        await require_good(nurse)
    nurse.require_quiet()


async def come_in(nurse: Nurse, name: str, role: Role) -> None:
    """As somebody who was invited by the machine's operator."""
    await nurse.accept(nurse.served.house.personnel.invite(OPERATOR, name, role, EVENING))


async def require_good(nurse: Nurse) -> None:
    await nurse.require_accessible()
    wide = await nurse.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{nurse.page.url} is wider than the screen by {wide}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("locale", "phone"), [("en-GB", False), ("vi-VN", True)])
async def test_answers_results_and_refusals_are_accessible_and_fit(
    served: Served, browser: Browser, made: dict[str, str], tmp_path: Path, locale: str, phone: bool
) -> None:
    """What no address shows by itself."""
    nurse, house = await arrive(served, browser, locale, phone), served.house
    page, mine = nurse.page, "mai" if phone else "tam"
    await nurse.accept(house.personnel.invite(OPERATOR, mine, Role.ADMIN, EVENING), alike=require_good)

    # Somebody is invited, twice, and once in vain.
    for name in (f"{mine}-2", f"{mine}-2", "A B"):
        await nurse.open("/portal/staff")
        await page.locator("#name").fill(name)
        await page.locator("#role").select_option("issuer")
        await answered(nurse, "form[action='/portal/staff'] button")
    await nurse.open("/portal/staff")
    await answered(nurse, f"form[action='/portal/staff/{mine}-2/invite'] button")
    await nurse.open("/portal/staff")
    await answered(nurse, f"form[action='/portal/staff/{mine}-2/change'] button[value=disable]")

    # Many results, a further page of them, and none.
    for path in ("cases?q=KHOA1", "cases?q=KHOA1&page=2", "cases?q=nobody", "cases?kind=venue", "cases?state=revoked",
                 "audit?act=bulk-opened", "audit?page=2", "audit?actor=nobody", "statistics", "staff"):  # fmt: skip
        await nurse.open("/portal/" + path)
        await require_good(nurse)

    # Tables that were sent: a good one looked at, one with more mistakes than are shown, one that is no table.
    lines = [f"{mine}-{n};F0;;24/10/2026;" for n in range(500)]
    tables = {
        "good": "\n".join(["reference;tier;source;onset;tested", *lines]),
        "bad": "\n".join(["reference;tier;source;onset;tested", *(line.replace("F0", "F9") for line in lines)]),
        "none": "%PDF-1.4",
    }
    for name, content in tables.items():
        (tmp_path / f"{name}.csv").write_text(content)
        await nurse.open("/portal/many")
        await page.locator("#file").set_input_files(tmp_path / f"{name}.csv")
        await answered(nurse, "button[value=check]")

    # What is done, and its page afterwards.
    case = house.office.register(LAN, Registration(Tier.F0), EVENING).id
    other = house.office.register(LAN, Registration(Tier.F1, case), EVENING).id
    await nurse.open(f"/portal/cases/{case}/revoke")
    await answered(nurse, "main form button")
    for path in (f"cases/{other}", "account?done=factor", "account?done=password", "account?done=removed",
                 "staff?done=changed", f"cases/{made['case']}?done=opened"):  # fmt: skip
        await nurse.open("/portal/" + path)
        await require_good(nurse)
    await nurse.open("/portal/venues")
    await page.locator("#name").fill(f"Quầy {mine}")
    await answered(nurse, "form[action='/portal/venues'] button")
    await page.locator("#start_day").fill("2026-11-02")
    await page.locator("#end_day").fill("2026-11-02")
    await answered(nurse, "form[action$=outbreak] button")
    await nurse.open("/portal/venues")
    await page.locator("#name").fill(f"Quầy {mine}")
    await answered(nurse, "form[action='/portal/venues'] button")
    await nurse.open("/portal/account")
    await answered(nurse, "form[action$=recovery-codes] button")
    await nurse.open("/portal/account")
    for field in ("old", "password", "again"):
        await page.locator(f"#{field}").fill("far too wrong for a password" + field)
    await answered(nurse, "form[action$=password] button")
    await nurse.open("/portal/enrol/app")
    await page.locator("main form input:visible").fill("000000")
    await answered(nurse, "main form button")

    # Refused: a case that was revoked meanwhile, a form that is stale, a page that is not there, a file too large.
    late = house.office.register(LAN, Registration(Tier.F0), EVENING).id
    await nurse.open(f"/portal/cases/{late}")
    house.office.revoke(LAN, late, EVENING)
    await answered(nurse, "form[action$=codes] button")
    await nurse.open("/portal/cases/new")
    await page.evaluate("document.querySelectorAll('[name=csrf]').forEach(field => { field.value = 'old' })")
    await page.locator("#reference").fill(mine)
    assert await answered(nurse, "main form button") == 403
    for path in ("nothing", "venues/outbreak", "cases/C-NONE/revoke", "cases/a/b/c"):
        await nurse.open("/portal/" + path)
        assert await page.locator("h1").count() == 1, path
        await require_good(nurse)
    (tmp_path / "large.csv").write_text("reference;tier\n" + "A;F0\n" * 500_000)
    await nurse.open("/portal/many")
    await page.locator("#file").set_input_files(tmp_path / "large.csv")
    assert await answered(nurse, "button[value=check]") == 413

    # Nobody in particular: a wrong word, a wrong password, wrong digits.
    await answered(nurse, "form.leave button")
    await nurse.open("/portal/invitation")
    await page.locator("#word").fill("AAAA BBBB CCCC DDDD")
    for field in ("password", "again"):
        await page.locator(f"#{field}").fill(PASSWORD)
    await answered(nurse, "main form button")
    await nurse.open("/portal/sign-in")
    for password in ("wrong", PASSWORD):
        await page.locator("#name").fill(mine)
        await page.locator("#password").fill(password)
        await answered(nurse, "main form button")
    await page.locator("#digits").fill("000000")
    await answered(nurse, "form:has(#digits) button")

    # What a role may only look at, and what it may not.
    for role in (Role.ISSUER, Role.AUDITOR):
        nurse = await arrive(served, browser, locale, phone)
        await nurse.accept(house.personnel.invite(OPERATOR, f"{mine}-{role.value}", role, EVENING), alike=require_good)
        for path in ("", "cases", f"cases/{made['case']}", f"cases/{made['revoked']}", "venues", "many", "statistics",
                     "audit", "staff", "account", "cases/new", f"cases/{made['case']}/revoke"):  # fmt: skip
            await nurse.open("/portal/" + path)
            await require_good(nurse)
        nurse.require_quiet()


async def answered(nurse: Nurse, button: str) -> int:
    """The status of the page that pressing the button leads to, which must be good."""
    async with nurse.page.expect_navigation() as coming:
        await nurse.page.locator(button).first.click()
    response = await coming.value
    assert response is not None
    await require_good(nurse)
    return response.status


@pytest.mark.timeout(600)
async def test_place_is_added_marked_and_given_a_slip(served: Served, browser: Browser) -> None:
    nurse = await arrive(served, browser)
    await come_in(nurse, "dung", Role.ISSUER)
    await nurse.open("/portal/venues")
    await nurse.fill("Name of the place", "Bến xe, quầy 2")
    await nurse.press("Add it")
    await nurse.page.locator("#venue").select_option(label="Bến xe, quầy 2")
    await nurse.page.locator("#start_day").fill("2026-11-02")
    await nurse.page.locator("#end_day").fill("2026-11-01")
    await nurse.press("Mark it and make the slip")
    await expect(nurse.page.get_by_text("The hours must lie in the last 14 days")).to_be_visible()
    await nurse.require_accessible()

    await nurse.page.locator("#end_day").fill("2026-11-02")
    await nurse.page.locator("#end").select_option("10:30")
    await nurse.press("Mark it and make the slip")

    slip = await nurse.page.locator(".slip").inner_text()
    assert "Bến xe, quầy 2" in slip
    assert "02/11/2026 08:00" in slip
    assert "02/11/2026 10:30" in slip
    assert len(await nurse.slip_code()) == 16
    nurse.require_quiet()


@pytest.mark.timeout(600)
async def test_table_of_two_thousand_and_an_auditor(served: Served, browser: Browser, tmp_path: Path) -> None:
    nurse = await arrive(served, browser)
    await come_in(nurse, "binh", Role.ISSUER)
    lines = [f"KHOA2-{n:04d};{'F0'};;24/10/2026;" for n in range(2000)]
    sheet = tmp_path / "two-thousand.csv"
    sheet.write_text("\n".join(["Reference;Tier;Source;Onset;Tested", *lines]), encoding="utf-8-sig")
    spoiled = tmp_path / "spoiled.csv"
    spoiled.write_text("\n".join(["reference;tier", *(line[:13] for line in lines[:5]), "0912345678;F0", "A;F9"]))

    await nurse.open("/portal/many")
    await nurse.page.locator("#file").set_input_files(spoiled)
    await nurse.press("Register all and fetch the codes")
    told = await nurse.page.locator(".notice-problem tbody tr").all_inner_texts()
    await nurse.picture("many-mistakes")
    assert [row.split("\t")[:2] for row in told] == [["7", "reference"], ["8", "tier"]]

    await nurse.page.locator("#file").set_input_files(sheet)
    async with nurse.page.expect_download() as coming:
        await nurse.press("Register all and fetch the codes")
    answer = Path(await (await coming.value).path()).read_text("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(answer)))
    assert [(row["line"], row["reference"]) for row in rows[::999]] == [
        ("2", "KHOA2-0000"),
        ("1001", "KHOA2-0999"),
        ("2000", "KHOA2-1998"),
    ]
    assert len({row["code"] for row in rows}) == len({row["case"] for row in rows}) == 2000
    assert all(len(row["code"]) == 16 for row in rows)

    # An auditor sees all of it and finds nothing to press.
    auditor = await arrive(served, browser)
    await come_in(auditor, "thu", Role.AUDITOR)
    await auditor.open("/portal/cases?q=KHOA2-1998")
    await expect(auditor.page.get_by_text("Found: 1")).to_be_visible()
    for page in ("", "cases", f"cases/{rows[0]['case']}", "venues", "statistics", "audit", "staff"):
        await auditor.open("/portal/" + page)
        forms = await auditor.page.locator("main form[method=post]").count()
        assert forms == 0, f"the auditor's {page or 'home'} has a form"
    await auditor.open("/portal/audit?act=bulk-opened&actor=binh")
    assert "2000" in await auditor.page.locator("tbody tr").inner_text()
    for page in ("cases/new", "many", f"cases/{rows[0]['case']}/revoke"):
        await auditor.open("/portal/" + page)
        assert await auditor.heading() == "You may not do that"
    nurse.require_quiet()
    auditor.require_quiet()
