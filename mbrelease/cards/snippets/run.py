"""Run the Python blocks of a card against its release, offline, each in a fresh process."""

from __future__ import annotations

import importlib.util
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mbrelease.cards.escape import printable
from mbrelease.cards.snippets.blocks import Block, read_blocks
from mbrelease.cards.snippets.needs import Needs, needs_of
from mbrelease.cards.snippets.printed import shown_output
from mbrelease.cards.snippets.process import Ended, run_process
from mbrelease.cards.snippets.records import (
    Outcome,
    Outcomes,
    code_sha256,
    read_outcomes,
    release_identity,
    software,
    write_outcome,
)
from mbrelease.cards.snippets.stage import Stage, build_stage
from mbrelease.errors import CheckFailed, MissingExtra
from mbrelease.evaluation.backend import TRACES_OF_A_DRIVER
from mbrelease.files import read_json, write_json
from mbrelease.progress import SILENT, Progress

SECONDS = 600
"""The longest that one block may run. 8,192 tokens through ModernBERT-base take two cores 90."""
MAX_OUTPUT_BYTES = 20_000
"""The most that one block may print: its output stands on the card."""

_SHOWN = 200
_RUNNER = Path(__file__).with_name("runner.py")
_OF_THE_NETWORK = ("NetworkRefused", "offline", "LocalEntryNotFoundError", "couldn't connect")


def run_card_blocks(
    card_text: str,
    release: Path,
    repo_id: str | None,
    *,
    evidence: Path,
    again: bool = False,
    shown: str | None = None,
    seconds: float = SECONDS,
    progress: Progress = SILENT,
) -> Outcomes:
    """Run each Python block of a card, the author's too, unless its outcome is known.

    Args:
        card_text: The whole README.md.
        release: The folder that will be published.
        repo_id: Under which name the blocks load it; ``None`` where they load ``"."``.
        evidence: The folder of the evidence, where outcomes are kept.
        again: Also run what is known.
        shown: The text that the author sees, for the lines in messages; the card's where not given.
        seconds: The longest that one block may run.
        progress: Told of each block.

    Returns:
        What is known of this model's blocks now. Those that need what is not here, a GPU, are
        among them as not run.

    Raises:
        CheckFailed: a block fails, runs too long, prints too much or changes the release.
        MissingExtra: a block needs a package of [eval] that is not installed.
        UserError: the release or the records cannot be read.
    """
    blocks = [block for block in read_blocks(card_text) if block.is_python]
    if shown is not None:
        there = {block.code: block.line for block in reversed(read_blocks(shown))}
        blocks = [replace(one, line=there.get(one.code, one.line)) for one in blocks]
    identity = release_identity(release)
    known = read_outcomes(evidence, identity)
    waiting = [block for block in _each_once(blocks) if again or not _was_run(known, block)]
    needs = {block.code: needs_of(block.code) for block in waiting}
    if not _has_driver():
        # That it needs a GPU was found out before, and there is none still.
        waiting = [one for one in waiting if not needs[one.code].gpu or not known.of(one.code)]
    _check_packages(waiting, needs)
    if waiting:
        progress.start("running the code of the card", len(waiting), "blocks")
    cast = _Cast(release, repo_id, seconds, progress)
    for block in waiting:
        outcome = cast.outcome(block, needs[block.code])
        if outcome.not_run is None or not _was_run(known, block):
            write_outcome(evidence, identity, outcome)
        progress.advance()
    return read_outcomes(evidence, identity)


def _each_once(blocks: Sequence[Block]) -> list[Block]:
    return list({block.code: block for block in reversed(blocks)}.values())[::-1]


def _has_driver() -> bool:
    return any(path.exists() for path in TRACES_OF_A_DRIVER)


def _was_run(known: Outcomes, block: Block) -> bool:
    outcome = known.of(block.code)
    return outcome is not None and outcome.not_run is None


def _check_packages(blocks: Sequence[Block], needs: dict[str, Needs]) -> None:
    """Before anything runs, for running can take minutes."""
    for block in blocks:
        for package in sorted(needs[block.code].packages):
            if importlib.util.find_spec(package) is None:
                name = package.replace("_", "-")
                raise MissingExtra("eval", f"running the code of the card, which imports {name},")


@dataclass(frozen=True)
class _Cast:
    """What all blocks of a card run with."""

    release: Path
    repo_id: str | None
    seconds: float
    progress: Progress

    def outcome(self, block: Block, needs: Needs) -> Outcome:
        """Run ``block``, if what it needs is here."""
        if needs.gpu and not _has_driver():
            return self._not_run(block, needs, "no driver of a GPU was found")
        with tempfile.TemporaryDirectory(
            prefix="mbrelease-card-", ignore_cleanup_errors=True
        ) as folder:
            stage = build_stage(Path(folder), self.release, self.repo_id, gpu=needs.gpu)
            ended, report = self._run(block, needs, Path(folder), stage)
        if "lacking" in report:
            return self._not_run(block, needs, report["lacking"])
        if fault := _fault(block, ended, report, self.seconds):
            raise fault
        if changed := stage.changed():
            raise CheckFailed(
                f"README.md line {block.line}: the code changed {changed}",
                mend="let it write elsewhere; then make the release again: mbrelease release",
            )
        device = "cuda" if needs.gpu else "cpu"
        output = shown_output(ended.output)
        return Outcome(code_sha256(block.code), output, None, device, software())

    def _run(
        self, block: Block, needs: Needs, folder: Path, stage: Stage
    ) -> tuple[Ended, dict[str, Any]]:
        request, report = folder / "request.json", folder / "report.json"
        asked = {"gpu": needs.gpu, "flash_attention": needs.flash_attention}
        said = {"code": block.code, "line": block.line, "needs": asked, "report": str(report)}
        write_json(request, said)
        ended = run_process(
            # Neither the packages of one's home nor the modules in the folder are imported.
            [sys.executable, "-P", "-s", "-X", "utf8", str(_RUNNER), str(request)],
            work=stage.work,
            environment=stage.environment,
            seconds=self.seconds,
            output_bytes=MAX_OUTPUT_BYTES,
        )
        return ended, read_json(report) if report.is_file() else {}

    def _not_run(self, block: Block, needs: Needs, reason: str) -> Outcome:
        self.progress.note(
            f"README.md line {block.line}: not run, for it needs {needs.beyond_a_cpu} ({reason})"
        )
        return Outcome(code_sha256(block.code), None, needs.beyond_a_cpu, None, {})


def _fault(
    block: Block, ended: Ended, report: Mapping[str, Any], seconds: float
) -> CheckFailed | None:
    """What is wrong with how a block ended, if anything is."""
    line = report.get("line") or block.line
    if ended.stopped == "time":
        said, mend = f"the code ran longer than {seconds:g} seconds", "give it less to do"
    elif ended.stopped == "output":
        said = f"the code prints more than {MAX_OUTPUT_BYTES:,} bytes"
        mend = "let it print less: its output stands on the card"
    elif "error" in report:
        said, mend = report["error"], _mend(block, report["error"])
    elif ended.code == -signal.SIGKILL:
        said, mend = "the code was killed", "perhaps the machine ran out of memory"
    elif ended.code:
        said, mend = f"the code ended with {_code(ended)}", _mend(block, "")
    else:
        return None
    return CheckFailed(f"README.md line {line}: {said}", mend=mend)


def _code(ended: Ended) -> str:
    last = [line.strip()[:_SHOWN] for line in printable(ended.errors).split("\n") if line.strip()][
        -1:
    ]
    how = f"exit code {ended.code}" if ended.code > 0 else f"signal {-ended.code}"
    return ": ".join([how, *last])


def _mend(block: Block, error: str) -> str:
    if error.startswith("SyntaxError") and block.code.lstrip().startswith(">>>"):
        return "write the code without the prompts '>>>'"
    if any(word in error for word in _OF_THE_NETWORK):
        return "it is run without a network, and finds no model but this one"
    if block.region is None:
        return "mend the code; what is not to be run is no ```python but ```text"
    return f"mend the code in the template sections/{block.region}.md.j2"
