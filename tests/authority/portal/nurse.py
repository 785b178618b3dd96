"""Somebody at a browser, who reads labels and buttons as people do; and what must hold on every page."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pyotp
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, BrowserContext, Page, Request, expect

from tests.authority.portal.served import PASSWORD, Served

PICTURES = Path(__file__).parent.parent.parent.parent / "docs" / "portal"

SHOWN = {
    "home", "cases-case", "slip", "many-mistakes", "venues", "statistics", "home-phone", "cases-case-phone",
    "slip-phone",
}  # fmt: skip

AXE = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}


class Nurse:
    """One browser window with its cookies."""

    def __init__(self, served: Served, context: BrowserContext, page: Page) -> None:
        self.served, self.context, self.page = served, context, page
        self.app = pyotp.TOTP("A" * 32)
        self.recovery_codes: list[str] = []
        self.complaints: list[str] = []
        """What the browser's console and its network log say that they should not."""
        page.on("request", self._note_request)
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self.served.url + "/", "data:", "blob:")):
            self.complaints.append(f"asked {request.url}")

    def require_quiet(self) -> None:
        """No request left for another machine, nothing broke a rule of the page's policy. A refused form (422) is
        noted by the console as a failed load, which it is not."""
        assert [said for said in self.complaints if "status of 4" not in said] == []

    async def open(self, path: str) -> None:
        await self.page.goto(self.served.url + path)

    async def press(self, name: str) -> None:
        await (
            self.page.get_by_role("button", name=name, exact=True)
            .or_(self.page.get_by_role("link", name=name, exact=True))
            .first.click()
        )

    async def fill(self, label: str, text: str) -> None:
        await self.page.get_by_label(label, exact=True).fill(text)

    async def heading(self) -> str:
        return await self.page.locator("h1").inner_text()

    async def require_accessible(self) -> None:
        """axe-core finds nothing. It is evaluated beside the page's own scripts, which its policy would refuse."""
        await self.page.evaluate(AXE_SCRIPT)
        found: Any = await self.page.evaluate("options => axe.run(document, options)", AXE)
        told = [(v["id"], v["help"], [node["html"][:160] for node in v["nodes"]][:3]) for v in found["violations"]]
        assert told == [], f"{self.page.url}: {told}"

    async def picture(self, name: str) -> None:
        """For docs/portal.md, when its pictures are made anew: PORTAL_PICTURES=1."""
        if os.environ.get("PORTAL_PICTURES") and name in SHOWN:
            PICTURES.mkdir(exist_ok=True)
            await self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    # what they do

    async def set_up(self, name: str) -> None:
        await self.open("/portal/")
        await self.fill("Set-up word", self.served.house.personnel.setup_word)
        await self.fill("Name", name)
        await self.fill("New password", PASSWORD)
        await self.fill("The same password again", PASSWORD)
        await self.require_accessible()
        await self.picture("set-up")
        await self.press("Make the administrator")
        await self.enrol_app()

    async def accept(self, invitation: str, alike: Callable[[Nurse], Awaitable[None]] | None = None) -> None:
        """Whatever the language. `alike`: what must hold on each page of the way."""
        check = alike or Nurse.require_accessible
        await self.open("/portal/invitation")
        await self.page.locator("#word").fill(invitation)
        for field in ("password", "again"):
            await self.page.locator(f"#{field}").fill(PASSWORD)
        await check(self)
        await self.page.locator("main form button").click()
        await self.page.wait_for_url("**/portal/enrol")
        await check(self)
        await self.enrol_app(check)

    async def enrol_app(self, check: Callable[[Nurse], Awaitable[None]] | None = None) -> None:
        await self.page.locator("a[href='/portal/enrol/app']").click()
        self.app = pyotp.TOTP((await self.page.locator("code.secret").inner_text()).replace(" ", ""))
        await self.picture("set-up-app")
        await self.page.locator("#digits").fill(self.digits())
        await self.page.locator("form:has(#digits) button").click()
        await self.page.locator("ol.codes").wait_for()
        self.recovery_codes = await self.page.locator("ol.codes code").all_inner_texts()
        await (check or Nurse.require_accessible)(self)
        await self.picture("recovery-codes")
        await self.page.locator("main .acts a").click()

    def digits(self) -> str:
        return self.app.at(self.served.desk.now // 1000)

    async def sign_in(self, name: str) -> None:
        """As far as the second factor."""
        await self.open("/portal/sign-in")
        await self.fill("Name", name)
        await self.fill("Password", PASSWORD)
        await self.press("Sign in")
        await self.page.wait_for_url("**/portal/second-factor")
        await self.require_accessible()

    async def register(self, tier: str = "F0", **fields: str) -> str:
        """The number of the new case."""
        await self.open("/portal/cases/new")
        await self.page.locator(f'input[value="{tier}"]').check()
        for label, text in fields.items():
            await self.page.locator(f"#{label}").fill(text)
        await self.press("Register")
        return await self.heading()

    async def slip_code(self) -> str:
        return re.sub(r"\s", "", await self.page.locator(".slip-code").inner_text())


async def arrive(served: Served, browser: Browser, locale: str = "en-GB", phone: bool = False) -> Nurse:
    """A fresh browser window; `phone`: of that size."""
    size = {"width": 390, "height": 844} if phone else {"width": 1100, "height": 820}
    context = await browser.new_context(locale=locale, viewport=size)  # type: ignore[arg-type]
    page = await context.new_page()
    # Generous: what is judged here is what happens, on however busy a machine.
    page.set_default_timeout(120_000)
    expect.set_options(timeout=60_000)
    return Nurse(served, context, page)
