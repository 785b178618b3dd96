"""What a process leaves behind that is killed at any of its file operations. For a process of its own: it forks."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bluezoned.feed.spool import Spool


def die_at_each(spools: str, act: Callable[[Spool], Coroutine[Any, Any, object]]) -> None:
    """`act` on the spool `spools`/1, killed at its first file operation, on `spools`/2, killed at its second, and so on
    until one gets through, whose number is printed."""
    for nth in range(1, 100):
        child = os.fork()
        if not child:
            _die_at(nth, spools)
            asyncio.run(act(Spool(Path(spools) / str(nth))))
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            print(nth)
            return


def _die_at(nth: int, spools: str) -> None:
    left = nth

    def note(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("os.rename", "os.remove", "os.listdir") or (event == "open" and spools in str(arguments[0])):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(note)
