"""OpenSSL's own time for the keys of a protocol, by a C program that is built on the spot.

Also how processor features are taken away from it, as from the Python under measurement: no Raspberry Pi before the 5
has AES or SHA instructions, and a desktop's would flatter everybody.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("limit.c")

MASKS = {
    # AES-NI, carry-less multiplication, SHA-NI; the SIMD that stands for NEON stays (OPENSSL_ia32cap(3)).
    "x86_64": {"OPENSSL_ia32cap": "~0x200000200000000:~0x20000000"},
    # NEON alone (OPENSSL_armcap is no documented interface, but what crypto/armcap.c reads).
    "aarch64": {"OPENSSL_armcap": "0x1"},
}
"""Environment that takes the instructions away, by machine."""

MASK = MASKS.get(platform.machine(), {})


def environment(masked: bool) -> dict[str, str]:
    """For a child process."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OPENSSL_")}
    return own | MASK if masked else own


def build(directory: Path) -> Path:
    """The program. Ends with what to install when it cannot be built."""
    program = directory / "limit"
    command = [os.environ.get("CC", "cc"), "-O2", "-o", str(program), str(SOURCE), "-lcrypto"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"the limit cannot be built ({error}): ./need.sh gcc libc6-dev libssl-dev")
    return program


def microseconds(program: Path, protocol: str, keys: int, masked: bool) -> float:
    """Processor time a key."""
    command = [str(program), protocol, str(keys)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment(masked))
    return float(done.stdout)
