"""Fill the templates: the shipped ones, or a project's own, one section at a time.

Everything a template prints is escaped for Markdown unless it is Markdown already, so a
registry's text cannot break a table, open an HTML element or be taken for a template.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from mbrelease.cards import escape, numbers, told
from mbrelease.cards.tables import Table
from mbrelease.cards.trace import NUMBER
from mbrelease.errors import UserError, did_you_mean
from mbrelease.files import read_text

CARD_TEMPLATE = "card.md.j2"
_INCLUDED = re.compile(r"{%-?\s*(?:include|import|extends|from)\s+[\"']([^\"']+)[\"']")
_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_templates() -> Path:
    """The folder of the templates that come with mbrelease."""
    inside_the_wheel = _PACKAGE / "templates"
    return inside_the_wheel if inside_the_wheel.is_dir() else _PACKAGE.parent / "templates"


def template_folders(own_templates: Path | None) -> list[Path]:
    """Where templates are looked for: a project's own folder first, if there is one."""
    shipped = shipped_templates()
    return [own_templates, shipped] if own_templates and own_templates.is_dir() else [shipped]


def check_own_templates(own_templates: Path) -> None:
    """Refuse a template that nothing would ever use, such as one with a misspelt name.

    Raises:
        UserError: there is one; the nearest name is proposed.
    """
    if not own_templates.is_dir():
        return
    known = _names(shipped_templates())
    own = _names(own_templates)
    included = {
        name
        for path in own.values()
        for name in _INCLUDED.findall(path.read_text(encoding="utf-8", errors="replace"))
    }
    for name in own:
        if name not in known and name not in included:
            raise UserError(
                f"{own[name]}: no template includes it, and none that is shipped has this name",
                mend=did_you_mean(name, known) or "delete it, or include it",
            )


def typed_in(folders: list[Path]) -> Callable[[str, str], str | None]:
    """By a region and a number, the template of that region in which the number is typed."""
    templates = {
        name: read_text(path)
        for folder in reversed(folders)
        for name, path in _names(folder).items()
    }
    known: dict[str, dict[str, str]] = {}

    def numbers_of(region: str) -> dict[str, str]:
        section = f"sections/{region}.md.j2"
        if section not in templates:  # a frame of the project's own
            names = sorted(templates)
        else:
            included = _INCLUDED.findall(templates[section])
            names = [CARD_TEMPLATE, *(name for name in included if name in templates), section]
        return {number: name for name in names for number in NUMBER.findall(templates[name])}

    def found(region: str, number: str) -> str | None:
        if region not in known:
            known[region] = numbers_of(region)
        return known[region].get(number)

    return found


def _names(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.j2"))}


def render(context: Any, folders: list[Path]) -> str:
    """The body of a card from ``context``, a frozen dataclass whose fields templates see.

    Args:
        context: what the templates may speak of.
        folders: where templates are looked for, in this order.

    Returns:
        Markdown, with the origins of its numbers still in it (``told.extract``).

    Raises:
        UserError: a template does not compile, uses a name that is not there, or fails.
    """
    environment = _environment(folders)
    names = {field.name: getattr(context, field.name) for field in dataclasses.fields(context)}
    return tidy(_fill(environment, names, folders))


def tidy(text: str) -> str:
    """One blank line between blocks, no blanks at line ends, one final newline.

    Fenced blocks stay as they are.
    """
    lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        opening = re.match(r" {0,3}(`{3,})", line)
        if fence:
            fence = "" if line.strip() == fence else fence
            lines.append(line)
            continue
        if opening:
            fence = opening[1]
        line = line.rstrip(" \t")
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip("\n") + "\n"


def _environment(folders: list[Path]) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader([str(folder) for folder in folders]),
        undefined=jinja2.StrictUndefined,
        finalize=_printed,
        autoescape=False,  # HTML's escapes would be wrong here; finalize writes Markdown's.
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        paragraphs=escape.paragraphs,
        code=escape.code,
        fenced=escape.fenced,
        python=escape.python_string,
        count=numbers.count_text,
        amount=numbers.amount_text,
        words=told.listed,
        join=told.joined,
        anchor=escape.anchor,
        safe=escape.as_markdown,
    )
    return environment


def _printed(value: Any) -> Any:
    if isinstance(value, Table):
        return value.markdown
    if isinstance(value, Markup | jinja2.Undefined):
        return value
    if value is None:
        raise jinja2.UndefinedError("this value is not known here; ask for it with {% if %} first")
    return escape.markdown(value if isinstance(value, str) else str(value))


def _fill(
    environment: ImmutableSandboxedEnvironment, names: Mapping[str, Any], folders: list[Path]
) -> str:
    try:
        return environment.get_template(CARD_TEMPLATE).render(**names)
    except UserError:
        raise
    except jinja2.TemplateSyntaxError as error:
        where = f"{error.filename or error.name}:{error.lineno}"
        raise UserError(f"{where}: {error.message}", mend="mend the template") from error
    except jinja2.TemplateNotFound as error:
        raise UserError(
            f"{_where(error.__traceback__, folders)}: no template '{error.name}'",
            mend=f"the shipped ones are in {folders[-1]}",
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"a template in {folders[0]} is not UTF-8 text") from error
    except Exception as error:
        # A template is a program of its author's: whatever it raises is a fault in it.
        message = str(error) or type(error).__name__
        raise UserError(
            f"{_where(error.__traceback__, folders)}: {message}",
            mend="mend the template; docs/cards.md lists the names it may use",
        ) from error


def _where(traceback: TracebackType | None, folders: list[Path]) -> str:
    """``file:line`` of the innermost template frame (Jinja rewrites the frames to say so)."""
    found = CARD_TEMPLATE
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if any(Path(file).is_relative_to(folder) for folder in folders):
            found = f"{file}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found
