"""Where the wishes go on this machine, and what is left on the boot partition. Files alone; starts nothing."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

from bluezoned.first_boot import boot_file, network
from bluezoned.first_boot.boot_file import Wishes
from bluezoned.first_boot.problem import FILE, Kind, Problem, report

DONE = "bluezoned-imported.toml"
PROBLEMS = "bluezoned-problems.txt"
MISNAMED = ("bluezoned.toml.txt", "bluezoned.txt", "bluezoned.toml.toml", "bluezoned.tml")
"""As Windows' editors leave it. FAT knows no case, so that the rest cannot happen."""


def found(boot: Path) -> Path | None:
    """The boot file, under its right name or a wrong one."""
    return next((boot / name for name in (FILE, *MISNAMED) if (boot / name).is_file()), None)


class Machine:
    """The files of the machine below `root`, which is / but in tests."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def take(self, wishes: Wishes) -> list[str]:
        """Write what was asked for; the sections that were taken. What fails is a problem, and the rest goes on."""
        taken = []
        for section, act in self._acts(wishes).items():
            try:
                act()
            except OSError as error:
                wishes.problems.append(Problem(Kind.NOT_WRITTEN, what=section, said=f"{section}: {error.strerror}"))
            else:
                taken.append(section)
        return taken

    def _acts(self, wishes: Wishes) -> dict[str, Callable[[], None]]:
        acts: dict[str, Callable[[], None]] = {}
        if wishes.name is not None:
            acts["name"] = lambda: self._name(str(wishes.name))
        if (wifi := wishes.wifi) is not None:
            acts["wifi"] = lambda: self._wifi(wifi)
        if wishes.ssh_key is not None:
            acts["ssh"] = lambda: self._ssh(str(wishes.ssh_key))
        if wishes.update_key is not None:
            acts["update"] = lambda: self._write("etc/bluezoned/update.pem", str(wishes.update_key), 0o644)
        if wishes.settings:
            text = boot_file.drop_in(wishes.settings)
            names = ", ".join(wishes.settings)
            acts[names] = lambda: self._write("etc/bluezoned/bluezoned.toml.d/50-boot.toml", text, 0o644)
        return acts

    def _name(self, name: str) -> None:
        self._write("etc/hostname", f"{name}\n", 0o644)
        self._write("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n", 0o644)

    def _wifi(self, wifi: boot_file.Wifi) -> None:
        if (self._root / "etc/NetworkManager").is_dir():
            place = "etc/NetworkManager/system-connections/bluezoned.nmconnection"
            self._write(place, network.network_manager(wifi), 0o600)
        else:
            self._write("etc/wpa_supplicant/wpa_supplicant-wlan0.conf", network.wpa_supplicant(wifi), 0o600)
        # For the kernel, which obeys until the radio is told otherwise.
        self._write("etc/modprobe.d/bluezoned-wifi.conf", f"options cfg80211 ieee80211_regdom={wifi.country}\n", 0o644)

    def _ssh(self, key: str) -> None:
        """For the machine's first person, as Raspberry Pi OS and our image have one; else for root."""
        home, owner, group = self._first_person()
        folder = home / ".ssh"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / "authorized_keys"
        kept = file.read_text() if file.exists() else ""
        if key not in kept.splitlines():
            self._write(str(file.relative_to(self._root)), f"{kept}{key}\n", 0o600)
        for path in (folder, file):
            os.chown(path, owner, group)

    def _first_person(self) -> tuple[Path, int, int]:
        for line in (self._root / "etc/passwd").read_text().splitlines():
            _, _, user, group, _, home, _ = line.split(":")
            if user == "1000":
                return self._root / home.lstrip("/"), int(user), int(group)
        return self._root / "root", 0, 0

    def _write(self, place: str, text: str, mode: int) -> None:
        """Whole or not at all, and never readable by more than `mode` says."""
        path = self._root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        new.rename(path)


def run(boot: Path, root: Path) -> Wishes | None:
    """Take over the boot file, if there is one; tell what is wrong beside it. OSError when the partition cannot be
    read at all."""
    path = found(boot)
    if path is None:
        return None
    content = path.read_bytes()
    wishes = boot_file.read(content)
    if path.name != FILE:
        wishes.problems.insert(0, Problem(Kind.NAME_OF_FILE, said=path.name))
    taken = Machine(root).take(wishes)
    try:
        _leave(boot, path, content, wishes, taken)
    except OSError as error:
        wishes.problems.append(Problem(Kind.NOT_WRITTEN, said=f"{path.name}: {error.strerror}"))
    return wishes


def _leave(boot: Path, path: Path, content: bytes, wishes: Wishes, taken: list[str]) -> None:
    """The file without the secrets that were taken over, out of the way when all was, and a report when not."""
    text = boot_file.decoded(content)
    if text is not None and taken:
        clean = boot_file.without_secrets(text, tomllib.loads(text), set(taken))
        if clean != text:
            _overwrite(path, clean.encode())
    report_file = boot / PROBLEMS
    if wishes.problems:
        # With a mark, by which Notepad knows UTF-8.
        _overwrite(report_file, report(wishes.problems, taken).encode("utf-8-sig"))
    else:
        report_file.unlink(missing_ok=True)
        path.replace(boot / DONE)


def _overwrite(path: Path, content: bytes) -> None:
    """In place, the old bytes first: a rename would leave them lying in freed clusters. What the card's own controller
    keeps is beyond reach."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        size = os.fstat(descriptor).st_size
        file.write(b"\0" * size)
        file.flush()
        os.fsync(descriptor)
        file.seek(0)
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(descriptor)
