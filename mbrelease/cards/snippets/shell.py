"""Faults of the shell commands of a card, which readers paste into their terminals."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from mbrelease.cards.snippets.blocks import Block, Page, read_page

SHELL = frozenset({"sh", "bash", "shell", "zsh", "console", "shell-session"})
TRANSCRIPTS = frozenset({"console", "shell-session"})
"""Blocks in which commands have a prompt, and the other lines are output."""

_PROMPT = re.compile(r"^\s*[$%] ?")
_INSTALL = re.compile(r"\b(?:pip3?|pipx|conda|mamba)\s+install\b|\buv\s+(?:pip\s+install|add)\b")
_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.")
# A requirement without quotes: "name>=1", "name[extra] < 2".
_BARE_BOUND = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*(?:\[[\w,\s-]*\])?)\s*(?P<sign>[<>]=?)\s*\d[\w.*]*"
)
_BARE_EXTRA = re.compile(r"[A-Za-z0-9][\w.-]*\[[\w,-]+\]")
_GIT = re.compile(r"git\+\S+")
_PIPED = re.compile(r"\b(?:curl|wget)\b[^|;&\n]*\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b")
_SUDO = re.compile(r"(?:^|[|;&(]|\$\()\s*sudo\b")
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_SECONDS = 10


@dataclass(frozen=True)
class ShellFault:
    """Something that a command of the card would do to its reader."""

    line: int
    """From 1."""
    message: str
    mend: str
    is_warning: bool = False
    """Whether it is only unwise."""


@dataclass(frozen=True)
class _Command:
    line: int
    text: str
    """With the lines that a backslash joins."""


def check_shell(markdown: str) -> list[ShellFault]:
    """What is wrong with the shell blocks of a card, and with commands to install in its text.

    Bash, where it is there, reads each block without running it.
    """
    page = read_page(markdown)
    faults = [fault for block in page.blocks if _is_shell(block) for fault in _of_block(block)]
    faults += [fault for command in _inline(page) for fault in _of_command(command)]
    return sorted(faults, key=lambda fault: fault.line)


def _is_shell(block: Block) -> bool:
    if block.language in SHELL:
        return True
    lines = [_PROMPT.sub("", line) for line in block.code.splitlines()]
    return not block.language and any(_INSTALL.match(line) for line in lines)


def _of_block(block: Block) -> Iterator[ShellFault]:
    lines = list(enumerate(block.code.splitlines(), block.line))
    prompted = any(_PROMPT.match(line) for _, line in lines)
    if block.language in TRANSCRIPTS or prompted:
        lines = [(n, _PROMPT.sub("", line)) for n, line in lines if _PROMPT.match(line)]
    commands = list(_commands(lines))
    faults = [fault for command in commands for fault in _of_command(command)]
    yield from faults
    if not any(fault for fault in faults if not fault.is_warning):
        yield from _syntax("\n".join(line for _, line in lines), [n for n, _ in lines])


def _commands(lines: list[tuple[int, str]]) -> Iterator[_Command]:
    start, text = 0, ""
    for number, line in lines:
        start, text = (start, text + line) if text else (number, line)
        if text.endswith("\\"):
            text = text[:-1] + " "
            continue
        yield _Command(start, text)
        text = ""
    if text:
        yield _Command(start, text)


def _inline(page: Page) -> Iterator[_Command]:
    for number, line in page.prose:
        for span in _SPAN.finditer(line):
            if _INSTALL.search(span[2]):
                yield _Command(number, span[2].strip())


def _of_command(command: _Command) -> Iterator[ShellFault]:
    text = _QUOTED.sub(lambda match: "'" + "x" * (len(match[0]) - 2) + "'", command.text)
    text = re.sub(r"(?:^|\s)#.*", "", text)
    if _INSTALL.search(text):
        yield from _of_install(command.line, text, command.text)
    if _PIPED.search(text):
        yield ShellFault(
            command.line,
            "runs what it fetches without anybody having seen it",
            "fetch it to a file, say what it does, and give its sha256",
            is_warning=True,
        )
    if _SUDO.search(text):
        yield ShellFault(
            command.line,
            "runs as root, which nothing about a model needs",
            "leave out sudo; pip installs into a virtual environment",
            is_warning=True,
        )


def _of_install(line: int, text: str, original: str) -> Iterator[ShellFault]:
    for bare in _BARE_BOUND.finditer(text):
        requirement = re.sub(r"\s+", "", bare[0])
        does = "writes to" if bare["sign"].startswith(">") else "reads from"
        file = requirement.partition(bare["sign"][0])[2]
        yield ShellFault(
            line,
            f'without quotes {requirement} {does} a file named "{file}", and bounds no version',
            f"write '{requirement}' with its quotes",
        )
    without_bounds = _BARE_BOUND.sub("", text)
    if extra := _BARE_EXTRA.search(without_bounds):
        yield ShellFault(
            line,
            f"zsh takes {extra[0]} without quotes for a pattern of file names",
            f"write '{extra[0]}' with its quotes",
            is_warning=True,
        )
    for git in _GIT.findall(original):
        address = git.strip("'\"")
        if "@" not in address.rpartition("/")[2]:
            yield ShellFault(
                line,
                f"{address} is another program tomorrow",
                "name a tag or a commit behind it: …@v1.0",
                is_warning=True,
            )


def _syntax(script: str, numbers: list[int]) -> Iterator[ShellFault]:
    """What bash says of the script, or else only whether its quotes pair."""
    mend = "paste it into a terminal and see; a placeholder is written NAME, not <name>"
    bash = shutil.which("bash")
    if bash is None:
        try:
            shlex.split(script, comments=True)
        except ValueError as error:
            yield ShellFault(numbers[0], f"the shell cannot read it: {error}", mend)
        return
    done = subprocess.run(  # noqa: S603
        [bash, "-n"], input=script.encode(), capture_output=True, timeout=_SECONDS, check=False
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[:1]
        match = re.match(r".*?line (\d+): (.*)", said[0]) if said else None
        at = min(int(match[1]), len(numbers)) if match else 1
        yield ShellFault(
            numbers[at - 1] if numbers else 1,
            f"bash cannot read it: {match[2] if match else 'a syntax error'}",
            mend,
        )
