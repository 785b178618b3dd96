"""The other side of org.bluezoned.Daemon1: the daemon as `bluezonectl` sees it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dbus_next.constants import ErrorType, MessageFlag, MessageType
from dbus_next.message import Message

from bluezoned.bus import BusError, connected
from bluezoned.control import names, report
from bluezoned.control.report import EncounterDay, ExposureDay, SelfTestReport, StatusReport
from bluezoned.errors import BluezonedError
from bluezoned.fork_evidence import ForkEvidence
from bluezoned.tracing.calibration import LevelWindow

ANSWER_S = 10.0
"""Seconds to wait for an answer: consent seals and stores, which takes a Pi Zero a second or two."""

_PROPERTIES = "org.freedesktop.DBus.Properties"
_ABSENT = frozenset({ErrorType.SERVICE_UNKNOWN.value, ErrorType.NAME_HAS_NO_OWNER.value, ErrorType.NO_REPLY.value})
Value = TypeVar("Value")


class DaemonNotRunning(BusError):
    """Nobody offers org.bluezoned."""


class DaemonTooSlow(BusError):
    """The daemon is there and does not answer."""


class NotAllowed(BusError):
    """The bus's policy keeps this caller from this call."""


class DaemonRefused(BluezonedError):
    """The daemon said no; `name` is the error's name on the bus, the text is for people."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class DaemonProxy:
    """The daemon's properties and verbs. Each raises DaemonNotRunning, DaemonTooSlow, NotAllowed or DaemonRefused."""

    def __init__(self, connection: Any, instance: str, answer_s: float = ANSWER_S) -> None:
        self._connection = connection
        self._name = names.bus_name(instance)
        self._answer_s = answer_s

    async def status(self) -> StatusReport:
        body = await self._call(_PROPERTIES, "GetAll", "s", [names.INTERFACE])
        return _understood(lambda: report.from_properties(_unwrapped(body[0])))

    async def encounters(self) -> list[EncounterDay]:
        body = await self._call(names.INTERFACE, "GetEncounters")
        return _understood(lambda: report.encounter_days(body[0]))

    async def exposures(self) -> list[ExposureDay]:
        body = await self._call(names.INTERFACE, "GetExposures")
        return _understood(lambda: report.exposure_days(body[0]))

    async def fork(self) -> ForkEvidence | None:
        (logs,) = await self._call(names.INTERFACE, "GetFork")
        return _understood(lambda: report.fork(logs))

    async def consent(self, code: str, hours: tuple[int, int] | None = None) -> None:
        if hours is None:
            await self._call(names.INTERFACE, "Consent", "s", [code])
        else:
            await self._call(names.INTERFACE, "ConsentToHours", "stt", [code, *hours])

    async def calibrate(self) -> None:
        await self._call(names.INTERFACE, "Calibrate")

    async def calibration(self) -> list[LevelWindow]:
        body = await self._call(names.INTERFACE, "GetCalibration")
        return _understood(lambda: report.calibration_windows(body[0]))

    async def acknowledge(self) -> None:
        await self._call(names.INTERFACE, "Acknowledge")

    async def erase(self) -> None:
        await self._call(names.INTERFACE, "Erase")

    async def erase_last(self, hours: int) -> None:
        await self._call(names.INTERFACE, "EraseLast", "u", [hours])

    async def selftest(self) -> SelfTestReport:
        body = await self._call(names.INTERFACE, "SelfTest")
        return _understood(lambda: report.self_test(body))

    async def record(self, seconds: int) -> Path:
        (path,) = await self._call(names.INTERFACE, "Record", "u", [seconds])
        return Path(path)

    async def end_recording(self) -> None:
        await self._call(names.INTERFACE, "EndRecording")

    async def pause(self) -> None:
        await self._call(names.INTERFACE, "Pause")

    async def resume(self) -> None:
        await self._call(names.INTERFACE, "Resume")

    async def watch(self) -> AsyncIterator[StatusReport]:
        """The status now and after each change, until DaemonNotRunning."""
        stirred = asyncio.Event()

        def hear(message: Any) -> None:
            if message.message_type is MessageType.SIGNAL and message.member in (
                "PropertiesChanged",
                "NameOwnerChanged",
            ):
                stirred.set()

        await self._match(f"type='signal',sender='{self._name}',path='{names.PATH}',interface='{_PROPERTIES}'")
        await self._match(f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{self._name}'")
        self._connection.add_message_handler(hear)
        try:
            while True:
                yield await self.status()
                await stirred.wait()
                stirred.clear()
        finally:
            self._connection.remove_message_handler(hear)

    async def _match(self, rule: str) -> None:
        driver, path = "org.freedesktop.DBus", "/org/freedesktop/DBus"
        await self._send(Message(driver, path, driver, "AddMatch", signature="s", body=[rule]))

    async def _call(
        self, interface: str, member: str, signature: str = "", body: list[object] | None = None
    ) -> list[Any]:
        """The body of the answer, of the types that the interface declares."""
        return await self._send(
            Message(
                destination=self._name,
                path=names.PATH,
                interface=interface,
                member=member,
                # Asking how the daemon is must not start it.
                flags=MessageFlag.NO_AUTOSTART,
                signature=signature,
                body=body or [],
            )
        )

    async def _send(self, message: Message) -> list[Any]:
        if not self._connection.connected:
            # dbus-next 0.2.3 takes a call on a lost connection and never answers it.
            raise BusError("the connection to the D-Bus was lost")
        try:
            reply = await asyncio.wait_for(self._connection.call(message), self._answer_s)
        except TimeoutError as error:
            raise DaemonTooSlow(f"bluezoned did not answer within {self._answer_s:g} s") from error
        except (OSError, EOFError) as error:
            raise BusError("the connection to the D-Bus was lost") from error
        if reply is None:
            raise BusError("the connection to the D-Bus was lost")
        if reply.message_type is MessageType.ERROR:
            raise _error(reply.error_name, str(reply.body[0]) if reply.body else "")
        body: list[Any] = reply.body
        return body


@contextlib.asynccontextmanager
async def reached(bus: str, instance: str, answer_s: float = ANSWER_S) -> AsyncIterator[DaemonProxy]:
    """The daemon on `bus` (`system`, `session` or an address). BusError when there is no bus; that the daemon is not
    there shows in the first call."""
    async with connected(bus) as connection:
        yield DaemonProxy(connection, instance, answer_s)


def _error(name: str, text: str) -> BluezonedError:
    if name in _ABSENT:
        return DaemonNotRunning("bluezoned is not running: systemctl start bluezoned")
    if name == ErrorType.ACCESS_DENIED.value:
        return NotAllowed("not allowed: ask root, or join the group bluezoned")
    return DaemonRefused(name, text)


def _unwrapped(values: Mapping[str, Any]) -> dict[str, object]:
    return {name: variant.value for name, variant in values.items()}


def _understood(read: Callable[[], Value]) -> Value:
    try:
        return read()
    except (KeyError, TypeError, ValueError) as error:
        raise BusError(
            "bluezoned answered in a way that this program does not know: are both of one version?"
        ) from error
