"""What a card is made of, as CycloneDX: Debian's packages and the wheels that ours carries. sbom.py ROOT"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path


def packages(root: Path) -> Iterator[dict[str, str]]:
    """Those that dpkg has installed."""
    for stanza in (root / "var/lib/dpkg/status").read_text().strip().split("\n\n"):
        fields = HeaderParser().parsestr(stanza)
        if fields["Status"] == "install ok installed":
            name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
            purl = f"pkg:deb/debian/{name}@{version}?arch={architecture}&distro=debian-13"
            yield {"type": "library", "name": name, "version": version, "purl": purl}


def wheels(root: Path) -> Iterator[dict[str, str]]:
    """Those below /usr/lib/bluezoned."""
    for metadata in sorted((root / "usr/lib/bluezoned/python").glob("*.dist-info/METADATA")):
        fields = HeaderParser().parsestr(metadata.read_text())
        name, version = fields["Name"].lower(), fields["Version"]
        yield {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}


def main(root: Path) -> None:
    at = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "metadata": {"timestamp": at.isoformat(), "component": {"type": "operating-system", "name": "bluezoned card"}},
        "components": [*packages(root), *wheels(root)],
    }
    json.dump(bill, sys.stdout, indent=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
