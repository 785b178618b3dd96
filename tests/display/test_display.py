"""The display as one sees it: the real program, asked by a real Chromium, over a real D-Bus."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page, Request, async_playwright, expect

from bluezoned.alert.indicator import Indication
from bluezoned.control import interface
from tests.control.conftest import bus, start_bus
from tests.control.daemon_double import WELL, Box

__all__ = ["bus", "start_bus"]

PICTURES = Path(__file__).parents[2] / "build" / "display"
AXE = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag2aaa", "wcag21aa", "wcag22aa", "best-practice"]}}
SMALL, LARGE = {"width": 800, "height": 480}, {"width": 1920, "height": 1080}
"""A 7-inch display of a Pi's, and a television."""

pytestmark = pytest.mark.timeout(120)


@dataclass
class Shown:
    """The page, and what its browser asked for."""

    page: Page
    box: Box
    offer: interface.Offer
    display: asyncio.subprocess.Process
    asked: list[str]
    complaints: list[str]

    def say(self, indication: Indication) -> None:
        self.box.shown = replace(WELL, indication=indication.name, sentence=indication.sentence)
        self.offer.changed()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def program(bus: str, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """bluezoned-display, serving."""
    command = ["-c", "from bluezoned.display.program import main; main()"]
    settings = ["--set", f"control.bus={bus}", "--set", f"display.port={port}"]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, *settings, stderr=asyncio.subprocess.PIPE)
    try:
        async with aiohttp.ClientSession() as client:
            while True:
                try:
                    await (await client.get(f"http://127.0.0.1:{port}/")).read()
                    break
                except aiohttp.ClientConnectionError:
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def shown(bus: str, size: dict[str, int], javascript: bool = True) -> AsyncIterator[Shown]:
    browser_program = shutil.which("chromium")
    assert browser_program is not None, "these tests drive a real browser: ./need.sh chromium fonts-liberation"
    box, port, asked, complaints = Box(WELL), free_port(), [], []

    def remember(request: Request) -> None:
        asked.append(request.url.removeprefix(f"http://127.0.0.1:{port}"))

    async with (
        interface.offered(bus, "", box) as offer,
        program(bus, port) as display,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=browser_program, args=["--no-sandbox"])
        context = await browser.new_context(viewport=size, java_script_enabled=javascript)  # type: ignore[arg-type]
        page = await context.new_page()
        page.on("request", remember)
        page.on("console", lambda message: complaints.append(message.text))
        await page.goto(f"http://127.0.0.1:{port}/")
        yield Shown(page, box, offer, display, asked, complaints)
        await browser.close()


async def test_it_follows_the_box_and_asks_nobody_else(bus: str) -> None:
    async with shown(bus, LARGE) as display:
        await expect(display.page.locator("#vi")).to_have_text("Mọi việc đều ổn.")
        display.say(Indication.CANNOT_HEAR)
        await expect(display.page.locator("#en")).to_have_text(Indication.CANNOT_HEAR.sentence, timeout=15_000)
        tone = await display.page.locator("body").get_attribute("data-tone")

        assert tone == "help"
        assert {path for path in display.asked if path != "/favicon.ico"} == {
            "/", "/page.css", "/page.js", "/status.json"
        }  # fmt: skip
        assert display.complaints == []


async def test_a_display_that_lost_its_program_or_its_box_shows_nothing_good(bus: str) -> None:
    async with shown(bus, LARGE) as display:
        display.display.terminate()
        await expect(display.page.locator("#en")).to_have_text("The display has lost the box.", timeout=15_000)

        assert await display.page.locator("body").get_attribute("data-tone") == "off"
        assert await display.page.locator("#fresh-en").inner_text() == ""


async def test_without_a_daemon_the_page_says_so(bus: str) -> None:
    port = free_port()
    async with program(bus, port), aiohttp.ClientSession() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/status.json")

        assert (await answer.json())["en"] == "The box is not running."


async def test_without_a_script_it_is_right_too_and_looks_again(bus: str) -> None:
    async with shown(bus, SMALL, javascript=False) as display:
        display.say(Indication.F1)
        await expect(display.page.locator("#mark")).to_have_text("F1", timeout=15_000)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["7 inches", "television"])
async def test_every_state_fits_is_large_and_accessible(bus: str, size: dict[str, int]) -> None:
    async with shown(bus, size) as display:
        page = display.page
        await page.evaluate(AXE_SCRIPT)
        for indication in Indication:
            display.box.shown = replace(WELL, indication=indication.name)
            display.offer.changed()
            await page.evaluate("look()")
            measured: Any = await page.evaluate(
                "[document.documentElement.scrollHeight <= innerHeight,"
                " document.documentElement.scrollWidth <= innerWidth,"
                " parseFloat(getComputedStyle(document.getElementById('vi')).fontSize) / innerWidth]"
            )

            assert measured[:2] == [True, True], f"{indication.name} does not fit"
            assert measured[2] >= 0.05
            if indication in (Indication.ALL_WELL, Indication.KEYS_STALE, Indication.F1):
                found: Any = await page.evaluate("options => axe.run(document, options)", AXE)
                assert [v["id"] for v in found["violations"]] == []
                PICTURES.mkdir(parents=True, exist_ok=True)
                await page.screenshot(path=PICTURES / f"{indication.name.lower()}-{size['width']}.png")


async def test_another_site_s_name_for_this_machine_gets_nothing(bus: str) -> None:
    port = free_port()
    async with program(bus, port), aiohttp.ClientSession() as client:
        url = f"http://127.0.0.1:{port}/status.json"
        foreign = await client.get(url, headers={"Host": f"evil.example:{port}"})
        own = await client.get(url)
        posted = await client.post(url)

        assert (foreign.status, await foreign.text()) == (421, "")
        assert own.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert own.headers["Cache-Control"] == "no-store"
        assert posted.status == 405


async def test_a_port_that_is_taken_is_named(bus: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = ["-c", "from bluezoned.display.program import main; main()", "--set", f"display.port={port}"]
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=asyncio.subprocess.PIPE)
        _, said = await process.communicate()

    assert process.returncode == 69
    assert f"port {port} of this machine cannot be used (display.port)" in said.decode()
