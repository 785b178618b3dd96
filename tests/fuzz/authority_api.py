"""Schemathesis against the authority's documented interface: made-up requests to every operation of a served authority.

    python -m tests.fuzz.authority_api --examples 500

founds an authority in a temporary directory, serves it, and shows schemathesis's reports; its exit status is 1 when an
answer was a 5xx, had a status, type or shape that the document does not name, took what the document forbids, or let
somebody in without a laboratory's token.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from bluezoned.authority.house import found_house, open_house
from bluezoned.authority.laboratory import SCOPES
from bluezoned.demo.cast import free_port, program

HELD = ("/api/verify", "/api/certificate", "/v1/publish")
"""Answers to these are held for a quarter of a second: each has a process of its own. Not a thread, as schemathesis
would have it: two threads of Python 3.11 that parse Python at once may fail (CPython issue 106905)."""

_LEFT_OUT = "positive_data_acceptance,use_after_free,ensure_resource_availability"
"""Checks that cannot hold: what is well-formed may bear a code or token that nobody issued (that is what refusals are
for), and a case that was taken back is still there."""


def commands(url: str, token: str, examples: int) -> list[list[str]]:
    """To be run at once, and all operations between them. Bounded by `examples` made-up requests to each operation,
    beside those that the document's limits give."""
    whole = [
        program("schemathesis"), "run", f"{url}/schema/openapi.json", "--no-color", "--workers", "1",
        "--phases", "coverage,fuzzing", "--max-examples", str(examples), "--generation-deterministic", "--no-shrink",
        "--continue-on-failure", "--exclude-checks", _LEFT_OUT,
        "--warnings", "off", "--request-timeout", "30", "--header", f"Authorization: Bearer {token}",
    ]  # fmt: skip
    others = [word for path in HELD for word in ("--exclude-path", path)]
    return [*([*whole, "--include-path", path] for path in HELD), [*whole, *others]]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--examples", type=int, default=500)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        data, port = Path(name) / "ward", free_port()
        found_house(data, "test", os.urandom)
        house = open_house(data, os.urandom)
        token = house.laboratories.add("mary", SCOPES, 10**6, time.time_ns() // 10**6)
        house.close()
        url = f"http://127.0.0.1:{port}"
        serving = subprocess.Popen((program("bluezone-authority"), "serve", "--data", data, "--port", str(port)))
        try:
            for _ in range(600):
                with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
                    break
                # A server that starts has nobody yet to tell.
                time.sleep(0.05)
            running = [subprocess.Popen(words, cwd=name) for words in commands(url, token, chosen.examples)]
            return max(each.wait() for each in running)
        finally:
            serving.terminate()
            serving.wait()


if __name__ == "__main__":
    sys.exit(main())
