"""A box put together from its settings: the heart's units from the operator's, the parts from their rooms. Layer 4."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bluezoned import __version__, board, command_line, hardware, reload, service, storage
from bluezoned import config as options
from bluezoned.alert.indicator import Indicator, Indicators
from bluezoned.alert.journal import JournalIndicator
from bluezoned.alert.signaller import Signaller
from bluezoned.box import Box, Rhythm
from bluezoned.bus import BusError
from bluezoned.clock import Clock, SystemClock, rest
from bluezoned.config import Config
from bluezoned.control import interface
from bluezoned.control.report import StatusReport
from bluezoned.errors import AlertError, ConfigError, RadioError, StoreError
from bluezoned.event import Event
from bluezoned.feed.spool import Spool
from bluezoned.hand import Hand
from bluezoned.hardware import Hardware
from bluezoned.protocols import registry, sieve
from bluezoned.protocols.bluezone import KeySchedule
from bluezoned.protocols.protocol import DAY, ReportType, TracingProtocol
from bluezoned.radio import desk
from bluezoned.radio.hearing import ALWAYS, WINDOWS
from bluezoned.radio.radio import Radio
from bluezoned.radio.recording import RecordingRadio
from bluezoned.recorder import Recorder
from bluezoned.tracing.device import Device, Settings
from bluezoned.tracing.exposure import Band, ByAttenuation, Infectiousness, RiskLevel, RiskModel, by_nearness, weights
from bluezoned.tracing.proximity import MINUTE

log = logging.getLogger(__name__)

SECOND = 1000

VOUCH = 20_000
"""ms between two words to systemd's watchdog, which waits for three minutes: a slow card may cost several of them."""

OFFER_AGAIN = 5_000
"""ms until the lost D-Bus is tried again; it comes back within seconds, and nothing waits for it."""


def settings(config: Config, board_model: str | None = None) -> Settings:
    """What the device needs to know; `board_model` as `board.model` reads it, for its default levels. ConfigError when
    the authority's key cannot be read."""
    schedule = KeySchedule(config.beacon.key_schedule)
    names = dict.fromkeys((config.beacon.protocol, *config.beacon.listen))
    protocols: dict[str, TracingProtocol] = {name: registry.by_name(name, schedule) for name in names}
    levels = board.levels(config, board_model)
    return Settings(
        advertised=protocols[config.beacon.protocol],
        heard=protocols,
        authority_key=command_line.authority_key(config),
        tx_power=levels.tx_power,
        ranging=levels.ranging,
        model=risk_model(config.exposure),
        silence=config.encounter.silence_s * SECOND,
        retention=config.beacon.retention_days * DAY,
        core=sieve.open_core() if config.beacon.compiled else None,
    )


def risk_model(exposure: options.Exposure) -> RiskModel:
    """The rule in force. Low risk begins at a third of the minutes that make an exposure, as a hint without alarm."""
    transmission = weights(
        {
            ReportType.UNKNOWN: exposure.weight_confirmed_test,
            ReportType.CONFIRMED_TEST: exposure.weight_confirmed_test,
            ReportType.CONFIRMED_CLINICAL: exposure.weight_confirmed_clinical,
            ReportType.SELF_REPORT: exposure.weight_self_report,
            # What a contact published; that it is no confirmed case is said by its tier.
            ReportType.RECURSIVE: exposure.weight_confirmed_test,
        },
        {
            Infectiousness.STANDARD: exposure.weight_standard_infectiousness,
            Infectiousness.HIGH: exposure.weight_high_infectiousness,
        },
    )
    edges = (0, *exposure.bucket_thresholds_db, None)
    buckets = ByAttenuation(
        tuple(
            Band(low or 0, high, weight)
            for low, high, weight in zip(edges, edges[1:], exposure.bucket_weights, strict=False)
        )
    )
    return RiskModel(
        weigh=by_nearness if exposure.rule == "near" else buckets,
        transmission=transmission,
        day_levels=(
            Band(exposure.minutes / 3, exposure.minutes, RiskLevel.LOW),
            Band(exposure.minutes, None, RiskLevel.HIGH),
        ),
        longest_window=exposure.window_minutes * MINUTE,
    )


async def run(config: Config, desk_place: str | None, capture: Path | None, read_anew: Callable[[], Config]) -> None:
    """Compose one box and run it until SIGTERM; on SIGHUP `read_anew` gives the settings to go on with. BluezonedError
    when a part cannot be had."""
    async with AsyncExitStack() as stack:
        clock, radio = await _clock_and_radio(config, stack, desk_place, capture)
        store = stack.enter_context(storage.open_store(Path(config.beacon.state_dir), os.environ))
        model = board.model()
        device = Device(settings(config, model), store, os.urandom)
        spool = Spool(Path(config.beacon.spool_dir))
        recorder = Recorder(Path(config.beacon.state_dir) / "capture.jsonl")
        stack.callback(recorder.end)
        parts = Hardware(config.alert)
        stack.callback(parts.close)
        signaller = parts.signaller(clock, hardware.manner(config), lambda: box.condition.shown())
        indicators: list[Indicator] = [JournalIndicator(), *filter(None, [signaller])]
        box = Box(device, radio, clock, spool, Indicators(*indicators), recorder, _rhythm(config))
        box.condition.storage_damage = partial(storage.damage, Path(config.beacon.state_dir))
        box.condition.hardware_problem = lambda: parts.problem or (signaller.problem if signaller is not None else "")
        running = _Running(config, box, model, read_anew, signaller)
        async with asyncio.TaskGroup() as tasks:
            tracing = tasks.create_task(box.run())
            aside = [tasks.create_task(_offer(config, box))]
            if signaller is not None:
                aside.append(tasks.create_task(signaller.run()))
            if (obeying := _hand(config, box, clock, parts, signaller)) is not None:
                aside.append(tasks.create_task(obeying))
            for wish in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(wish, tracing.cancel)
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, running.reload)
            # Before bluetoothd has answered: what waits for us need not wait for it.
            service.notify_ready(health(box.status()))
            aside.append(tasks.create_task(_vouch(box)))
            log.info("bluezoned %s traces with %s", __version__, device.protocol_name, extra=Event.STARTED.fields())
            if (advice := board.uncalibrated(config, model)) is not None:
                log.info("%s", advice, extra=Event.UNCALIBRATED.fields())
            with suppress(asyncio.CancelledError):
                await tracing
            service.notify_stopping()
            for task in aside:
                task.cancel()
            with suppress(StoreError):
                device.tick(clock.now())


def _hand(
    config: Config, box: Box, clock: Clock, parts: Hardware, signaller: Signaller | None
) -> Coroutine[None, None, None] | None:
    """What obeys the buttons, where there are any."""
    alert = config.alert
    hand = Hand(box, clock, signaller, alert.consent_timeout_s * SECOND, alert.erase_hours)
    buttons = parts.buttons(hand.change)
    if alert.consent == "button":
        box.asks = hand.ask if buttons is not None else _without_a_button
    return None if buttons is None else hand.run(buttons.are_pressed())


def _without_a_button(_: Callable[[], None]) -> None:
    raise AlertError("the settings ask for the carrier's hand at the button, and the button does not work")


def _rhythm(config: Config) -> Rhythm:
    authority = config.authority
    return Rhythm(config.beacon.tick_s * SECOND, authority.stale_after_s * SECOND, authority.chaff_s * SECOND)


class _Running:
    """The settings in force, and how they are taken anew."""

    def __init__(
        self,
        config: Config,
        box: Box,
        model: str | None,
        read_anew: Callable[[], Config],
        signaller: Signaller | None,
    ) -> None:
        self._config = config
        self._box = box
        self._model = model
        self._read_anew = read_anew
        self._signaller = signaller

    def reload(self) -> None:
        """Settings with a mistake change nothing."""
        service.notify_reloading()
        try:
            reloaded = reload.merge(self._config, self._read_anew())
            self._box.adopt(settings(reloaded.config, self._model), _rhythm(reloaded.config))
            if self._signaller is not None:
                self._signaller.manner = hardware.manner(reloaded.config)
        except ConfigError as error:
            log.error("the settings stay as they were: %s", error, extra=Event.SETTINGS.fields())
        else:
            self._config = reloaded.config
            service.set_level(reloaded.config.log.level)
            changed, waiting = ", ".join(reloaded.changed) or "nothing", ", ".join(reloaded.waiting)
            restart = f"; only a restart brings {waiting}" if waiting else ""
            log.info("settings read anew, changed: %s%s", changed, restart, extra=Event.SETTINGS.fields())
        service.notify_ready(health(self._box.status()))


async def _vouch(box: Box) -> None:
    """Tell systemd how the box is, and that it lives as long as its parts answer."""
    while True:
        if box.answers():
            service.notify_watchdog()
        service.notify_status(health(box.status()))
        await rest(VOUCH)


def health(report: StatusReport) -> str:
    """One line on how the box works. Whoever has a login may read it, so nothing of what it knows of its carrier."""
    if report.paused:
        return "paused by the carrier"
    parts = [
        "hears" if report.hearing else "HEARS NOBODY",
        f"advertises {report.protocol}" if report.advertising else "DOES NOT ADVERTISE",
        "no list of cases yet"
        if report.keys_updated_at is None
        else f"list of cases of {datetime.fromtimestamp(report.keys_updated_at, UTC):%Y-%m-%d %H:%M} UTC",
        *report.problems[:1],
    ]
    return "; ".join(parts)


async def _clock_and_radio(
    config: Config, stack: AsyncExitStack, desk_place: str | None, capture: Path | None
) -> tuple[Clock, Radio]:
    if capture is not None:
        clock = SystemClock()
        return clock, RecordingRadio(capture, clock)
    if desk_place is None:
        # Here, because bleak takes a second to import on a small Pi, and a demo or a replay needs none of it.
        from bluezoned.radio.bluez import BluezRadio
        from bluezoned.radio.bluez_reader import Iphones

        clock = SystemClock()
        heard = settings(config).heard
        services = [protocol.service for protocol in heard.values()]
        duty = ALWAYS if config.beacon.profile == "kiosk" else WINDOWS
        iphones = Iphones(config.radio.iphones) if "bluezone" in heard else Iphones.IGNORE
        return clock, BluezRadio(config.radio.adapter, services, clock, duty, iphones, config.radio.witness)
    path, colon, station = desk_place.rpartition(":")
    if not colon or not station:
        raise RadioError("--desk wants SOCKET:STATION")
    return await stack.enter_async_context(desk.join(Path(path), station))


async def _offer(config: Config, box: Box) -> None:
    """Stand on the bus, again whenever it was lost: tracing does not depend on it."""
    clock = SystemClock()
    while True:
        try:
            async with interface.offered(config.control.bus, config.beacon.instance, box) as offer:
                box.on_change = offer.changed
                await offer.lost()
                log.warning("the D-Bus was lost; offering again")
        except BusError as error:
            log.warning("%s", error)
        await clock.sleep_until(clock.now() + OFFER_AGAIN)
