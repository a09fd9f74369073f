"""``mbrelease registry bom``: a variant for supply chain tools."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.options import registry_option
from mbrelease.cli.output import talk


@click.command("bom")
@click.argument("variant")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The file to write.  [default: print it]",
)
@registry_option
def command(variant: str, output: Path | None, registry_path: Path | None) -> None:
    """Write VARIANT and its ancestors as a CycloneDX 1.6 ML-BOM.

    The bill of materials names licences, data, published files with their hashes, what was
    measured and what each was made from. It is checked against the schema of the format, and the
    same files give the same bytes. Needs the extra [bom].
    """
    from mbrelease.bom.document import make_bom
    from mbrelease.files import write_text
    from mbrelease.registry.load import load_project

    made = make_bom(load_project(registry_path), variant)
    for remark in made.remarks:
        talk(remark)
    if output is None:
        click.echo(made.text, nl=False)
    else:
        write_text(output, made.text)
        talk(f"wrote {output}")
