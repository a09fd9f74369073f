"""Options for how weights are stored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mbrelease.averaging.write_model import Storage

DTYPES = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "float16": "F16"}
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """A number of bytes as transformers writes it: ``5GB``, ``500MB``, ``1GiB``."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)", value)
    size = int(float(match[1]) * UNITS.get(match[2].upper(), 0)) if match else 0
    if not size:
        raise click.BadParameter(f"{value!r} is no size; write 500MB, 5GB or 2GiB")
    return size


dtype_option = click.option(
    "--dtype",
    type=click.Choice(list(DTYPES)),
    help="How weights are stored.  [default: as they are]",
)
shard_option = click.option(
    "--max-shard-size",
    "max_shard_bytes",
    callback=parse_size,
    metavar="SIZE",
    help="Split the weights into files of at most this (5GB).  [default: one file]",
)


def storage(dtype: str | None, max_shard_bytes: int | None) -> Storage:
    """What the two options say."""
    from mbrelease.averaging.write_model import Storage

    return Storage(None if dtype is None else DTYPES[dtype], max_shard_bytes)
