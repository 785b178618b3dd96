"""What the findings mean, and the exact thing that mends each. Asks nothing and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from bluezoned.doctor.facts import Facts, Finding, Grade, Unit
from bluezoned.radio.bluez_bus import Adapter

OK, WARN, FAIL = Grade.OK, Grade.WARN, Grade.FAIL

OLDEST_BLUEZ = (5, 66)
"""Debian 12's, the oldest that the radio was tried with."""

LEAST_BYTES, FEW_BYTES = 16 << 20, 128 << 20
"""Free where the state lies. Fourteen days in a crowd of two hundred take some 60 MB, and SQLite needs as much again to
copy a page before it changes it; below 16 MB a single large list of cases finds no room."""


def diagnose(facts: Facts) -> list[Finding]:
    """Every finding, in the order in which a person would look."""
    return [finding for look in LOOKS for finding in look(facts)]


def _bus(facts: Facts) -> Iterator[Finding]:
    if facts.bus_problem:
        yield Finding("bus", FAIL, facts.bus_problem, "sudo systemctl start dbus")
    else:
        yield Finding("bus", OK, "the D-Bus answers")


def _service(facts: Facts) -> Iterator[Finding]:
    unit = _unit_name(facts)
    if facts.units is None:
        yield Finding("unit", WARN, "systemd does not answer, so it is not known whether the daemon starts by itself")
        return
    found = facts.units[unit]
    start = f"sudo systemctl enable --now {unit.removesuffix('.service')}"
    if not found.loaded:
        yield Finding("unit", FAIL, f"there is no {unit}: bluezoned is not installed", "sudo make install")
    elif not found.active:
        if found.exit_status:
            why = f"{unit} has ended with status {found.exit_status}"
            yield Finding("unit", FAIL, why, f"journalctl -u {unit} -n 20, then {start}")
        else:
            yield Finding("unit", FAIL, f"{unit} does not run", start)
    elif not found.enabled:
        yield Finding("unit", WARN, f"{unit} runs, but will not after the next start of the machine", start)
    else:
        yield Finding("unit", OK, f"{unit} runs and starts with the machine")


def _permission(facts: Facts) -> Iterator[Finding]:
    if facts.is_root or facts.in_group:
        yield Finding("permission", OK, "you may ask the daemon")
    elif facts.in_group is None:
        yield Finding("permission", FAIL, "there is no group bluezoned", "sudo systemd-sysusers")
    else:
        join = "sudo usermod --append --groups bluezoned $USER, then log in anew"
        yield Finding(
            "permission", WARN, "you are no member of the group bluezoned, so the daemon tells you nothing", join
        )


def _daemon(facts: Facts) -> Iterator[Finding]:
    status = facts.status
    if status is None:
        if facts.is_root or facts.in_group:
            yield Finding("daemon", FAIL, facts.status_problem, f"journalctl -u {_unit_name(facts)} -n 20")
        return
    if status.paused:
        yield Finding("daemon", WARN, "paused by the carrier: nothing is sent or heard", "bluezonectl resume")
    elif not (status.hearing and status.advertising):
        lack = " and ".join(
            word for word, has in (("hear others", status.hearing), ("be heard", status.advertising)) if not has
        )
        problems = "; ".join(status.problems) or "the radio is being made ready"
        yield Finding("daemon", FAIL, f"the box cannot {lack}: {problems}", "see adapter and bluetoothd below")
    elif status.problems:
        yield Finding("daemon", WARN, "; ".join(status.problems))
    else:
        yield Finding("daemon", OK, f"it hears others and advertises {status.protocol}")


def _bluetoothd(facts: Facts) -> Iterator[Finding]:
    found = facts.bluetooth
    if found is None:
        return
    if not found.version:
        yield Finding("bluetoothd", FAIL, "BlueZ is not installed", "sudo apt install bluez")
    elif not found.is_running:
        yield Finding("bluetoothd", FAIL, "bluetoothd does not run", "sudo systemctl enable --now bluetooth")
    elif found.problem:
        yield Finding("bluetoothd", FAIL, found.problem, "sudo systemctl restart bluetooth")
    elif found.version < OLDEST_BLUEZ:
        said = f"BlueZ {_dotted(found.version)} is older than any that was tried, {_dotted(OLDEST_BLUEZ)}"
        yield Finding("bluetoothd", WARN, said, "sudo apt full-upgrade, on Debian 12 or later")
    else:
        yield Finding("bluetoothd", OK, f"BlueZ {_dotted(found.version)} runs")


def _adapter(facts: Facts) -> Iterator[Finding]:
    found = facts.bluetooth
    if found is None or not found.is_running or found.problem:
        return
    wish = facts.config.radio.adapter
    fitting = [a for a in found.adapters if wish in ("auto", a.name, a.address)]
    if not fitting and found.adapters:
        here = ", ".join(f"{a.name} ({a.address})" for a in found.adapters)
        yield Finding(
            "adapter", FAIL, f"there is no {wish}; there are: {here}", 'set radio.adapter = "auto", or to one of them'
        )
    elif not fitting:
        yield Finding(
            "adapter",
            FAIL,
            "there is no Bluetooth adapter",
            "plug one in; on a Pi, remove dtoverlay=disable-bt from config.txt",
        )
    else:
        adapter = fitting[0]
        yield _power(adapter, dict(found.blocks).get(adapter.name, ""))
        yield _experimental(adapter)
        yield _privacy(adapter)


def _power(adapter: Adapter, block: str) -> Finding:
    if block == "hard":
        return Finding("adapter", FAIL, f"{adapter.name} is switched off by hand", "turn the switch on the machine")
    if block == "soft":
        return Finding("adapter", FAIL, f"{adapter.name} is blocked", "sudo rfkill unblock bluetooth")
    if not adapter.powered:
        return Finding("adapter", FAIL, f"{adapter.name} is switched off", "bluetoothctl power on")
    kind = "with extended advertising" if adapter.is_extended else "that sends and listens by turns, as a Pi's"
    return Finding("adapter", OK, f"{adapter.name} is on, an adapter {kind}")


def _experimental(adapter: Adapter) -> Finding:
    if adapter.has_monitors:
        return Finding("experimental", OK, "bluetoothd hands on every packet (--experimental)")
    return Finding(
        "experimental",
        WARN,
        "bluetoothd runs without --experimental: each neighbour is heard only once in a while, which is too little to "
        "judge 2 m",
        "sudo systemctl daemon-reload; sudo systemctl restart bluetooth     (systemctl cat bluetooth must show "
        "10-bluezoned.conf)",
    )


def _privacy(adapter: Adapter) -> Finding:
    if not adapter.has_privacy:
        return Finding("privacy", OK, "each identifier goes out under an address of its own")
    return Finding(
        "privacy",
        FAIL,
        f"{adapter.name} keeps one address over many identifiers, which links them, so nothing is sent",
        "set Privacy = off in /etc/bluetooth/main.conf; sudo systemctl restart bluetooth",
    )


def _clock(facts: Facts) -> Iterator[Finding]:
    fix = "sudo timedatectl set-ntp true, and a network; or sudo timedatectl set-time"
    if not facts.clock_is_believable:
        yield Finding("clock", FAIL, "the time is wrong, so nothing is sent, heard or compared", fix)
    elif facts.clock_is_synchronized is None:
        yield Finding("clock", WARN, "the time looks right; whether it is kept right could not be seen", "timedatectl")
    elif not facts.clock_is_synchronized:
        yield Finding("clock", WARN, "nobody keeps the time right: a few minutes off, no encounter matches", fix)
    else:
        yield Finding("clock", OK, "the time is synchronized")


def _authority(facts: Facts) -> Iterator[Finding]:
    if not facts.config.authority.url:
        yield Finding(
            "authority",
            WARN,
            "no authority is set: the box traces, but will never alert",
            "sudo cp device.toml /etc/bluezoned/bluezoned.toml.d/     (from your health authority), then "
            "sudo systemctl reload bluezoned",
        )
    elif facts.authority_problem:
        yield Finding("authority", FAIL, facts.authority_problem, "mend authority.public_key in the settings")
    else:
        proxy = facts.config.authority.proxy_url
        through = f", asked through the proxy {proxy}" if proxy else ""
        metered = ", once a day as bytes are counted" if facts.config.authority.metered else ""
        yield Finding("authority", OK, f"an authority is set and its key is pinned{through}{metered}")


def _sync(facts: Facts) -> Iterator[Finding]:
    if not facts.config.authority.url or facts.units is None:
        return
    name = _unit_name(facts).replace("bluezoned", "bluezoned-sync", 1)
    timer, sync = facts.units[name.replace(".service", ".timer")], facts.units[name]
    if not timer.active:
        start = f"sudo systemctl restart {_unit_name(facts).removesuffix('.service')}"
        yield Finding("sync", FAIL, "nothing asks the authority: its timer does not run", start)
    elif not sync.ended_s:
        yield Finding(
            "sync", WARN, "the authority was not asked yet", f"sudo systemctl start {name.removesuffix('.service')}"
        )
    elif sync.exit_status:
        what = "could not be reached or refused something" if sync.exit_status == 75 else "could not be asked"
        said = f"at the last visit, {_when(sync.ended_s)}, the authority {what} (status {sync.exit_status})"
        yield Finding("sync", WARN if sync.exit_status == 75 else FAIL, said, f"journalctl -u {name} -n 20")
    else:
        yield Finding("sync", OK, f"the last visit to the authority went well, {_when(sync.ended_s)}")


def _keys(facts: Facts) -> Iterator[Finding]:
    if not facts.config.authority.url or facts.status is None:
        return
    issued, most = facts.status.keys_updated_at, facts.config.authority.stale_after_s
    if issued is None:
        yield Finding("keys", WARN, "no list of cases has come yet, so silence is no all-clear", "see sync above")
    elif facts.now_s - issued > most:
        said = f"the list of cases is of {_when(issued)}: too old, so silence is no all-clear"
        yield Finding("keys", WARN, said, "see sync above")
    else:
        yield Finding("keys", OK, f"the list of cases is of {_when(issued)}")


def _storage(facts: Facts) -> Iterator[Finding]:
    place = facts.config.beacon.state_dir
    if facts.free_bytes is None:
        yield Finding("disk", FAIL, f"there is no {place}", "sudo systemd-tmpfiles --create bluezoned.conf")
    else:
        free = f"{facts.free_bytes >> 20} MB are free in {place}"
        grade = FAIL if facts.free_bytes < LEAST_BYTES else WARN if facts.free_bytes < FEW_BYTES else OK
        yield Finding("disk", grade, free, "" if grade is OK else "sudo journalctl --vacuum-size=50M; sudo apt clean")
    if facts.store_flaw is None:
        yield Finding("store", WARN, "the database was not looked into: only root may", "sudo bluezonectl doctor")
    elif facts.store_flaw:
        unit = _unit_name(facts)
        move = (
            f"sudo systemctl stop {unit}; sudo mv {place}/bluezoned.db {place}/broken.db; sudo systemctl start {unit}"
        )
        yield Finding(
            "store",
            FAIL,
            f"the database is damaged ({facts.store_flaw}); a new one begins empty",
            move,
        )
    else:
        yield Finding("store", OK, "the database has no damage")


def _hardware(facts: Facts) -> Iterator[Finding]:
    if not facts.gpio_is_wanted:
        if not facts.config.alert.kernel_led:
            said = "no light or sound is set: what the box shows is in its log alone"
            yield Finding("light", WARN, said, "set preset or led in [alert], then sudo systemctl restart bluezoned")
    elif facts.gpio_problem:
        fix = "sudo udevadm trigger --subsystem-match=gpio; sudo systemctl restart bluezoned"
        yield Finding("light", FAIL, facts.gpio_problem, fix)
    else:
        yield Finding("light", OK, "the daemon may drive its lines; bluezonectl selftest plays them")


def _calibration(facts: Facts) -> Iterator[Finding]:
    if facts.uncalibrated is not None:
        yield Finding("calibration", WARN, facts.uncalibrated.partition(": bluezonectl")[0], "bluezonectl calibrate")
    else:
        yield Finding("calibration", OK, f"levels were measured: {facts.config.proximity.calibrated}")


LOOKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _bus,
    _service,
    _permission,
    _daemon,
    _bluetoothd,
    _adapter,
    _clock,
    _authority,
    _sync,
    _keys,
    _storage,
    _hardware,
    _calibration,
)


def unit_names(instance: str) -> tuple[str, str, str]:
    """Daemon, timer and sync of one box."""
    at = f"@{instance}" if instance else ""
    return f"bluezoned{at}.service", f"bluezoned-sync{at}.timer", f"bluezoned-sync{at}.service"


def _unit_name(facts: Facts) -> str:
    return unit_names(facts.config.beacon.instance)[0]


def missing_unit() -> Unit:
    """One that systemd does not know."""
    return Unit(False, False, False, 0, 0)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _when(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M} UTC"
