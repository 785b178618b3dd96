"""The daemon's side of org.bluezoned.Daemon1.

Thin: each member asks the ControlledDaemon and words the answer. dbus-next answers an unexpected exception with its
traceback, so none leaves here.
"""

# dbus-next reads D-Bus signatures from annotations; they are no Python types, which no_type_check tells to mypy.

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, no_type_check

from dbus_next.constants import NameFlag, PropertyAccess, RequestNameReply
from dbus_next.errors import DBusError
from dbus_next.service import ServiceInterface, dbus_property, method

from bluezoned.bus import BusError, connected
from bluezoned.control import names, report
from bluezoned.control.names import ErrorName
from bluezoned.control.report import EncounterDay, ExposureDay, SelfTestReport, StatusReport
from bluezoned.errors import BluezonedError
from bluezoned.fork_evidence import ForkEvidence
from bluezoned.tracing.calibration import LevelWindow

_LOG = logging.getLogger(__name__)

SIGNAL_GAP_S = 1.0
"""Seconds between two PropertiesChanged. A burst of signals kills the connection (dbus-next 0.2.3 does not survive a
full socket), and nobody reads faster."""

VERB_GAP_S = 1.0
"""Seconds between two calls of one verb that changes something. Each consent costs a sealed message and a row."""

READ = PropertyAccess.READ
Answer = TypeVar("Answer")


class ControlledDaemon(Protocol):
    """What the daemon offers here. Each returns soon and raises BluezonedError with words for people."""

    def status(self) -> StatusReport:
        """How the box is."""

    def encounters(self) -> list[EncounterDay]:
        """Totals of each day kept, newest first."""

    def exposures(self) -> list[ExposureDay]:
        """Days that count for something, newest first."""

    def fork(self) -> ForkEvidence | None:
        """Two signed logs of the authority that contradict each other; None when none were seen."""

    def consent(self, code: str, hours: tuple[int, int] | None = None) -> None:
        """The carrier agrees to publish under the authority's code; of some hours alone, from and to in seconds UTC."""

    def calibrate(self) -> None:
        """Begin to gather the levels of the loudest peer."""

    def calibration(self) -> Sequence[LevelWindow]:
        """What was gathered since: counts and levels of nobody in particular."""

    def acknowledge(self) -> None:
        """The carrier has taken note of what is shown: silence until something new."""

    def erase(self) -> None:
        """Forget every encounter, own key, match and upload."""

    def erase_last(self, hours: int) -> None:
        """Forget the last hours."""

    def selftest(self) -> SelfTestReport:
        """Begin to play every indication."""

    def record(self, seconds: int) -> Path:
        """Write down what is heard, for so long; gives the file."""

    def end_recording(self) -> None:
        """End it before its time."""

    def pause(self) -> None:
        """Neither send nor hear until `resume`."""

    def resume(self) -> None:
        """End a pause."""


class DaemonInterface(ServiceInterface):
    """org.bluezoned.Daemon1. Properties show the report as of the last `changed`."""

    def __init__(self, daemon: ControlledDaemon, signal_gap_s: float = SIGNAL_GAP_S, verb_gap_s: float = VERB_GAP_S):
        super().__init__(names.INTERFACE)
        self._daemon = daemon
        self._signal_gap_s = signal_gap_s
        self._verb_gap_s = verb_gap_s
        self._called: dict[str, float] = {}
        self._shown = report.to_properties(daemon.status())
        self._told = dict(self._shown)
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Look at the daemon again; what differs is told on the bus, at most once in SIGNAL_GAP_S."""
        try:
            self._shown = report.to_properties(self._daemon.status())
        except BluezonedError as error:
            self._shown = {**self._shown, "Problems": [str(error)]}
        if self._timer is None and self._shown != self._told:
            self._tell()
            self._timer = asyncio.get_running_loop().call_later(self._signal_gap_s, self._tell_later)

    def close(self) -> None:
        """Tell no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tell_later(self) -> None:
        self._timer = None
        self.changed()

    def _tell(self) -> None:
        differing = {name: value for name, value in self._shown.items() if value != self._told[name]}
        self._told = dict(self._shown)
        self.emit_properties_changed(differing)

    def _answer(self, verb: str, ask: Callable[[], Answer]) -> Answer:
        """The daemon's answer, or its error by name. What the daemon cannot name is told by place alone: neither its
        text nor its values leave, not even to the log."""
        try:
            return ask()
        except BluezonedError as error:
            raise _refusal(names.error_name(error), str(error)) from None
        except Exception as error:
            places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
            _LOG.error("%s failed: %s at %s", verb, type(error).__name__, " < ".join(reversed(places)))
            raise _refusal(ErrorName.INTERNAL, "internal error: see the daemon's log") from None

    def _do(self, verb: str, act: Callable[[], Answer]) -> Answer:
        """Run a verb that changes something, not too often, and look again."""
        now = asyncio.get_running_loop().time()
        if now - self._called.get(verb, -self._verb_gap_s) < self._verb_gap_s:
            raise _refusal(ErrorName.TOO_OFTEN, f"{verb} was called a moment ago: wait a second")
        self._called[verb] = now
        answer = self._answer(verb, act)
        self._answer(verb, self.changed)
        return answer

    @method()
    @no_type_check
    def GetEncounters(self) -> "a(suuu)":
        return self._answer("GetEncounters", lambda: report.encounter_rows(self._daemon.encounters()))

    @method()
    @no_type_check
    def GetExposures(self) -> "a(sssuuu)":
        return self._answer("GetExposures", lambda: report.exposure_rows(self._daemon.exposures()))

    @method()
    @no_type_check
    def GetFork(self) -> "as":
        return self._answer("GetFork", lambda: report.fork_values(self._daemon.fork()))

    @method()
    @no_type_check
    def Consent(self, code: "s"):
        self._do("Consent", lambda: self._daemon.consent(code))

    @method()
    @no_type_check
    def ConsentToHours(self, code: "s", start: "t", end: "t"):
        self._do("ConsentToHours", lambda: self._daemon.consent(code, (start, end)))

    @method()
    @no_type_check
    def Calibrate(self):
        self._do("Calibrate", self._daemon.calibrate)

    @method()
    @no_type_check
    def GetCalibration(self) -> "a(uddnnd)":
        return self._answer("GetCalibration", lambda: report.calibration_rows(self._daemon.calibration()))

    @method()
    @no_type_check
    def Acknowledge(self):
        self._do("Acknowledge", self._daemon.acknowledge)

    @method()
    @no_type_check
    def Erase(self):
        self._do("Erase", self._daemon.erase)

    @method()
    @no_type_check
    def EraseLast(self, hours: "u"):
        self._do("EraseLast", lambda: self._daemon.erase_last(hours))

    @method()
    @no_type_check
    def SelfTest(self) -> "das":
        return self._do("SelfTest", lambda: report.self_test_values(self._daemon.selftest()))

    @method()
    @no_type_check
    def Record(self, seconds: "u") -> "s":
        return self._do("Record", lambda: str(self._daemon.record(seconds)))

    @method()
    @no_type_check
    def EndRecording(self):
        self._do("EndRecording", self._daemon.end_recording)

    @method()
    @no_type_check
    def Pause(self):
        self._do("Pause", self._daemon.pause)

    @method()
    @no_type_check
    def Resume(self):
        self._do("Resume", self._daemon.resume)

    @dbus_property(access=READ)
    @no_type_check
    def Version(self) -> "s":
        return self._shown["Version"]

    @dbus_property(access=READ)
    @no_type_check
    def Protocol(self) -> "s":
        return self._shown["Protocol"]

    @dbus_property(access=READ)
    @no_type_check
    def AlertLevel(self) -> "s":
        return self._shown["AlertLevel"]

    @dbus_property(access=READ)
    @no_type_check
    def OwnTier(self) -> "s":
        return self._shown["OwnTier"]

    @dbus_property(access=READ)
    @no_type_check
    def Indication(self) -> "s":
        return self._shown["Indication"]

    @dbus_property(access=READ)
    @no_type_check
    def Sentence(self) -> "s":
        return self._shown["Sentence"]

    @dbus_property(access=READ)
    @no_type_check
    def Nearby(self) -> "u":
        return self._shown["Nearby"]

    @dbus_property(access=READ)
    @no_type_check
    def KeysUpdatedAt(self) -> "t":
        return self._shown["KeysUpdatedAt"]

    @dbus_property(access=READ)
    @no_type_check
    def LogSize(self) -> "t":
        return self._shown["LogSize"]

    @dbus_property(access=READ)
    @no_type_check
    def LogRoot(self) -> "s":
        return self._shown["LogRoot"]

    @dbus_property(access=READ)
    @no_type_check
    def LastUpload(self) -> "s":
        return self._shown["LastUpload"]

    @dbus_property(access=READ)
    @no_type_check
    def LastUploadProblem(self) -> "s":
        return self._shown["LastUploadProblem"]

    @dbus_property(access=READ)
    @no_type_check
    def Hearing(self) -> "b":
        return self._shown["Hearing"]

    @dbus_property(access=READ)
    @no_type_check
    def Advertising(self) -> "b":
        return self._shown["Advertising"]

    @dbus_property(access=READ)
    @no_type_check
    def Paused(self) -> "b":
        return self._shown["Paused"]

    @dbus_property(access=READ)
    @no_type_check
    def Acknowledged(self) -> "b":
        return self._shown["Acknowledged"]

    @dbus_property(access=READ)
    @no_type_check
    def Recording(self) -> "b":
        return self._shown["Recording"]

    @dbus_property(access=READ)
    @no_type_check
    def Problems(self) -> "as":
        return self._shown["Problems"]


def _refusal(name: ErrorName, text: str) -> DBusError:
    return DBusError(name.value, text)  # type: ignore[no-untyped-call]  # dbus-next leaves its constructor untyped


class Offer:
    """The interface while it stands on the bus."""

    def __init__(self, interface: DaemonInterface, connection: Any) -> None:
        self._interface = interface
        self._connection = connection

    def changed(self) -> None:
        """Call when something that is shown may have changed. Cheap, and silent once the bus is lost."""
        if self._connection.connected:
            self._interface.changed()

    async def lost(self) -> None:
        """Returns when the bus is gone. The daemon traces on without it; who supervises offers again."""
        with contextlib.suppress(Exception):
            await self._connection.wait_for_disconnect()


@contextlib.asynccontextmanager
async def offered(bus: str, instance: str, daemon: ControlledDaemon) -> AsyncIterator[Offer]:
    """Offer `daemon` on the bus under its name, until the block ends. BusError when that cannot be."""
    async with connected(bus) as connection:
        interface = DaemonInterface(daemon)
        connection.export(names.PATH, interface)
        try:
            reply = await connection.request_name(names.bus_name(instance), NameFlag.DO_NOT_QUEUE)
        except DBusError as error:
            raise BusError(
                f"the bus does not let us be {names.bus_name(instance)}: is the policy installed?"
            ) from error
        if reply is not RequestNameReply.PRIMARY_OWNER:
            raise BusError(f"another daemon is {names.bus_name(instance)} already: set beacon.instance")
        try:
            yield Offer(interface, connection)
        finally:
            interface.close()
