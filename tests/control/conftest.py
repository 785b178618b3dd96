"""A D-Bus of our own: the real dbus-daemon on a socket below the test's directory."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.daemon_double import Box, StartBus

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="false"/>
    <allow eavesdrop="false"/>
    <allow own="*"/>
    {policy}
  </policy>
</busconfig>
"""


@pytest.fixture
def start_bus(tmp_path: Path) -> Iterator[StartBus]:
    """Start a bus with further lines of policy; gives its address and process."""
    started: list[subprocess.Popen[str]] = []

    def start(policy: str) -> tuple[str, subprocess.Popen[str]]:
        place = tmp_path / f"bus-{len(started)}"
        config = place.with_suffix(".conf")
        config.write_text(CONFIG.format(socket=place, policy=policy))
        process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address=1"],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return f"unix:path={place}", process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def bus(start_bus: StartBus) -> str:
    """The address of a bus that allows everything."""
    return start_bus("")[0]


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture(autouse=True)
def no_trouble_inside_dbus_next(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """dbus-next logs what it swallows to the root logger."""
    caplog.set_level(logging.WARNING)
    yield
    assert [record.message for record in caplog.records if record.name == "root"] == []
