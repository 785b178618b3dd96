"""A portal that runs: the real server as a process, on a desk whose time the test pushes, and a browser's client."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import aiohttp
import pyotp

from bluezoned.authority.house import House, open_house
from bluezoned.authority.staff_store import StaffRecords
from bluezoned.demo.cast import free_port, program
from bluezoned.radio.desk import Desk

PASSWORD = "nine green buffaloes"


class Served:
    """The server's process."""

    def __init__(self, directory: Path, desk: Desk, desk_socket: Path) -> None:
        self.data = directory / "authority"
        self.log = directory / "authority.log"
        self.desk = desk
        self._socket = desk_socket
        self.port = free_port()
        # By name: passkeys work at no bare address.
        self.url = f"http://localhost:{self.port}"
        self.process: asyncio.subprocess.Process | None = None

    @cached_property
    def house(self) -> House:
        """The same authority, opened beside the server."""
        return open_house(self.data, lambda count: open("/dev/urandom", "rb").read(count))

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                program("bluezone-authority"), "serve", "--data", str(self.data), "--port", str(self.port),
                "--desk", str(self._socket), stderr=log, stdout=log,
            )  # fmt: skip
        async with aiohttp.ClientSession() as session:
            for _ in range(1200):
                assert self.process.returncode is None, self.log.read_text()
                try:
                    async with session.get(f"http://127.0.0.1:{self.port}/health") as response:
                        assert response.status == 200
                        return
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        raise AssertionError("the server did not start")

    async def stop(self) -> None:
        if "house" in self.__dict__:
            self.house.close()
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()


@dataclass
class Answer:
    """What came back."""

    status: int
    text: str
    headers: dict[str, str]
    """Names in small letters."""
    cookies: list[str]
    """`Set-Cookie`, raw."""

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.text)
        return found.group(1) if found else ""


@dataclass
class Client:
    """A browser without a screen: keeps cookies by hand, so that tests may forge them, and follows no redirects."""

    served: Served
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""
    app: pyotp.TOTP | None = None

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return await self._ask("GET", path, None, headers or {})

    async def post(
        self, path: str, form: dict[str, str] | aiohttp.FormData | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """With the token of the last page, unless the form has one."""
        if isinstance(form, aiohttp.FormData):
            return await self._ask("POST", path, form, headers or {})
        return await self._ask("POST", path, {"csrf": self.csrf} | (form or {}), headers or {})

    async def _ask(
        self, method: str, path: str, form: dict[str, str] | aiohttp.FormData | None, headers: dict[str, str]
    ) -> Answer:
        sent = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()), "Accept-Language": "en"} | headers
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, self.served.url + path, data=form, headers=sent, allow_redirects=False) as response,
        ):
            text = (await response.read()).decode("utf-8", "replace")
            raw = response.headers.getall("Set-Cookie", [])
            answer = Answer(
                response.status, text, {name.lower(): value for name, value in response.headers.items()}, raw
            )
        for cookie in raw:
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
        self.csrf = answer.csrf or self.csrf
        return answer

    async def sign_in(self, name: str, at: int) -> None:
        """With the password and six digits."""
        assert self.app is not None
        await self.get("/portal/sign-in")
        await self.post("/portal/sign-in", {"name": name, "password": PASSWORD})
        await self.get("/portal/second-factor")
        answer = await self.post("/portal/second-factor", {"digits": self.app.at(at // 1000)})
        assert (answer.status, answer.headers.get("location")) == (303, "/portal/")
        await self.get("/portal/account")


def enrolled(house: House, name: str, invitation: str, at: int) -> pyotp.TOTP:
    """The app of somebody who was invited and has set everything up."""
    member = house.personnel.accept(invitation, PASSWORD, at)
    session = house.door.session(house.door.begin(member, at).token, at)
    assert session is not None
    app = pyotp.TOTP(house.enrolment.offer_totp(session))
    # As the next request would see it: with the offer in it.
    with house.store.snapshot() as seen:
        fresh = StaffRecords(seen.connection).session(session.digest)
    assert fresh is not None
    house.enrolment.add_totp(fresh, app.at(at // 1000), at)
    return app
