"""``mbrelease rehearse``: serve a local Hub that the ordinary clients talk to."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.output import talk


@click.command()
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("rehearsal-hub"),
    show_default=True,
    help="Folder that holds the Hub's state; made if it is not there.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=5290,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes any free one.",
)
@click.option(
    "--fault",
    "faults",
    metavar="CALL=KIND",
    multiple=True,
    help="Let a call go wrong: commit=504, object-put=reset:2 (twice); may be repeated.",
)
@click.option("--quiet", is_flag=True, help="Do not write a line for each request.")
def command(root: Path, port: int, faults: tuple[str, ...], quiet: bool) -> None:
    """Serve a local Hub for rehearsals.

    Models pushed to it are real commits: they can be downloaded, tagged, proposed as pull requests
    and looked at in a browser, with the ordinary clients. The state outlives the server. It
    listens on loopback only and takes any token.

    The address is printed on stdout, what happens on stderr. Ctrl-C ends it.
    """
    from mbrelease.hub.rehearsal.faults import parse_fault
    from mbrelease.hub.rehearsal.server import serve

    def announce(url: str) -> None:
        click.echo(url)
        talk(
            f"rehearsal Hub in {root}; in another terminal:\n"
            f"  export HF_ENDPOINT={url} HF_TOKEN=hf_rehearsal\n"
            "Ctrl-C ends it; the state stays."
        )

    serve(
        root,
        port,
        faults=[parse_fault(text) for text in faults],
        announce=announce,
        log=_ignore if quiet else talk,
    )
    talk("stopped")


def _ignore(_line: str) -> None:
    pass
