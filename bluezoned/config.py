"""Every option that an operator may turn, with its range, unit, default and reason.

Values only: where they come from is config_source's matter. The commented config/bluezoned.toml says the same to
people, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from bluezoned.errors import ConfigError

ProtocolName = Literal["bluezone", "gaen", "dp3t"]

DEFAULT_PATH = Path("/etc/bluezoned/bluezoned.toml")
"""The operator's file; drop-ins stand in `bluezoned.toml.d/` beside it."""

Seconds = Annotated[int, Meta(extra={"unit": "seconds"})]
Preset = Literal[
    "none", "wearable", "kiosk", "ledborg", "pi-traffic", "pi-stop-a", "pi-stop-a-plus", "pi-stop-b",
    "pi-stop-b-plus", "traffic-hat", "traffic-phat", "jam-hat", "fish-dish", "pibrella",
]  # fmt: skip
Pin = Annotated[int, Meta(ge=0, le=27, extra={"unit": "BCM"})]
Weight = Annotated[float, Meta(ge=0.0, le=2.5)]
"""GAEN's range of weights: 250 % at most (ExposureConfiguration, Exposure Windows mode)."""


class Beacon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What this box is and keeps."""

    protocol: ProtocolName = "bluezone"
    """The one put on the air: a second one would halve how often each is heard."""
    listen: tuple[ProtocolName, ...] = ("bluezone", "gaen", "dp3t")
    """Those understood. Listening costs nothing, so all."""
    key_schedule: Literal["independent", "chained"] = "independent"
    """Of bluezone's daily keys. Independent: a published key tells nothing about other days. Chained: as the
    published app, which derives every later day from one key."""
    profile: Literal["wearable", "kiosk"] = "wearable"
    """How power is spent: a kiosk has mains and listens always, a wearable listens in windows."""
    instance: Annotated[str, Meta(pattern="^([a-z_][a-z0-9_]*)?\\Z", max_length=32)] = ""
    """Suffix of the bus name, for several daemons on one machine. An element of a bus name allows no
    more."""
    state_dir: Annotated[str, Meta(pattern="^/[^\\n]*\\Z")] = "/var/lib/bluezoned"
    """Keys and encounters; readable by the daemon alone."""
    spool_dir: Annotated[str, Meta(pattern="^/[^\\n]*\\Z")] = "/var/spool/bluezoned"
    """Inbox and outbox. Not in state_dir: the sync process shares it and must see no secret."""
    retention_days: Annotated[int, Meta(ge=1, le=30, extra={"unit": "days"})] = 14
    """Encounters and own keys older than this are erased. 14 is the longest incubation that authorities trace."""
    tick_s: Annotated[Seconds, Meta(ge=1, le=600)] = 60
    """Between two transactions of the store. A crash loses one tick; a shorter one wears the SD card."""
    compiled: bool = True
    """Published keys are compared by compiled code where it was built (protocols/sieve.c): the same matches in up to a
    third of the time. false is for whoever does not trust it, or hunts a fault."""


class Radio(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Bluetooth adapter."""

    adapter: Annotated[str, Meta(pattern="^(auto|hci[0-9]{1,3}|([0-9A-F]{2}:){5}[0-9A-F]{2})\\Z")] = "auto"
    """Its address is the sure way: hci numbers swap across boots."""
    tx_power_dbm: Annotated[int, Meta(ge=-50, le=20, extra={"unit": "dBm"})] = 0
    """Calibrated transmit power, sealed into what we send where the protocol has room. The range is GAEN's."""
    witness: Annotated[str, Meta(pattern="^(|hci[0-9]{1,3}|([0-9A-F]{2}:){5}[0-9A-F]{2})\\Z")] = ""
    """A second adapter, used for nothing else: it listens whether we are heard, and speaks when all is silent, so that
    a dead radio is told from an empty room."""
    iphones: Literal["ignore", "read"] = "ignore"
    """Those with the published Bluezone app, whose ids must be read over a connection. It costs listening time, and a
    connection shows this box's fixed address."""


class Proximity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From levels to nearness. That "near" means 2 m is no option: it is the meaning of the word."""

    attenuation_1m_db: Annotated[float, Meta(ge=0.0, le=120.0, extra={"unit": "dB"})] = 41.0
    """Expected between two such boxes at 1 m in the open: free space (40.2 dB at 2.44 GHz) and a little loss. The
    same board differs by up to 20 dB between cases and rooms: calibrate."""
    receive_offset_db: Annotated[float, Meta(ge=-40.0, le=40.0, extra={"unit": "dB"})] = 0.0
    """By which this receiver reads too high; taken off every level."""
    assumed_tx_power_dbm: Annotated[int, Meta(ge=-50, le=20, extra={"unit": "dBm"})] = 0
    """Of a peer that tells none, such as a phone with the published app."""
    calibrated: Annotated[str, Meta(pattern="^[^\\x00-\\x1f]*\\Z", max_length=120)] = ""
    """When and how the levels above and radio.tx_power_dbm were measured. While none of them is set, a Raspberry Pi
    takes its board's defaults (board.py)."""


class Encounter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When one meeting ends."""

    silence_s: Annotated[Seconds, Meta(ge=60, le=3600)] = 300
    """After which an encounter is closed. Shorter, scan gaps cut one meeting in two; longer, memory fills with the
    departed."""


class Exposure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From matches to an alert."""

    rule: Literal["near", "buckets"] = "near"
    """near: Bluezone's, minutes within 2 m in a day. buckets: GAEN's, minutes weighted by attenuation."""
    minutes: Annotated[int, Meta(ge=1, le=1440, extra={"unit": "minutes"})] = 15
    """(Weighted) minutes in one UTC day that make an exposure. 15 is Bluezone's and the WHO's close contact."""
    window_minutes: Annotated[int, Meta(ge=5, le=30, extra={"unit": "minutes"})] = 30
    """Longest exposure window; GAEN cuts at 30."""
    bucket_thresholds_db: tuple[
        Annotated[int, Meta(ge=0, le=255, extra={"unit": "dB"})],
        Annotated[int, Meta(ge=0, le=255)],
        Annotated[int, Meta(ge=0, le=255)],
    ] = (63, 73, 79)
    """Upper attenuations of the first three of four buckets, ascending. Source: Corona-Warn-App v2 configuration."""
    bucket_weights: tuple[Weight, Weight, Weight, Weight] = (0.8, 1.0, 0.1, 0.0)
    """Of a minute in each bucket. Source: Corona-Warn-App v2 configuration; that 0.8 < 1.0 is theirs."""
    weight_confirmed_test: Weight = 1.0
    """Report types weigh alike by default: nobody but the authority can report."""
    weight_confirmed_clinical: Weight = 1.0
    """As a confirmed test."""
    weight_self_report: Weight = 1.0
    """Only in foreign exports; 0 ignores them."""
    weight_standard_infectiousness: Weight = 1.0
    """Of a key whose days since onset say standard infectiousness, or nothing."""
    weight_high_infectiousness: Weight = 1.0
    """Of a key whose days since onset say high infectiousness."""


class Authority(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The health authority that this box believes. Without url and public_key the box traces and never alerts."""

    url: Annotated[str, Meta(pattern="^(|https?://[^\\s/?#]+(/[^\\s?#]*)?)\\Z", max_length=200)] = ""
    """https, or http on this machine. Exports are signed; https hides from onlookers when we upload."""
    public_key: Annotated[str, Meta(pattern="^(|/[^\\n]*|\\s*-----BEGIN PUBLIC KEY-----[\\s\\S]*)\\Z")] = ""
    """ECDSA P-256, PEM: the text or the path of a file."""
    region: Annotated[str, Meta(pattern="^[A-Za-z0-9-]*\\Z", max_length=16)] = ""
    """Only exports of this region; empty takes all."""
    poll_s: Annotated[Seconds, Meta(ge=300, le=86_400)] = 14_400
    """Mean between two looks at the index; feed/schedule draws each. GAEN apps look every four hours;
    a shorter one costs the server, not safety."""
    stale_after_s: Annotated[Seconds, Meta(ge=3600, le=1_209_600)] = 172_800
    """Age of the newest index at which the light says that silence is no all-clear. Two days outlast a weekend's
    outage; beyond 14 days the index itself expires."""
    chaff_s: Annotated[Seconds, Meta(ge=0, le=1_209_600)] = 129_600
    """Mean between two uploads that say nothing, of 3 kB each; 0 for none. Twice as often costs the authority twice as
    much; half as often, and most uploads that an onlooker sees in a week of infections are real."""
    metered: bool = False
    """The network is paid for by the byte: a look a day, batches of beacon.listen alone, uploads by themselves."""
    proxy_url: Annotated[str, Meta(pattern="^(|https?://[^\\s/?#]+/?)\\Z", max_length=200)] = ""
    """An HTTP proxy that the authority is asked through. It sees the authority's name, when and how much. No name or
    password: this file is for everybody to read."""


class Alert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How people are told, beside the log: lights, a buzzer, buttons. Pins by their BCM number; 0 is none, as GPIO0
    belongs to the board's own EEPROM."""

    preset: Preset = "none"
    """A board whose pins are known (alert/wiring.py); pins below add to it or change it."""
    gpio_chip: Annotated[str, Meta(pattern="^(auto|gpiochip[0-9]{1,3})\\Z")] = "auto"
    """auto: the chip that has the 40 pins."""
    led: Pin = 0
    """A single light of any colour."""
    led_red: Pin = 0
    """Coloured lights need red and green at least, so that green can be meant."""
    led_amber: Pin = 0
    """Red speaks for it where it is missing."""
    led_green: Pin = 0
    """As red."""
    led_blue: Pin = 0
    """Amber or red speak for it where it is missing."""
    led_kind: Literal["", "separate", "rgb"] = ""
    """rgb: one light whose colours mix."""
    led_active: Literal["", "high", "low"] = ""
    """low: lit when the pin is low, as with a common anode."""
    kernel_led: Annotated[str, Meta(pattern="^[A-Za-z0-9:._-]*\\Z", max_length=64)] = ""
    """A light of the kernel's, such as ACT."""
    buzzer: Pin = 0
    """Through a transistor where it draws more than a pin gives."""
    buzzer_kind: Literal["", "active", "passive"] = ""
    """active: makes its own tone."""
    buzzer_active: Literal["", "high", "low"] = ""
    """low: sounds when the pin is low."""
    volume: Annotated[int, Meta(ge=0, le=100, extra={"unit": "percent"})] = 100
    """Of a passive buzzer; an active one knows 0 and the rest."""
    button: Pin = 0
    """Says yes and "I know"."""
    button_2: Pin = 0
    """Both together pause and resume."""
    button_to: Literal["", "ground", "3v3"] = ""
    """Where the pressed button joins its pin to."""
    consent: Literal["call", "button"] = "call"
    """button: bluezonectl's word is not enough, the carrier must hold the button too."""
    consent_timeout_s: Annotated[Seconds, Meta(ge=10, le=600)] = 60
    """Long enough to take the box out of a pocket; longer, somebody else's hand may come by."""
    erase_hours: Annotated[int, Meta(ge=0, le=72, extra={"unit": "hours"})] = 4
    """What five presses and a hold unlearn; 0: nothing. An evening."""
    quiet_hours: Annotated[str, Meta(pattern="^(|([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])\\Z")] = ""
    """Local time. A sound that falls into them comes at their end."""
    discreet: bool = False
    """No sound; short and dim light."""
    remind_s: Annotated[Seconds, Meta(ge=60, le=3600)] = 300
    """Between two announcements of a case that nobody acknowledged, twelve times at most. Shorter, the neighbours
    learn of it; longer, one sleeps through it."""


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The D-Bus interface."""

    bus: Annotated[str, Meta(pattern="^(system|session|unix:[^\\s]+)\\Z")] = "system"
    """The system bus, where a policy guards who may do what."""


class Display(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The page for a display beside the box; bluezoned-display.service serves it where that is enabled."""

    port: Annotated[int, Meta(ge=1024, le=65535, extra={"unit": "on this machine alone"})] = 8111
    """Of TCP. Below 1024 it would need rights."""


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is told to operators. No level tells identifiers."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """info: changes a person would act on. debug: counts and durations."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All sections. `origins` says where each value came from, by `section.option`; absent means default."""

    beacon: Beacon = Beacon()
    radio: Radio = Radio()
    proximity: Proximity = Proximity()
    encounter: Encounter = Encounter()
    exposure: Exposure = Exposure()
    authority: Authority = Authority()
    alert: Alert = Alert()
    control: Control = Control()
    display: Display = Display()
    log: Log = Log()
    origins: dict[str, str] = {}


SECTIONS: dict[str, type[msgspec.Struct]] = {
    name: kind for name, kind in get_type_hints(Config).items() if isinstance(kind, type) and kind is not dict
}
"""Section name to its struct."""


def options(section: str) -> dict[str, object]:
    """Option name to its annotated type, in the order of the file."""
    return dict(get_type_hints(SECTIONS[section], include_extras=True))


def defaults(section: str) -> dict[str, object]:
    """Option name to its default."""
    return {field.name: field.default for field in msgspec.structs.fields(SECTIONS[section])}


_SHAPES = {
    "beacon.instance": "lower case letters, digits and _, not beginning with a digit, 32 at most",
    "beacon.state_dir": "an absolute path",
    "beacon.spool_dir": "an absolute path",
    "radio.adapter": '"auto", "hci0" or an address such as "B8:27:EB:00:00:00"',
    "radio.witness": '"hci1" or an address; empty for none',
    "proximity.calibrated": "a line of text, 120 characters at most; empty for never",
    "exposure.bucket_thresholds_db": "three ascending whole numbers from 0 to 255, dB",
    "exposure.bucket_weights": "four numbers from 0 to 2.5",
    "alert.preset": 'a board of docs/wiring.md, such as "wearable", "traffic-hat" or "ledborg"; "none" for none',
    "alert.gpio_chip": '"auto" or "gpiochip0"',
    "alert.kernel_led": "the name of a light in /sys/class/leds; empty for none",
    "alert.quiet_hours": '"22:00-07:00"; empty for none',
    "authority.url": "https://..., or http:// on this machine; empty for none",
    "authority.proxy_url": "http://host:port or https://host:port, without name and password; empty for none",
    "authority.public_key": "PEM text, or the absolute path of a PEM file; empty for none",
    "authority.region": "letters, digits and -, 16 at most; empty for all",
    "control.bus": '"system", "session" or an address "unix:path=..."',
}
"""What is allowed where a range does not say it."""


def allowed(section: str, option: str) -> str:
    """What the option may be, for people: the same words in the commented file and in complaints."""
    shape = _SHAPES.get(f"{section}.{option}")
    if shape is not None:
        return shape
    kind = options(section)[option]
    if kind is bool:
        return "true or false"
    if get_origin(kind) is tuple:
        return f"a list of {_choices(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return _choices(kind)
    base, *constraints = get_args(kind)
    metas = [meta for meta in constraints if isinstance(meta, Meta)]
    low = next(meta.ge for meta in metas if meta.ge is not None)
    high = next(meta.le for meta in metas if meta.le is not None)
    unit = "".join(f", {meta.extra['unit']}" for meta in metas if meta.extra)
    return f"a {'whole number' if base is int else 'number'} from {low:g} to {high:_.10g}{unit}".replace("_", "")


def _choices(kind: object) -> str:
    return " or ".join(f'"{choice}"' for choice in get_args(kind))


_CREDENTIALS = Path("/run/credentials")
"""Where systemd lays a unit's, each unit's in a directory of its own."""


def public_key_pem(authority: Authority, environment: Mapping[str, str]) -> bytes:
    """The authority's key as PEM text, read from its file where a path was given. ConfigError when unreadable."""
    if not authority.public_key.startswith("/"):
        return authority.public_key.encode()
    path, own = Path(authority.public_key), environment.get("CREDENTIALS_DIRECTORY")
    # The settings name the daemon's credential; systemd hands it to sync too, at a place that only sync may read.
    if own is not None and path.parent.parent == _CREDENTIALS:
        path = Path(own) / path.name
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"authority.public_key: cannot read {authority.public_key}: {error.strerror}") from error
