"""``mbrelease card --preview``: show a card as the Hub will."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.output import talk


def preview(
    readme: Path, *, output: Path | None, port: int | None, repo_id: str | None = None
) -> None:
    """Write the page of the card at ``readme`` to ``output``, or serve it until Ctrl-C.

    Served, the page is made anew from the disk for each request; its address is printed on stdout.

    Args:
        port: on 127.0.0.1; ``None`` or 0 takes a free one.
        repo_id: where the card will be published, for the name of the page and its links.

    Raises:
        UserError: the card cannot be read, the file not written, or the port is busy.
        MissingExtra: the extra [preview] is not installed.
    """
    from mbrelease.cards.preview import preview_html
    from mbrelease.files import write_text

    shown = preview_html(readme, repo_id=repo_id)
    for each in shown.left_out:
        talk(f"left out: {each}")
    if output is not None:
        write_text(output, shown.html)
        talk(f"wrote {output}")
        return
    _serve(readme, port or 0, repo_id)


def _serve(readme: Path, port: int, repo_id: str | None) -> None:
    from mbrelease.cards.preview import preview_html
    from mbrelease.pages.serve import HOST, page_server

    def page() -> str:
        return preview_html(readme, repo_id=repo_id).html

    with page_server(page, port, log=talk) as server:
        # It listens already, so whoever reads the address can connect.
        click.echo(f"http://{HOST}:{server.server_port}/")
        talk(f"the card {readme}; reload the page after a change. Ctrl-C ends it.")
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            talk("stopped")
