"""What the display says: a state in two languages, and how fresh it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from html import escape

from bluezoned.alert.indicator import Indication
from bluezoned.alert.pattern import CASES, WELL
from bluezoned.alert.vietnamese import SENTENCES
from bluezoned.control.report import StatusReport


@dataclass(frozen=True, slots=True)
class Words:
    """One state for those who pass by."""

    mark: str
    """A sign to be seen across the room, so that colour tells nothing alone."""
    tone: str
    """`well`, `help`, `case` or `off`: how the page is coloured."""
    english: str
    vietnamese: str


PLACES: Mapping[Indication, tuple[str, str]] = {
    Indication.OWN_CASE: (
        "A confirmed case was in this place: whoever was here is told by their own device.",
        "Đã có ca nhiễm ở nơi này: người từng ở đây được báo qua thiết bị của mình.",
    ),
    Indication.F1: (
        "A confirmed case was near this place: ask the staff what to do.",
        "Ca nhiễm đã ở gần nơi này: hãy hỏi nhân viên cần làm gì.",
    ),
    Indication.F2: (
        "Someone who met a case was near this place: be careful.",
        "Người từng gặp ca nhiễm đã ở gần nơi này: hãy cẩn thận.",
    ),
    Indication.SOMEONE_NEAR: ("All is well. Someone is near.", "Mọi việc đều ổn. Có người ở gần."),
}
"""A box in a room speaks of the room, not of a carrier; the other sentences are the light's own."""

NOT_RUNNING = Words("?", "off", "The box is not running.", "Hộp không chạy.")

_MARKS = {Indication.OWN_CASE: "F0", Indication.F1: "F1", Indication.F2: "F2"}


def words(report: StatusReport | None) -> Words:
    """None: no daemon answers."""
    if report is None or report.indication not in Indication.__members__:
        return NOT_RUNNING
    indication = Indication[report.indication]
    english, vietnamese = PLACES.get(indication, (indication.sentence, SENTENCES[indication]))
    if indication in CASES:
        return Words(_MARKS[indication], "case", english, vietnamese)
    return Words("✓", "well", english, vietnamese) if indication in WELL else Words("!", "help", english, vietnamese)


def freshness(report: StatusReport | None, zone: tzinfo | None) -> tuple[str, str]:
    """Of the list of cases, in `zone` (None: this machine's). What an old one is worth, the state says."""
    if report is None or report.keys_updated_at is None:
        return "No list of cases yet.", "Chưa có danh sách ca nhiễm."
    at = datetime.fromtimestamp(report.keys_updated_at, UTC).astimezone(zone)
    return f"List of cases of {at:%d.%m.%Y %H:%M}", f"Danh sách ca nhiễm lúc {at:%H:%M %d.%m.%Y}"


def parts(report: StatusReport | None, zone: tzinfo | None) -> dict[str, str]:
    """What the page's script puts into the elements of these ids."""
    said = words(report)
    english, vietnamese = freshness(report, zone)
    return {
        "tone": said.tone,
        "mark": said.mark,
        "vi": said.vietnamese,
        "en": said.english,
        "fresh-vi": vietnamese,
        "fresh-en": english,
    }


def html(report: StatusReport | None, zone: tzinfo | None) -> str:
    """The whole page, right without its script too."""
    given = {name: escape(value) for name, value in parts(report, zone).items()}
    return f"""<!DOCTYPE html>
<html lang="vi">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>bluezoned</title>
<link rel="stylesheet" href="page.css">
<script src="page.js" defer></script>
<noscript><meta http-equiv="refresh" content="5"></noscript>
</head>
<body data-tone="{given["tone"]}">
<main>
<p id="mark" aria-hidden="true">{given["mark"]}</p>
<div role="status" aria-live="polite">
<h1 id="vi">{given["vi"]}</h1>
<p id="en" lang="en">{given["en"]}</p>
</div>
</main>
<footer>
<p id="fresh-vi">{given["fresh-vi"]}</p>
<p id="fresh-en" lang="en">{given["fresh-en"]}</p>
</footer>
</body>
</html>
"""
