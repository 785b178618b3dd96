"""Man pages and shell completion, written from the commands themselves, so that they say what the commands do.

    make man

writes docs/man and docs/completion, which are installed as they are: the machine that packs them need not be able to
run the programs. A test finds them out of date. Layer 4.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from bluezoned import __version__
from bluezoned.config import DEFAULT_PATH


@dataclass(frozen=True, slots=True)
class Program:
    """One program with a page."""

    section: int
    place: str
    """`module:command`, imported when it is asked for: the authority's needs more than a box has."""
    files: Mapping[str, str]
    see: tuple[str, ...]


_SETTINGS = {
    str(DEFAULT_PATH): "Settings, see bluezoned.toml(5). Files in bluezoned.toml.d beside it are read after it.",
    "BLUEZONED_SECTION_OPTION": "Environment variable that sets one option, read after the files.",
}
_STATE = {"/var/lib/bluezoned": "Keys and encounters, the daemon's alone."}
_SPOOL = {"/var/spool/bluezoned": "What the daemon and its sync hand to one another."}

PROGRAMS: Mapping[str, Program] = {
    "bluezoned": Program(
        8,
        "bluezoned.daemon:main",
        _SETTINGS | _STATE | _SPOOL,
        ("bluezonectl(1)", "bluezoned-sync(8)", "bluezoned.toml(5)", "bluetoothd(8)", "systemctl(1)"),
    ),
    "bluezoned-sync": Program(
        8, "bluezoned.sync:main", _SETTINGS | _SPOOL, ("bluezoned(8)", "bluezonectl(1)", "bluezoned.toml(5)")
    ),
    "bluezoned-display": Program(
        8, "bluezoned.display.program:main", _SETTINGS, ("bluezoned(8)", "bluezoned.toml(5)", "systemctl(1)")
    ),
    "bluezoned-first-boot": Program(
        8,
        "bluezoned.first_boot.program:main",
        {
            "/boot/firmware/bluezoned.toml": "What is taken over, and then called bluezoned-imported.toml.",
            "/boot/firmware/bluezoned-problems.txt": "What is wrong with it.",
            "/etc/bluezoned/bluezoned.toml.d/50-boot.toml": "Its settings.",
        },
        ("bluezoned(8)", "bluezoned.toml(5)"),
    ),
    "bluezonectl": Program(
        1, "bluezoned.cli.program:main", _SETTINGS, ("bluezoned(8)", "bluezoned.toml(5)", "busctl(1)")
    ),
    "bluezone-authority": Program(
        1,
        "bluezoned.authority.cli.program:main",
        {"/var/lib/bluezone-authority": "The authority's directory, where its unit is installed."},
        ("bluezoned(8)",),
    ),
}

SHELLS = ("bash", "zsh", "fish")


def command_of(program: Program) -> click.Command:
    """The click command itself."""
    module, _, name = program.place.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, click.Command)
    return found


def page(name: str, program: Program) -> str:
    """The program's man page, in roff."""
    command = command_of(program)
    context = click.Context(command, info_name=name, help_option_names=["-h", "--help"])
    first, *paragraphs = _paragraphs(command.help)
    lines = [
        *_head(name, program.section, first.rstrip(".")),
        ".SH SYNOPSIS",
        f".B {_roff(name)}",
        _roff(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        *_flowing([first, *(p for p in paragraphs if not p.startswith("Exit status:"))]),
        ".SH OPTIONS",
        *_options(command, context),
    ]
    if isinstance(command, click.Group):
        lines += [".SH COMMANDS", *_commands(command, context)]
    exits = [p.removeprefix("Exit status: ") for p in paragraphs if p.startswith("Exit status:")]
    if exits:
        lines += [".SH EXIT STATUS", *_exits(exits[0])]
    lines.append(".SH FILES AND ENVIRONMENT")
    for file, meaning in program.files.items():
        lines += [".TP", f".I {_roff(file)}", _roff(meaning)]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{_roff(see[:-3])}\\fR{see[-3:]}" for see in program.see)]
    return "\n".join(lines) + "\n"


def settings_page(template: str) -> str:
    """bluezoned.toml(5), from the commented file that a test holds equal to the options."""
    lines = [
        *_head("bluezoned.toml", 5, "settings of bluezoned"),
        ".SH DESCRIPTION",
        *_flowing(
            [
                f"TOML, read from {DEFAULT_PATH}, then from the files of bluezoned.toml.d beside it in alphabetical "
                "order, then from environment variables BLUEZONED_SECTION_OPTION, then from the command line (--set); "
                "the last one wins. Mistakes are told all at once, with their lines: bluezoned --check-config.",
                "systemctl reload bluezoned takes over what can change while the box runs, and names what waits for a "
                "restart.",
            ]
        ),
    ]
    for section, said, options in _sections(template):
        lines += [f".SH [{_roff(section)}]", _roff(said)]
        for option, value, told in options:
            lines += [".TP", f"\\fB{_roff(option)}\\fR = {_roff(value)}", *(_roff(line) for line in told)]
    see = "\\fBbluezoned\\fR(8), \\fBbluezonectl\\fR(1)"
    return "\n".join([*lines, ".SH SEE ALSO", see]) + "\n"


def completion(name: str, program: Program, shell: str) -> str:
    """The script that teaches `shell` the program's words."""
    kind = get_completion_class(shell)
    assert kind is not None
    return kind(command_of(program), {}, name, f"_{name.upper().replace('-', '_')}_COMPLETE").source()


def files(template: str) -> Iterator[tuple[str, str]]:
    """Each file's place below docs, and its text."""
    for name, program in PROGRAMS.items():
        yield f"man/{name}.{program.section}", page(name, program)
        for shell in SHELLS:
            yield f"completion/{name}.{shell}", completion(name, program, shell)
    yield "man/bluezoned.toml.5", settings_page(template)


def _head(name: str, section: int, what: str) -> list[str]:
    return [
        f'.TH "{name.upper()}" {section} "" "bluezoned {__version__}" "bluezoned"',
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(what[0].lower() + what[1:])}",
    ]


def _commands(group: click.Group, parent: click.Context) -> Iterator[str]:
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent)
        if isinstance(command, click.Group):
            yield from _commands(command, context)
            continue
        words = context.command_path.split(" ", 1)[1]
        usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
        yield from (f".SS {_roff(f'{words} {usage}'.strip())}", *_flowing(_paragraphs(command.help)))
        yield from _options(command, context)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        # Arguments are told of in the text; that every command has --help is said once.
        if record is None or not record[1] or (context.parent is not None and "--help" in parameter.opts):
            continue
        yield from (".TP", f".B {_roff(record[0])}", _roff(record[1]))


def _exits(said: str) -> Iterator[str]:
    """`0 done, 1 failed` as a list."""
    for status, meaning in re.findall(r"(\d+) (.+?)(?=, \d+ |\.?$)", said):
        yield from (".TP", f".B {status}", _roff(meaning))


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text or "").split("\n\n")]


def _flowing(paragraphs: list[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        yield from (".PP", _roff(paragraph))


def _sections(template: str) -> Iterator[tuple[str, str, list[tuple[str, str, list[str]]]]]:
    """Name, comment above it, and options (name, value, comment) of each section of a commented file."""
    comment: list[str] = []
    section: tuple[str, str, list[tuple[str, str, list[str]]]] | None = None
    for line in template.splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            if section is not None:
                yield section
            section, comment = (heading[1], " ".join(comment), []), []
        elif (option := re.fullmatch(r"#(\w+) = (.*)", line)) and section is not None:
            section[2].append((option[1], option[2], comment))
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        else:
            comment = []
    if section is not None:
        yield section


def _roff(text: str) -> str:
    """Plain text as roff takes it; `words` in backticks are bold."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    escaped = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", escaped)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


@click.command()
@click.argument("docs", type=click.Path(path_type=Path, file_okay=False), default=Path("docs"))
@click.argument("settings", type=click.Path(path_type=Path, dir_okay=False), default=Path("config/bluezoned.toml"))
def main(docs: Path, settings: Path) -> None:
    """Write man pages and completions below DOCS; bluezoned.toml(5) is made of the commented SETTINGS."""
    for place, text in files(settings.read_text()):
        (docs / place).parent.mkdir(exist_ok=True)
        (docs / place).write_text(text)


if __name__ == "__main__":
    main()
