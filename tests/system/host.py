"""The virtual machine, from outside: builds its disk, boots it, runs the tests in it, brings the results home.

    python -m tests.system.host test [PYTEST ARGUMENT...]    all of it: what `make test-vm` does
    python -m tests.system.host up                           boot and leave running, for work on a test
    python -m tests.system.host run [PYTEST ARGUMENT...]     the tests in the running one, with the tree as it is now
    python -m tests.system.host shell COMMAND                a command in the running one
    python -m tests.system.host down

Paths among pytest's arguments are those of this tree. The disk is kept by the content of its recipe, in
BLUEZONED_VM_CACHE or ~/.cache/bluezoned/vm. Root is needed to build one.
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
TREE = HERE.parent.parent
GUEST = HERE / "guest"
WORK = TREE / "build" / "test-vm"
SHARE = WORK / "share"
RESULTS = WORK / "results"

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
}
"""Program to the Debian package that has it."""

CARRIED = ("bluezoned", "tests", "systemd", "config", "docs", "setup.cfg", "pyproject.toml")
"""What of the tree the guest needs."""

TOOLS = ("pytest", "pytest-asyncio", "pytest-timeout", "hypothesis")
"""What the tests need besides what setup.cfg says that the programs do."""

NOT_AS_WHEELS = ("systemd-python",)
"""Has none, so it comes from Debian."""

PACKAGES_WITH_ALL = TREE / "build" / "deb-guest"
"""Our package and what it depends on, where make test-vm-deb has gathered it: the guest has no network."""

BOOT_S = 300
TESTS_S = 5400
"""Seconds. A boot takes 30 to 60 under emulation, the tests half an hour, and a long crowd nearly as much; these are
for machines under load."""

COLLECT = """
cp /run/air.jsonl /run/air.out /mnt/results/ 2>/dev/null
journalctl -b -o short-precise > /mnt/results/journal.txt
journalctl -b -o json > /mnt/results/journal.json
journalctl -b -u bluetooth -o short-precise > /mnt/results/bluetoothd.txt
dmesg > /mnt/results/dmesg.txt
"""


class HarnessError(Exception):
    """Why the tests could not be run at all."""


def say(text: str) -> None:
    print(f"test-vm: {text}", flush=True)


def install_tools() -> None:
    """What is missing, with apt, saying so."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    # Without these two, qemu has no firmware; Debian only recommends them.
    missing += ["seabios", "ipxe-qemu"] if "qemu-system-x86" in missing else []
    if not missing:
        return
    say(f"installing with apt: {' '.join(missing)}")
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*as_root, "apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
    command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing]
    subprocess.run([*as_root, *command], check=True, stdout=subprocess.DEVNULL)


def requirements() -> str:
    """What the guest's Python gets as wheels, one a line."""
    setup = configparser.ConfigParser()
    setup.read(TREE / "setup.cfg")
    needed = setup["options"]["install_requires"] + setup["options.extras_require"]["authority"]
    lines = [line for line in needed.split("\n") if line and not line.startswith(NOT_AS_WHEELS)]
    return "".join(f"{line}\n" for line in (*lines, *TOOLS))


def image(suite: str) -> Path:
    """The folder with the kernel and the disk, built where no such one is kept."""
    recipe = hashlib.sha256(suite.encode() + requirements().encode())
    for part in sorted(GUEST.iterdir()):
        recipe.update(part.name.encode() + part.read_bytes())
    cache = Path(os.environ.get("BLUEZONED_VM_CACHE", Path.home() / ".cache" / "bluezoned" / "vm"))
    place = cache / f"{suite}-{recipe.hexdigest()[:16]}"
    if (place / "disk").exists():
        say(f"the {suite} disk is kept in {place}")
        return place
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    say(f"building a {suite} disk in {place}; one to four minutes")
    (place / "requirements.txt").write_text(requirements())
    begun = time.monotonic()
    as_root = [] if os.geteuid() == 0 else ["sudo", "--preserve-env=PIP_INDEX_URL,PIP_CONFIG_FILE"]
    done = subprocess.run([*as_root, "bash", str(GUEST / "build.sh"), suite, str(place)], check=False)
    if done.returncode:
        raise HarnessError(f"the {suite} disk could not be built: see above")
    say(f"built in {time.monotonic() - begun:.0f} s")
    return place


def boot(place: Path, memory: int, patience: float) -> None:
    """Start the machine. One whose kernel falls over while it patches its own code is started again: emulated on two
    processors at once, about one in thirty does, before anything of ours runs."""
    for is_last in (False, False, True):
        try:
            return _boot(place, memory, BOOT_S * patience)
        except HarnessError:
            if is_last or "Kernel panic" not in (WORK / "serial.log").read_text(errors="replace"):
                raise
            say("the emulated kernel fell over in its first seconds: once more")


def _boot(place: Path, memory: int, seconds: float) -> None:
    """Every start finds the same disk. KVM is not asked for: what the tests find must not depend on the machine they
    run on."""
    down()
    shutil.rmtree(SHARE, ignore_errors=True)
    (SHARE / "q").mkdir(parents=True)
    (SHARE / "results").mkdir()
    kernel = "root=/dev/vda rootfstype=ext4 rw console=ttyS0 quiet mitigations=off nokaslr audit=0 tsc=reliable panic=1"
    command = [
        "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max",
        "-smp", "2", "-m", str(memory), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", str(place / "vmlinuz"), "-initrd", str(place / "initrd.img"), "-append", kernel,
        "-drive", f"file={place / 'disk'},if=virtio,format=raw,snapshot=on,cache=unsafe",
        "-virtfs", f"local,path={SHARE},mount_tag=share,security_model=none,id=share",
        "-device", "virtio-rng-pci", "-serial", f"file:{WORK / 'serial.log'}",
    ]  # fmt: skip
    begun = time.monotonic()
    with (WORK / "qemu.log").open("w") as log:
        machine = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    (WORK / "qemu.pid").write_text(str(machine.pid))
    while not (SHARE / "q" / "ready").exists():
        if machine.poll() is not None:
            raise HarnessError(f"qemu ended: {(WORK / 'qemu.log').read_text()}")
        if time.monotonic() - begun > seconds:
            raise HarnessError(f"not up after {seconds:.0f} s: see {WORK / 'serial.log'}")
        time.sleep(0.2)
    say(f"up after {time.monotonic() - begun:.0f} s")


def down() -> None:
    """End the machine, if there is one."""
    pid = WORK / "qemu.pid"
    if pid.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)
        pid.unlink()


def order(command: str, seconds: float, show: bool = True) -> int:
    """Run a command in the machine, printing what it prints. Its status."""
    if not (WORK / "qemu.pid").exists():
        raise HarnessError("no machine is running: python -m tests.system.host up")
    name = SHARE / "q" / f"order{time.time_ns()}"
    name.with_suffix(".new").write_text(command)
    name.with_suffix(".new").rename(name.with_suffix(".sh"))
    out, shown, begun = name.with_suffix(".out"), 0, time.monotonic()
    while True:
        done = name.with_suffix(".rc").exists()
        if show and out.exists():
            text = out.read_text(errors="replace")
            print(text[shown:], end="", flush=True)
            shown = len(text)
        if done:
            return int(name.with_suffix(".rc").read_text())
        if time.monotonic() - begun > seconds:
            raise HarnessError(f"not done after {seconds:.0f} s: {command}")
        time.sleep(0.2)


def run(arguments: list[str], patience: float) -> int:
    """pytest in the machine; its status. The results come home, unless somebody ends it."""
    carried = SHARE / "tree"
    shutil.rmtree(carried, ignore_errors=True)
    carried.mkdir()
    for name in CARRIED:
        source = TREE / name
        if source.is_dir():
            shutil.copytree(source, carried / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, carried / name)
    shutil.rmtree(SHARE / "deb", ignore_errors=True)
    if PACKAGES_WITH_ALL.is_dir():
        shutil.copytree(PACKAGES_WITH_ALL, SHARE / "deb")
    wanted = arguments if any(not word.startswith("-") for word in arguments) else ["tests/system", *arguments]
    options = "-o addopts= -o timeout=1200 -o junit_family=xunit1 -p no:cacheprovider --junitxml /mnt/results/junit.xml"
    pytest = f"python3 -m pytest -v {options} --patience={patience} {' '.join(map(_quoted, wanted))}"
    # Compiled once, and not by each of the programs under emulation.
    compiled = "python3 -m compileall -q -j 2 /opt/tree/bluezoned"
    order(f"rm -rf /opt/tree; cp -r /mnt/tree /opt/tree; {compiled}", 600 * patience)
    try:
        status = order(f"cd /opt/tree && {pytest}", TESTS_S * patience)
    except HarnessError:
        bring_home(patience)
        raise
    bring_home(patience)
    return status


def bring_home(patience: float) -> None:
    """What was logged. It can take a minute, which somebody who ends the run does not wait for."""
    order(COLLECT, 600 * patience, show=False)
    shutil.rmtree(RESULTS, ignore_errors=True)
    shutil.copytree(SHARE / "results", RESULTS)
    say(f"air log, journal and junit.xml are in {RESULTS}")


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("test", "up", "run", "shell", "down"))
    parser.add_argument("--suite", choices=("trixie", "bookworm"), default="trixie", help="Debian 13 or 12")
    parser.add_argument("--memory", type=int, default=1024, help="MiB")
    parser.add_argument("--repeat", type=int, default=1, help="how often the tests are run, in one machine")
    parser.add_argument("--patience", type=float, default=1.0, help="factor for bounds of time, on a busy machine")
    given, rest = parser.parse_known_args()
    WORK.mkdir(parents=True, exist_ok=True)
    # Ended by SIGTERM too, `test` leaves no machine behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if given.verb in ("test", "up"):
            install_tools()
            place = image(given.suite)
        match given.verb:
            case "test":
                try:
                    boot(place, given.memory, given.patience)
                    return max(run(rest, given.patience) for _ in range(given.repeat))
                finally:
                    down()
            case "up":
                boot(place, given.memory, given.patience)
            case "run":
                return run(rest, given.patience)
            case "shell":
                return order(" ".join(rest), BOOT_S)
            case "down":
                down()
    except HarnessError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
