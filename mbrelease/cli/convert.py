"""``mbrelease convert``: one checkpoint of any format in, a release-ready folder out."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.options import json_option
from mbrelease.cli.output import print_json, progress, talk
from mbrelease.cli.storage import dtype_option, shard_option, storage
from mbrelease.cli.whole_model import warn_unless_whole
from mbrelease.errors import UserError


@click.command("convert")
@click.argument("source", metavar="SRC")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder to write.",
)
@dtype_option
@shard_option
@json_option
def command(
    source: str, output: Path, dtype: str | None, max_shard_bytes: int | None, as_json: bool
) -> None:
    """Write a checkpoint of any format as a folder that loads everywhere.

    SRC is a Trainer's checkpoint, a folder with safetensors or pytorch_model.bin, a Composer .pt
    file, a torch DCP folder, or a model on the Hub with its revision (org/name@main). Weights
    become safetensors, config and tokenizer such that transformers 4.48 and newer read them alike.
    Nothing is unpickled, and optimizer state is not read.
    """
    from mbrelease.averaging.convert import convert_checkpoint
    from mbrelease.checkpoints.sources import discover_sources

    found = discover_sources([source])
    if len(found) > 1:
        raise UserError(
            f"{source} holds {len(found)} checkpoints", mend=f"give one of them: {found[-1].path}"
        )
    with progress(quiet=as_json) as bar:
        result, written = convert_checkpoint(
            found[0], output, storage=storage(dtype, max_shard_bytes), progress=bar
        )
    if written:
        warn_unless_whole(result)
    if as_json:
        print_json(
            {
                "output": str(output),
                "unchanged": not written,
                "weights_sha256": result.weights_sha256,
                "files": sorted(entry.name for entry in output.iterdir()),
            }
        )
        return
    if written:
        talk(f"converted: {found[0].name} ({len(result.stored)} tensors)")
    click.echo(str(output))
