"""A portal that runs, and a real Chromium before it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from bluezoned.authority.house import found_house
from bluezoned.protocols.protocol import DAY
from bluezoned.radio.desk import Desk
from bluezoned.radio.ether import Ether
from tests.authority.portal.served import Served

EVENING = 20_759 * DAY + 20 * 3_600_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """One for a file of tests: a server takes seconds to start."""
    directory = tmp_path_factory.mktemp("portal")
    found_house(directory / "authority", "Ward-3", os.urandom)
    async with Desk(Ether(), EVENING, directory / "desk") as desk:
        running = Served(directory, desk, directory / "desk")
        await running.start()
        yield running
        await running.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, as `make test` installs it; its sandbox wants rights that containers do not give."""
    program = shutil.which("chromium")
    assert program is not None, "these tests drive a real browser: ./need.sh chromium fonts-dejavu-core"
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        await launched.close()
