"""The list by which Raspberry Pi Imager offers the card: manifest.py IMAGE.img IMAGE.img.xz URL

Opened with Imager 2, it shows the image with its boards, and checks what it writes. No customisation is offered: the
card has its own way, bluezoned.toml (doc/os_customisation_formats.md of rpi-imager).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

DEVICES = ("pi3-64bit", "pi4-64bit")
"""Imager's tags. A Zero 2 W has those of a Pi 3."""


def main(image: Path, packed: Path, url: str) -> None:
    with image.open("rb") as content, packed.open("rb") as compressed:
        raw, small = hashlib.file_digest(content, "sha256"), hashlib.file_digest(compressed, "sha256")
    at = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    offered = {
        "name": "bluezoned",
        "description": "A private contact-tracing beacon",
        "icon": "",
        "url": url or packed.resolve().as_uri(),
        "extract_size": image.stat().st_size,
        "extract_sha256": raw.hexdigest(),
        "image_download_size": packed.stat().st_size,
        "image_download_sha256": small.hexdigest(),
        "release_date": at.date().isoformat(),
        "devices": DEVICES,
        "init_format": "none",
    }
    json.dump({"os_list": [offered]}, sys.stdout, indent=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
