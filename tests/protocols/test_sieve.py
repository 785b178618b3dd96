"""The compiled first look tells of every key what Python tells, and is left alone where it cannot be had."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluezoned import assembly, config_source
from bluezoned.protocols import registry, sieve
from bluezoned.protocols.bluezone import Bluezone
from bluezoned.protocols.protocol import DAY, TracingProtocol
from bluezoned.protocols.sieve import Core, PlainNumbers

ROOT = Path(__file__).parents[2]
MONDAY = 20_759 * DAY

PROTOCOLS = [*map(registry.by_name, registry.NAMES), Bluezone(slots_per_day=144)]


@pytest.fixture(scope="module", params=PROTOCOLS, ids=lambda protocol: f"{protocol.name}-{protocol.rotation}")
def protocol(request: pytest.FixtureRequest) -> TracingProtocol:
    found: TracingProtocol = request.param
    return found


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_both_ways_tell_the_same_of_any_secrets(data: st.DataObject, compiled: Core, protocol: TracingProtocol) -> None:
    days = 0 if protocol.name == "gaen" else data.draw(st.integers(0, 14))
    midnight, rotation = MONDAY + days * DAY, protocol.rotation
    chosen = data.draw(st.sets(st.integers(0, DAY // rotation - 1), min_size=1))
    beginnings = protocol.beginnings(days, midnight, [midnight + number * rotation for number in sorted(chosen)])
    chance = random.Random(data.draw(st.integers()))
    secrets = [data.draw(st.binary(min_size=protocol.key_size, max_size=protocol.key_size)) for _ in range(3)]
    secrets += [chance.randbytes(protocol.key_size) for _ in range(data.draw(st.sampled_from((0, 1, 61, 62, 200))))]
    ids = [number for secret in secrets for number in beginnings.of(secret)]
    edges = st.sampled_from((0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1))
    near = st.sampled_from(ids).map(lambda number: number ^ 1) | st.sampled_from(ids)
    numbers = data.draw(st.sets(near | edges | st.integers(0, (1 << 32) - 1), max_size=40))

    found = compiled.numbers(numbers).sieve(beginnings)(secrets)

    assert found == PlainNumbers(numbers).sieve(beginnings)(secrets)


def test_a_crowded_day_is_told_alike(compiled: Core, protocol: TracingProtocol) -> None:
    """So many numbers that every tenth secret or so has one by chance."""
    chance = random.Random(7)
    numbers = {chance.randrange(1 << 32) for _ in range(3_000_000 // 144)}
    beginnings = protocol.beginnings(0, MONDAY, range(MONDAY, MONDAY + DAY, protocol.rotation))
    secrets = [chance.randbytes(protocol.key_size) for _ in range(500)]
    numbers |= {beginnings.of(secret)[-1] for secret in secrets[::7]}

    compact = compiled.numbers(numbers)

    assert compact.sieve(beginnings)(secrets) == PlainNumbers(numbers).sieve(beginnings)(secrets) != []
    assert all((number in compact) == (number in numbers) for number in range(1000))
    assert all(number in compact for number in numbers)
    assert "1" not in compact


def test_a_day_without_numbers_lets_nothing_through(compiled: Core, protocol: TracingProtocol) -> None:
    beginnings = protocol.beginnings(0, MONDAY, [MONDAY])

    assert compiled.numbers(set()).sieve(beginnings)([bytes(protocol.key_size)] * 3) == []
    assert compiled.numbers({0}).sieve(beginnings)([]) == []


@pytest.mark.parametrize("change", [-1, 1])
def test_secrets_of_another_size_are_not_handed_over(compiled: Core, protocol: TracingProtocol, change: int) -> None:
    passing = compiled.numbers({0}).sieve(protocol.beginnings(0, MONDAY, [MONDAY]))

    with pytest.raises(ValueError, match="another size"):
        passing([bytes(protocol.key_size), bytes(protocol.key_size + change)])


def test_there_is_none_where_it_was_not_built(tmp_path: Path) -> None:
    assert sieve.open_core(tmp_path / "libsieve.so") is None


def test_what_is_no_library_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "libsieve.so").write_bytes(b"\x7fELF of another machine")

    assert sieve.open_core(tmp_path / "libsieve.so") is None


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("VERSION = 1", "VERSION = 0"),
        # Wrong sums, as of a libcrypto whose structures are others: found out at the start.
        ("0x5be0cd19", "0x5be0cd18"),
        ("number < recipe->count", "number + 1 < recipe->count"),
        ("link < recipe->count", "link + 1 < recipe->count"),
    ],
)
def test_one_from_another_source_is_not_used(tmp_path: Path, here: str, there: str) -> None:
    source = ROOT / "bluezoned" / "protocols" / "sieve.c"
    (tmp_path / "bluezoned" / "protocols").mkdir(parents=True)
    text = source.read_text()
    assert text.count(here) == 1
    (tmp_path / "bluezoned" / "protocols" / "sieve.c").write_text(text.replace(here, there))
    (tmp_path / "compile.sh").write_bytes((ROOT / "compile.sh").read_bytes())

    subprocess.run(["sh", tmp_path / "compile.sh", tmp_path / "libsieve.so"], check=True)

    assert sieve.open_core(tmp_path / "libsieve.so") is None


def test_a_recipe_that_does_not_fit_is_refused(compiled: Core) -> None:
    gaen = registry.by_name("gaen").beginnings(0, MONDAY, [MONDAY])

    with pytest.raises(ValueError, match="does not fit"):
        compiled.numbers({1}).sieve(type(gaen)(gaen.of, type(gaen.recipe)(gaen.recipe.derivation, b"x" * 23, 0, 1)))


def test_compiling_says_so_where_there_is_no_compiler(tmp_path: Path) -> None:
    stale = tmp_path / "libsieve.so"
    stale.touch()

    done = subprocess.run(
        ["sh", ROOT / "compile.sh", stale], env=os.environ | {"CC": "no-such-compiler"}, capture_output=True, text=True
    )

    assert done.returncode != 0
    assert "no-such-compiler" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_operator_may_do_without() -> None:
    without = config_source.load([], {}, {"beacon.compiled": "false"})

    assert assembly.settings(without).core is None
    assert (assembly.settings(config_source.load([], {}, {})).core is None) == (sieve.open_core() is None)


LOCKED = """
import ctypes, sys
from pathlib import Path
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0, ctypes.get_errno()
from bluezoned.protocols import sieve
print(sieve.open_core(Path(sys.argv[1])) is not None)
"""


def test_it_works_where_no_memory_may_become_code(library: Path) -> None:
    """As in the service, which has MemoryDenyWriteExecute."""
    done = subprocess.run([sys.executable, "-c", LOCKED, library], cwd=ROOT, check=True, capture_output=True, text=True)

    assert done.stdout == "True\n"
