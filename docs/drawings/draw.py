"""Draws docs/drawings/*.svg from the code's own tables: python docs/drawings/draw.py

A test fails when the drawings and the code differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bluezoned.alert.indicator import Indication
from bluezoned.alert.pattern import ENGLISH, GRAMMAR, VIETNAMESE, Colour, describe
from bluezoned.alert.vietnamese import SENTENCES
from bluezoned.alert.wiring import PHYSICAL, PRESETS, Channel, Wiring

HERE = Path(__file__).parent

INK = {
    Colour.GREEN: "#1a7f37", Colour.AMBER: "#d98200", Colour.RED: "#cf222e", Colour.BLUE: "#0969da",
    Channel.GREEN: "#1a7f37", Channel.AMBER: "#d98200", Channel.RED: "#cf222e", Channel.BLUE: "#0969da",
}  # fmt: skip
GROUND = "#24292f"
OTHERS = {
    1: "3.3 V", 2: "5 V", 4: "5 V", 17: "3.3 V",
    **dict.fromkeys((6, 9, 14, 20, 25, 30, 34, 39), "GND"),
}  # fmt: skip
BCM = {place: pin for pin, place in PHYSICAL.items()}

OHMS: dict[str, dict[Channel, int]] = {"wearable": {Channel.GREEN: 100, Channel.BLUE: 100}, "kiosk": {}}
"""Where it is not 330."""


def page(width: int, height: int, title: str, parts: Iterator[str]) -> str:
    style = "font-family='DejaVu Sans, Arial, sans-serif' font-size='13' fill='#24292f'"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img' {style}>\n"
        f"<title>{title}</title>\n<rect width='{width}' height='{height}' fill='#fff'/>\n"
        + "".join(f"{part}\n" for part in parts)
        + "</svg>\n"
    )


def text(x: float, y: float, words: str, more: str = "") -> str:
    return f"<text x='{x:g}' y='{y:g}' {more}>{words}</text>"


def line(colour: str, *points: tuple[float, float]) -> str:
    joined = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f"<polyline points='{joined}' fill='none' stroke='{colour}' stroke-width='2.5'/>"


def place(number: int) -> tuple[float, float]:
    """Centre of a pin of the header."""
    return 400 + 40 * ((number + 1) % 2), 70 + 24 * ((number - 1) // 2)


def header() -> Iterator[str]:
    yield "<rect x='380' y='52' width='80' height='496' rx='6' fill='#dde3ea'/>"
    yield text(420, 40, "pin 1 is at the corner of the board", "text-anchor='middle' font-size='12'")
    for number in range(1, 41):
        x, y = place(number)
        pin = BCM.get(number)
        name = OTHERS.get(number) or f"GPIO{pin}"
        yield f"<circle cx='{x:g}' cy='{y:g}' r='9' fill='#fff' stroke='#57606a'/>"
        yield text(x, y + 4, str(number), "text-anchor='middle' font-size='10'")
        left = number % 2 == 1
        yield text(
            x - 26 if left else x + 26, y + 4, name, f"text-anchor='{'end' if left else 'start'}' font-size='10'"
        )


def resistor(x: float, y: float, ohms: int) -> str:
    return f"<rect x='{x - 26:g}' y='{y - 9:g}' width='52' height='18' rx='4' fill='#f1e3c6' stroke='#57606a'/>" + text(
        x, y + 4, f"{ohms} Ω", "text-anchor='middle' font-size='11'"
    )


def lights(wiring: Wiring, ohms: dict[Channel, int]) -> Iterator[str]:
    """On the left: pin, resistor, light, ground at pin 9."""
    ground_x = 60
    for number, (channel, pin) in enumerate(wiring.lights.items()):
        x, y = place(PHYSICAL[pin])
        row = 200 + 70 * number
        yield line(INK[channel], (x - 68, y), (330 - 14 * number, y), (330 - 14 * number, row), (250, row))
        yield resistor(224, row, ohms.get(channel, 330))
        yield line(INK[channel], (198, row), (150, row))
        yield f"<circle cx='130' cy='{row}' r='18' fill='{INK[channel]}' fill-opacity='.85' stroke='#24292f'/>"
        yield text(130, row + 34, channel.value, "text-anchor='middle' font-size='12'")
        yield line(GROUND, (112, row), (ground_x, row))
    last = 200 + 70 * (len(wiring.lights) - 1)
    x, y = place(9)
    yield line(GROUND, (ground_x, last), (ground_x, y), (x - 52, y))
    if wiring.lights_are_one:
        outline = "fill='none' stroke='#57606a' stroke-dasharray='5 4'"
        yield f"<rect x='104' y='172' width='52' height='{last - 144}' rx='26' {outline}/>"
        yield text(130, last + 62, "one RGB light, common cathode", "text-anchor='middle' font-size='12'")


def others(wiring: Wiring) -> Iterator[str]:
    """On the right: buzzer to ground at pin 14, buttons to ground at pin 20."""
    assert wiring.buzzer is not None
    x, y = place(PHYSICAL[wiring.buzzer])
    yield line("#8250df", (x + 72, y), (560, y), (560, 150), (620, 150))
    kind = "passive piezo" if wiring.buzzer_is_passive else "active piezo, 10 mA at most"
    if wiring.buzzer_is_passive:
        yield resistor(646, 150, 100)
        yield line("#8250df", (672, 150), (700, 150))
    else:
        yield line("#8250df", (620, 150), (700, 150))
    yield "<circle cx='726' cy='150' r='26' fill='#e8ddf9' stroke='#24292f'/>"
    yield text(726, 155, "+", "text-anchor='middle'")
    yield text(780, 112, kind, "text-anchor='end' font-size='12'")
    yield line(GROUND, (726, 176), (726, 218), (580, 218), (580, place(14)[1]), (place(14)[0] + 58, place(14)[1]))
    for number, pin in enumerate(wiring.buttons):
        x, y = place(PHYSICAL[pin])
        row = 290 + 80 * number
        yield line("#0969da", (x + 72, y), (545 - 15 * number, y), (545 - 15 * number, row), (640, row))
        yield f"<rect x='640' y='{row - 20}' width='60' height='40' rx='8' fill='#ddf4ff' stroke='#24292f'/>"
        yield text(670, row + 5, f"{number + 1}", "text-anchor='middle'")
        said = ("yes, I know", "with 1: pause")[number]
        yield text(670, row + 36, said, "text-anchor='middle' font-size='12'")
        yield line(GROUND, (700, row), (760, row))
    last = 290 + 80 * (len(wiring.buttons) - 1)
    x, y = place(20)
    yield line(GROUND, (760, 290), (760, last + 60), (518, last + 60), (518, y), (x + 58, y))


def wiring_page(name: str) -> str:
    wiring = PRESETS[name]

    def parts() -> Iterator[str]:
        yield text(20, 28, f"alert.preset = &quot;{name}&quot;", "font-size='17' font-weight='bold'")
        yield from header()
        yield from lights(wiring, OHMS[name])
        yield from others(wiring)

    return page(800, 570, f"Wiring of the preset {name}: pins by their number on the header and as GPIO", parts())


def signals_page() -> str:
    """The card: a row for each state, with its light over eight seconds."""
    seconds, begin, wide, row = 8, 480, 320, 62

    def parts() -> Iterator[str]:
        yield text(20, 34, "bluezoned: what the light says · Đèn báo gì", "font-size='20' font-weight='bold'")
        rule = "green well · red counts the F · amber: one long, then count · dark or steady: not running"
        yield text(20, 58, rule, "font-size='12'")
        luật = "xanh lá: ổn · đỏ: đếm số F · vàng: một dài rồi đếm · tối hoặc sáng mãi: không chạy"
        yield text(20, 76, luật, "font-size='12'")
        for number, indication in enumerate(Indication):
            top = 96 + row * number
            pattern = GRAMMAR[indication]
            yield f"<line x1='20' x2='{begin + wide}' y1='{top}' y2='{top}' stroke='#d0d7de'/>"
            english = indication.sentence.partition(": ")[0]
            vietnamese = SENTENCES[indication].partition(": ")[0]
            yield text(20, top + 18, english.rstrip("."), "font-weight='bold'")
            yield text(20, top + 35, vietnamese.rstrip("."), "")
            yield text(
                20, top + 52, f"{describe(pattern, ENGLISH)} · {describe(pattern, VIETNAMESE)}", "font-size='10.5'"
            )
            yield f"<rect x='{begin}' y='{top + 14}' width='{wide}' height='30' fill='#24292f' rx='3'/>"
            at = 0
            while at < seconds * 1000:
                for step in pattern.steps:
                    if step.colour is not Colour.DARK and at < seconds * 1000:
                        x, width = begin + wide * at / (seconds * 1000), wide * step.duration / (seconds * 1000)
                        fill = {"#1a7f37": "#3fd16b", "#d98200": "#ffb02e", "#cf222e": "#ff5c5c"}[INK[step.colour]]
                        yield f"<rect x='{x:g}' y='{top + 14}' width='{max(width, 3):g}' height='30' fill='{fill}'/>"
                    at += step.duration

    return page(820, 110 + row * len(Indication), "What the light says, in English and Vietnamese", parts())


DRAWINGS = {
    "wearable.svg": lambda: wiring_page("wearable"),
    "kiosk.svg": lambda: wiring_page("kiosk"),
    "signals.svg": signals_page,
}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (HERE / name).write_text(draw())
