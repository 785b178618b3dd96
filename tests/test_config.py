"""Settings: what the commented file says is what the code holds, and each mistake names its place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned import config, config_source
from bluezoned.config import Config
from bluezoned.config_source import ConfigErrors, load
from bluezoned.errors import ConfigError

TEMPLATE = Path(__file__).parents[1] / "config" / "bluezoned.toml"
EVERY_OPTION = [(section, option) for section in config.SECTIONS for option in config.options(section)]


def uncommented(text: str) -> str:
    return re.sub(r"^#(\w+ = )", r"\1", text, flags=re.MULTILINE)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def mistakes(text: str, tmp_path: Path) -> list[str]:
    path = write(tmp_path / "bluezoned.toml", text)
    with pytest.raises(ConfigErrors) as caught:
        load([path], {}, {})
    return [str(mistake).removeprefix(str(tmp_path) + "/") for mistake in caught.value.mistakes]


def test_template_holds_exactly_the_options_at_their_defaults() -> None:
    document = tomllib.loads(uncommented(TEMPLATE.read_text()))

    in_file = {(section, option): value for section, table in document.items() for option, value in table.items()}
    in_code = {
        (section, option): list(value) if isinstance(value, tuple) else value
        for section in config.SECTIONS
        for option, value in config.defaults(section).items()
    }
    assert in_file == in_code


def test_template_as_shipped_changes_nothing() -> None:
    assert load([TEMPLATE], {}, {}) == Config()


def test_template_uncommented_is_accepted(tmp_path: Path) -> None:
    path = write(tmp_path / "all.toml", uncommented(TEMPLATE.read_text()))

    loaded = load([path], {}, {})

    assert loaded.origins.keys() == {f"{section}.{option}" for section, option in EVERY_OPTION}
    assert all(getattr(loaded, section) == kind() for section, kind in config.SECTIONS.items())


@pytest.mark.parametrize(("section", "option"), EVERY_OPTION)
def test_template_tells_what_each_option_may_be(section: str, option: str) -> None:
    comment = TEMPLATE.read_text().split(f"[{section}]\n")[1].split(f"#{option} = ")[0].split("\n\n")[-1]

    assert f"# Allowed: {config.allowed(section, option)}." in comment


def test_later_sources_win_and_are_remembered(tmp_path: Path) -> None:
    main = write(tmp_path / "bluezoned.toml", "[beacon]\ntick_s = 10\nretention_days = 10\n[log]\nlevel = 'error'\n")
    write(tmp_path / "bluezoned.toml.d" / "20-b.toml", "[beacon]\ntick_s = 30\n")
    write(tmp_path / "bluezoned.toml.d" / "10-a.toml", "[beacon]\ntick_s = 20\n\n[encounter]\nsilence_s = 120\n")
    write(tmp_path / "bluezoned.toml.d" / "30-c.toml.dpkg-old", "[beacon]\ntick_s = 40\n")
    environ = {"BLUEZONED_LOG_LEVEL": "debug", "BLUEZONED_ENCOUNTER_SILENCE_S": "180", "PATH": "/bin"}

    loaded = load(config_source.installed_files(main), environ, {"log.level": "warning"})

    assert (loaded.beacon.tick_s, loaded.beacon.retention_days) == (30, 10)
    assert (loaded.encounter.silence_s, loaded.log.level) == (180, "warning")
    assert loaded.origins == {
        "beacon.tick_s": f"{tmp_path}/bluezoned.toml.d/20-b.toml:2",
        "beacon.retention_days": f"{main}:3",
        "encounter.silence_s": "BLUEZONED_ENCOUNTER_SILENCE_S",
        "log.level": "command line",
    }


def test_nothing_installed_gives_the_defaults(tmp_path: Path) -> None:
    assert load(config_source.installed_files(tmp_path / "bluezoned.toml"), {}, {}) == Config()


def test_text_sources_take_lists_as_toml() -> None:
    loaded = load([], {"BLUEZONED_BEACON_LISTEN": '["gaen"]'}, {"beacon.protocol": "gaen"})

    assert loaded.beacon.listen == ("gaen",)


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    text = """[beacon]
tick_s = 0
protocl = "gaen"
retention_days = "14"
[radio]
adapter = "hci0\\n"
[nonsense]
[exposure]
bucket_thresholds_db = [
  63,
  60,
  79,
]
"""

    assert mistakes(text, tmp_path) == [
        "bluezoned.toml:2: beacon.tick_s: 0 is not allowed; allowed: a whole number from 1 to 600, seconds",
        "bluezoned.toml:3: beacon.protocl: no such option; did you mean protocol?",
        "bluezoned.toml:4: beacon.retention_days: '14' is not allowed; allowed: a whole number from 1 to 30, days",
        "bluezoned.toml:6: radio.adapter: 'hci0\\n' is not allowed; "
        'allowed: "auto", "hci0" or an address such as "B8:27:EB:00:00:00"',
        "bluezoned.toml:7: nonsense: no such section; there are: " + ", ".join(config.SECTIONS),
        "bluezoned.toml:9: exposure.bucket_thresholds_db: must ascend",
    ]


PINNED = "[authority]\nurl='https://a.example'\npublic_key='/etc/key.pem'\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[beacon]\ntick_s = = 1\n", "bluezoned.toml:2: is not TOML: "),
        ("[beacon]\ntick_s = 1\n[beacon]\n", "bluezoned.toml:3: is not TOML: "),
        ("beacon = 3\n", "bluezoned.toml:1: beacon: is a section: "),
        ("\nbeacon.tick_s = 0\n", "bluezoned.toml:2: beacon.tick_s: 0 is not allowed"),
        ("beacon = { tick_s = 0 }\n", "bluezoned.toml:1: beacon.tick_s: 0 is not allowed"),
        ("[proximity]\nreceive_offset_db = nan\n", "bluezoned.toml:2: proximity.receive_offset_db: nan is not allowed"),
        ("[beacon]\ntick_s = true\n", "bluezoned.toml:2: beacon.tick_s: True is not allowed"),
        ("[beacon]\nprotocol='gaen'\nlisten=['dp3t']\n", 'bluezoned.toml:3: beacon.listen: must name "gaen"'),
        ("[authority]\nurl='https://a.example'\n", "bluezoned.toml:2: authority.url: needs authority.public_key too"),
        (f"{PINNED}proxy_url='http://a:b@proxy:3128'\n", "bluezoned.toml:4: authority.proxy_url: must not carry"),
        (f"{PINNED}proxy_url='socks5://proxy'\n", "bluezoned.toml:4: authority.proxy_url: 'socks5://proxy' is not all"),
        (f"{PINNED}proxy_url='http://proxy:99999'\n", "bluezoned.toml:4: authority.proxy_url: is not a URL"),
        (f"{PINNED}proxy_url='http://:3128'\n", "bluezoned.toml:4: authority.proxy_url: is no address"),
        (
            f"{PINNED.replace('https://a.example', 'http://127.0.0.1')}proxy_url='http://proxy'\n",
            "bluezoned.toml:4: authority.proxy_url: needs an authority.url of https",
        ),
        (
            "[authority]\nmetered=true\nstale_after_s=90000\n",
            "bluezoned.toml:3: authority.stale_after_s: must be two days at least with authority.metered",
        ),
        ("[authority]\nstale_after_s=14400\n", "bluezoned.toml:2: authority.stale_after_s: must be longer"),
    ],
)
def test_a_mistake_names_file_line_and_option(text: str, place: str, tmp_path: Path) -> None:
    (told,) = mistakes(text, tmp_path)

    assert told.startswith(place)


def test_other_mistakes_name_their_source(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"[beacon]\n# \xe9\n")
    environ = {"BLUEZONED_BEACON_TICK_S": "soon", "BLUEZONED_BEACON_TICKS": "1"}

    with pytest.raises(ConfigErrors) as caught:
        load([tmp_path / "absent.toml", latin], environ, {"tick_s": "1"})

    places = [(mistake.source.rsplit("/")[-1], mistake.line, mistake.option) for mistake in caught.value.mistakes]
    assert places == [
        ("absent.toml", None, ""),
        ("latin.toml", 2, ""),
        ("BLUEZONED_BEACON_TICKS", None, "beacon.ticks"),
        ("BLUEZONED_BEACON_TICK_S", None, "beacon.tick_s"),
        ("command line", None, "tick_s"),
    ]


@pytest.mark.parametrize(
    ("url", "is_asked"),
    [
        ("https://authority.example/bluezone", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080/", True),
        ("ftp://127.0.0.1", False),
        ("https:///v1", False),
        ("http://localhost.example", False),
        ("http://authority.example", False),
        ("https://name:word@authority.example", False),
        ("https://authority.example:http", False),
    ],
)
def test_plain_http_stays_on_this_machine(url: str, is_asked: bool) -> None:
    assert (config_source.url_problem(url) is None) == is_asked


def test_a_key_inside_a_text_of_several_lines_is_not_a_key() -> None:
    text = '[authority]\npublic_key = """\nurl = "x"\n[log]\n"""\n# url = 1\nurl = "y"\n[log]\n\nlevel = "info"\n'

    assert config_source.key_lines(text) == {
        ("authority",): 1,
        ("authority", "public_key"): 2,
        ("authority", "url"): 7,
        ("log",): 8,
        ("log", "level"): 10,
    }


def test_public_key_is_read_from_its_file(tmp_path: Path) -> None:
    pem = write(tmp_path / "authority.pem", "-----BEGIN PUBLIC KEY-----\n")

    assert config.public_key_pem(config.Authority(public_key=str(pem)), {}) == pem.read_bytes()


def test_public_key_that_is_the_daemons_credential_is_read_where_this_process_has_it(tmp_path: Path) -> None:
    mine = write(tmp_path / "bluezoned.authority-key", "-----BEGIN PUBLIC KEY-----\n")
    theirs = config.Authority(public_key="/run/credentials/bluezoned.service/bluezoned.authority-key")

    assert config.public_key_pem(theirs, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == mine.read_bytes()
    with pytest.raises(ConfigError, match="cannot read /run/credentials"):
        config.public_key_pem(theirs, {})


HOSTILE = ["", "\n", "x", '"', "[", "nan", "-inf", "1_0", "0x10", "2020-01-01", "1\n[log]", "hci0\n", "{a = 1}"]


@given(st.dictionaries(st.sampled_from(EVERY_OPTION), st.integers() | st.floats() | st.sampled_from(HOSTILE)))
def test_any_text_is_taken_or_told(texts: dict[tuple[str, str], object]) -> None:
    overrides = {f"{section}.{option}": str(value) for (section, option), value in texts.items()}

    assert _mistaken(overrides) <= overrides.keys()


def _mistaken(overrides: dict[str, str]) -> set[str]:
    try:
        load([], {}, overrides)
    except ConfigErrors as errors:
        return {mistake.option for mistake in errors.mistakes}
    return set()
