"""``mbrelease normalize``: config and tokenizer that transformers 4.48 to 5.x read alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option
from mbrelease.cli.output import print_json, print_table, talk
from mbrelease.errors import CheckFailed, UserError

if TYPE_CHECKING:
    from mbrelease.checkpoints.normalize_folder import Change

SHOWN = 44


@click.command("normalize")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write a new folder: weights, config and tokenizer.  [default: in place]",
)
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if anything would change.")
@json_option
def command(folder: Path, output: Path | None, check: bool, as_json: bool) -> None:
    """Write config.json and tokenizer files that transformers 4.48, 4.57 and 5.x read alike.

    transformers 5.x alone leaves out what 4.x needs: 4.x then computes something else without a
    word, or refuses the tokenizer. Weights and tokenizer.json stay byte for byte. What changes is
    listed key by key. A trainer's own folder is not written to; give -o.
    """
    from mbrelease.checkpoints.checkpoint import open_checkpoint
    from mbrelease.checkpoints.normalize_folder import (
        is_trainers,
        left_out,
        normalization,
        normalize_in_place,
        write_normalized,
    )

    if check and output is not None:
        raise UserError("--check writes nothing, so -o has no meaning", mend="leave one out")
    plan = normalization(open_checkpoint(folder))
    written = False
    if output is not None:
        written = write_normalized(plan, output)
    elif plan.changes and not check:
        normalize_in_place(plan)
        written = True
    missing = left_out(plan) if output is not None and written else []
    if as_json:
        print_json(
            {
                "path": str(folder),
                "output": str(output or folder),
                "written": written,
                "changes": [_values(change) for change in plan.changes],
                "left_out": missing,
            }
        )
    else:
        if plan.changes and (written or check):
            _print_changes(plan.changes)
        if missing:
            talk(f"not in {output}: {', '.join(missing)}")
        if not (written or (check and plan.changes)):
            click.echo(f"{output or folder}: unchanged")
    if check and plan.changes:
        where = " -o FOLDER" if is_trainers(folder) else ""
        raise CheckFailed(
            f"{folder}: {', '.join(plan.changed_files)} would change",
            mend=f"mbrelease normalize {folder}{where}",
        )


def _values(change: Change) -> dict[str, object]:
    """One change for ``--json``; a key that is not there has no ``before``, or no ``after``."""
    import json

    sides = {"before": change.before, "after": change.after}
    said = {side: json.loads(text) for side, text in sides.items() if text is not None}
    return {"file": change.file, "key": change.key, **said}


def _print_changes(changes: tuple[Change, ...]) -> None:
    rows = [
        (change.file, change.key, _shown(change.before), _shown(change.after)) for change in changes
    ]
    print_table(("file", "key", "before", "after"), rows)


def _shown(text: str | None) -> str:
    if text is None:
        return "–"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
