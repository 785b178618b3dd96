"""D-Bus introspection, compared by what it says."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree


def interfaces(xml: str) -> dict[str, Any]:
    """Each interface as its elements and attributes, whatever their layout and order."""

    def plain(element: ElementTree.Element) -> Any:
        below = [plain(child) for child in element]
        return element.tag, sorted(element.attrib.items()), below if element.tag == "method" else sorted(below)

    return {interface.attrib["name"]: plain(interface) for interface in ElementTree.fromstring(xml)}
