"""A card held to the rules of the Hub and of good manners, without asking anybody.

What the metadata may say, which licences go together, what a command in the text does to who
pastes it, and whether every picture and file that the card refers to is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mbrelease.cards.lint_licenses import license_findings
from mbrelease.cards.lint_links import link_findings
from mbrelease.cards.snippets.shell import check_shell
from mbrelease.metadata.check import check_metadata, top_of
from mbrelease.metadata.eval_results import FOLDER, check_eval_results
from mbrelease.metadata.finding import Finding, shown
from mbrelease.metadata.front_matter import read_front_matter
from mbrelease.metadata.spot import Spot
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Registry
from mbrelease.secrets import without_secrets


def lint_card(
    text: str,
    *,
    project: Project | None = None,
    variant: str | None = None,
    folder: Path | None = None,
) -> list[Finding]:
    """What is to mend on a card, by file and line; empty if nothing is.

    Args:
        text: the whole README.md.
        project: the registry that knows the model's family, for what licences demand.
        variant: which of it the card is of.
        folder: where the card lies with its pictures; left out, no file is looked for.
    """
    entry = project.variant(variant) if project is not None and variant is not None else None
    findings = check_metadata(text, repo_id=entry.repo if entry is not None else None)
    top = top_of(read_front_matter(text))
    if top is not None and project is not None:
        name = project.resolve_name(variant) if variant is not None else None
        findings += license_findings(top, project.registry, name)
        if name is not None:
            findings += _versions(top, project.registry, name)
    if top is not None and folder is not None:
        findings += _license_file(top, folder)
    findings += _shell(text)
    findings += link_findings(text, folder)
    if folder is not None:
        findings += _eval_results(folder)
    # A finding quotes the card, and goes into logs.
    unique = dict.fromkeys(
        replace(one, what=without_secrets(one.what), mend=one.mend and without_secrets(one.mend))
        for one in findings
    )
    return sorted(unique, key=lambda each: (each.file != "README.md", each.file, each.line))


def _versions(top: Spot, registry: Registry, variant: str) -> Iterator[Finding]:
    """``new_version`` points forward: it never names what this variant came after."""
    newer = top.get("new_version")
    older = registry.variants[variant].supersedes
    while newer is not None and older is not None:
        entry = registry.variants[older]
        if entry.repo is not None and entry.repo.casefold() == str(newer.value).casefold():
            what = f"new_version {shown(newer.value)} is the older model"
            yield newer.error(what, f"remove it here; on the card of {entry.repo} name this one")
        older = entry.supersedes


def _license_file(top: Spot, folder: Path) -> Iterator[Finding]:
    link = top.get("license_link")
    if link is None or not isinstance(link.value, str) or "://" in link.value:
        return
    if not (folder / link.value).is_file():
        yield link.error(
            f"license_link {shown(link.value)} is no file beside the card",
            f"put the text of the licence into {link.value}, or give its address",
        )


def _shell(text: str) -> Iterator[Finding]:
    for fault in check_shell(text):
        yield Finding(
            fault.line,
            "",
            fault.message,
            fault.mend,
            level="warning" if fault.is_warning else "error",
        )


def _eval_results(folder: Path) -> Iterator[Finding]:
    for path in sorted((folder / FOLDER).glob("*")):
        file = f"{FOLDER}/{path.name}"
        if path.suffix != ".yaml":
            yield Finding(
                1, "", "the Hub reads only *.yaml here", "rename it", "warning", file=file
            )
            continue
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            yield Finding(1, "", f"cannot be read as UTF-8: {error}", file=file)
            continue
        yield from check_eval_results(text, file)
