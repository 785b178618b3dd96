"""Who may own our names on the bus, call them, and have an adapter reset: asked of a real dbus-daemon and polkitd.

Nobody stands for the user bluezoned, which this machine may not have.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

UNITS = Path(__file__).parent.parent / "systemd"
DOCUMENT = (UNITS.parent / "docs" / "dbus" / "org.bluezoned.Daemon1.xml").read_text()
POLKITD = Path("/usr/lib/polkit-1/polkitd")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")

NOBODY, STRANGER = pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("daemon").pw_uid
"""The bus lets in users alone that the machine knows."""

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <!-- As Debian's system.conf. -->
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>{policy}</include>
</busconfig>
"""

AS_USER = """
import asyncio, os, sys
from bluezoned.bus import connected
from dbus_next import Message
from dbus_next.errors import DBusError

address, user, group, name = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
# Root reads the interpreter, which may lie in its home; then it becomes the user.
os.setgroups([group])
os.setresgid(group, group, group)
os.setresuid(user, user, user)
"""

OWN = """
async def own():
    async with connected(address) as bus:
        try:
            print((await bus.request_name(name)).name, flush=True)
            await asyncio.Event().wait()
        except DBusError as error:
            print(error.type)

asyncio.run(own())
"""

CALL = """
async def call():
    async with connected(address) as bus:
        ping = Message(destination=name, path="/", interface="org.freedesktop.DBus.Peer", member="Ping")
        print((await bus.call(ping)).error_name or "answered")

asyncio.run(call())
"""


def words(program: str, address: str, user: int, group: int, name: str) -> list[str]:
    first = "from bluezoned import daemon" if program is DAEMON else ""
    return [sys.executable, "-c", first + AS_USER + program, address, str(user), str(group), name]


def called(address: str, user: int, group: int, name: str) -> str:
    done = subprocess.run(
        words(CALL, address, user, group, name), capture_output=True, text=True, timeout=60, check=True
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[str]:
    """The address of a system bus with our policy."""
    policy = tmp_path / "org.bluezoned.conf"
    stand_in = (UNITS / "org.bluezoned.conf").read_text()
    policy.write_text(stand_in.replace('user="bluezoned"', 'user="nobody"').replace('"bluezoned"', '"nogroup"'))
    (tmp_path / "bus.conf").write_text(BUS.format(policy=policy))
    with subprocess.Popen(
        ["dbus-daemon", f"--config-file={tmp_path}/bus.conf", "--nofork", "--print-address"],
        stdout=subprocess.PIPE, text=True,
    ) as daemon:  # fmt: skip
        assert daemon.stdout is not None
        yield daemon.stdout.readline().strip()
        daemon.terminate()


@pytest.fixture
def owners(bus: str) -> Iterator[str]:
    """The bus with a daemon and an instance on it."""
    owning = [
        subprocess.Popen(
            words(OWN, bus, NOBODY, NOBODY, name), stdout=subprocess.PIPE, text=True
        )
        for name in ("org.bluezoned", "org.bluezoned.left")
    ]  # fmt: skip
    for process in owning:
        assert process.stdout is not None
        assert process.stdout.readline() == "PRIMARY_OWNER\n"
    yield bus
    for process in owning:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", ["org.bluezoned", "org.bluezoned.left"])
def test_the_daemon_and_its_instances_are_called_by_root_and_their_group_alone(name: str, owners: str) -> None:
    assert called(owners, 0, 0, name) == "answered"
    assert called(owners, STRANGER, NOBODY, name) == "answered"
    assert called(owners, STRANGER, STRANGER, name) == "org.freedesktop.DBus.Error.AccessDenied"


DAEMON = """
sys.argv[1:] = sys.argv[5:]
daemon.main()
"""

CALL_ALL = """
from dbus_next.introspection import Node

arguments = {"s": "x", "u": 1, "t": 1}
(ours,) = Node.parse(sys.argv[5]).interfaces
calls = [(ours.name, m.name, m.in_args) for m in ours.methods]
bodies = {(i, m): ("".join(a.signature for a in args), [arguments[a.signature] for a in args]) for i, m, args in calls}
properties = "org.freedesktop.DBus.Properties"
bodies[properties, "GetAll"] = "s", [ours.name]
bodies[properties, "Get"] = "ss", [ours.name, "AlertLevel"]
bodies["org.freedesktop.DBus.Introspectable", "Introspect"] = "", []

async def call_all():
    async with connected(address) as bus:
        for (interface, member), (signature, body) in bodies.items():
            reply = await bus.call(Message(destination=name, path="/org/bluezoned/Daemon1", interface=interface,
                                           member=member, signature=signature, body=body))
            words = " ".join(map(str, reply.body)) if reply.error_name else ""
            print(member, reply.error_name or "answered", words.replace(chr(10), "|"))

asyncio.run(call_all())
"""

LISTEN = """
async def listen():
    async with connected(address) as bus:
        heard = asyncio.Event()
        bus.add_message_handler(lambda message: heard.set() if message.path == "/org/bluezoned/Daemon1" else None)
        driver = "org.freedesktop.DBus"
        for rule in ("type='signal'", "type='signal',path='/org/bluezoned/Daemon1'", "eavesdrop=true"):
            await bus.call(Message(driver, "/org/freedesktop/DBus", driver, "AddMatch", signature="s", body=[rule]))
        print("listening", flush=True)
        try:
            await asyncio.wait_for(heard.wait(), float(sys.argv[5]))
            print("heard")
        except TimeoutError:
            print("silence")

asyncio.run(listen())
"""


@pytest.fixture
def daemon(bus: str) -> Iterator[str]:
    """The bus with the real daemon on it, which plays an empty capture."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        (Path(place) / "silence.jsonl").touch()
        settings = [f"beacon.state_dir={place}/state", f"beacon.spool_dir={place}/spool", f"control.bus={bus}"]
        command = words(DAEMON, bus, NOBODY, NOBODY, "org.bluezoned")
        command += ["--replay", f"{place}/silence.jsonl", *(w for setting in settings for w in ("--set", setting))]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 60
            while called(bus, 0, 0, "org.bluezoned") != "answered":
                assert time.monotonic() < deadline, "the daemon does not stand on the bus"
            yield bus
            process.terminate()


def test_the_wrong_user_can_neither_call_a_verb_nor_read_and_nobody_gets_a_traceback(daemon: str) -> None:
    def answers(user: int, group: int) -> dict[str, tuple[str, str]]:
        done = subprocess.run(
            [*words(CALL_ALL, daemon, user, group, "org.bluezoned"), DOCUMENT],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        rows = [line.split(" ", 2) for line in done.stdout.splitlines()]
        return {member: (answer, said) for member, answer, said in rows}

    # Root asks within a second of the member: what it may do, it does too often.
    of_stranger, of_member, of_root = answers(STRANGER, STRANGER), answers(STRANGER, NOBODY), answers(0, 0)

    assert {"Consent", "Erase", "EraseLast", "Pause", "Record", "GetEncounters", "GetAll"} <= of_stranger.keys()
    assert {answer for answer, _ in of_stranger.values()} == {"org.freedesktop.DBus.Error.AccessDenied"}
    for answered in (of_member, of_root):
        refusals = {answer for answer, _ in answered.values()} - {"answered"}
        assert all(refusal.startswith("org.bluezoned.Error.") for refusal in refusals)
        assert answered["GetEncounters"][0] == answered["GetAll"][0] == "answered"
        assert not [said for _, said in answered.values() if "Traceback" in said or ".py" in said]


@pytest.mark.parametrize(
    ("user", "group", "outcome"), [(0, 0, "heard"), (STRANGER, NOBODY, "heard"), (STRANGER, STRANGER, "silence")]
)
def test_the_wrong_user_hears_no_signal(user: int, group: int, outcome: str, daemon: str) -> None:
    with subprocess.Popen(
        [*words(LISTEN, daemon, user, group, "org.bluezoned"), "60" if outcome == "heard" else "5"],
        stdout=subprocess.PIPE, text=True,
    ) as listener:  # fmt: skip
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listening\n"
        subprocess.run(
            [*words(CALL_ALL, daemon, 0, 0, "org.bluezoned"), DOCUMENT], capture_output=True, timeout=60, check=True
        )

        assert listener.stdout.read() == f"{outcome}\n"


@pytest.mark.parametrize(("user", "name"), [(STRANGER, "org.bluezoned"), (0, "org.bluezoned"), (NOBODY, "org.bluez")])
def test_nobody_else_takes_the_name_and_the_daemon_takes_no_other(user: int, name: str, bus: str) -> None:
    done = subprocess.run(
        words(OWN, bus, user, user, name), capture_output=True, text=True, timeout=60, check=True
    )  # fmt: skip

    assert done.stdout == "org.freedesktop.DBus.Error.AccessDenied\n"


# A private place for polkitd's rules, in a namespace of its own: it reads fixed directories alone.
ASKING = """
import os, subprocess, sys, time
from pathlib import Path

rule, polkitd, user, unit, verb, address = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/etc/polkit-1"], check=True)
Path("/etc/polkit-1/rules.d").mkdir()
Path("/etc/polkit-1/rules.d/50-bluezoned.rules").write_text(Path(rule).read_text())
os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = address
judge = subprocess.Popen([polkitd, "--no-debug"], stdout=subprocess.DEVNULL)
asker = subprocess.Popen(["sleep", "60"], user=int(user), group=int(user), extra_groups=[])
asked = ["pkcheck", "--action-id", "org.freedesktop.systemd1.manage-units", "--process", str(asker.pid)]
asked += ["--detail", "unit", unit, "--detail", "verb", verb]
for _ in range(100):
    done = subprocess.run(asked, capture_output=True, text=True)
    if "ServiceUnknown" not in done.stderr:
        break
    time.sleep(0.1)
asker.kill()
judge.kill()
print(done.returncode, done.stderr.strip())
"""


@pytest.fixture
def judged_bus(tmp_path: Path) -> Iterator[str]:
    """The address of a bus where polkitd may stand."""
    judge = Path("/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf")
    if not POLKITD.exists():
        pytest.skip("this machine has no polkitd: apt install polkitd")
    (tmp_path / "bus.conf").write_text(BUS.format(policy=judge))
    with subprocess.Popen(
        ["dbus-daemon", f"--config-file={tmp_path}/bus.conf", "--nofork", "--print-address"],
        stdout=subprocess.PIPE, text=True,
    ) as daemon:  # fmt: skip
        assert daemon.stdout is not None
        yield daemon.stdout.readline().strip()
        daemon.terminate()


RESET = "bluezoned-bt-reset@hci0.service"


@pytest.mark.parametrize(
    ("user", "unit", "verb", "status"),
    [
        (NOBODY, RESET, "start", 0),
        (NOBODY, "bluezoned-bt-reset@hci12.service", "start", 0),
        (NOBODY, RESET, "stop", 2),
        (NOBODY, RESET, "restart", 2),
        (NOBODY, "ssh.service", "start", 2),
        (NOBODY, "bluezoned-bt-reset@hci0.service.service", "start", 2),
        (NOBODY, "x-bluezoned-bt-reset@hci0.service", "start", 2),
        (STRANGER, RESET, "start", 2),
    ],
)
def test_the_daemon_may_start_the_reset_and_nothing_else(
    user: int, unit: str, verb: str, status: int, tmp_path: Path, judged_bus: str
) -> None:
    """pkcheck: 0 authorized, 2 not without a person's password."""
    rule = tmp_path / "rule"
    rule.write_text((UNITS / "org.bluezoned.rules").read_text().replace('"bluezoned"', '"nobody"'))

    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", ASKING, rule, POLKITD, str(user), unit, verb, judged_bus],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert done.stdout.partition(" ")[0] == str(status), done.stdout
