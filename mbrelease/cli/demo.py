"""``mbrelease demo``: the whole way, from training to a download, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.output import progress, step_line, talk

if TYPE_CHECKING:
    from mbrelease.pipeline import Release
    from mbrelease.progress import Progress
    from mbrelease.registry.project import Project

# The token of nobody: the rehearsal Hub takes any.
REHEARSAL_TOKEN = "hf_rehearsal"  # noqa: S105
PAGE = "http://127.0.0.1:5290"
# Run apart, since HF_ENDPOINT is read when the client is imported, and offline from all else.
FILL_MASK = """
import sys
from transformers import AutoModelForMaskedLM, AutoTokenizer, logging, pipeline
logging.set_verbosity_error()
logging.disable_progress_bar()
model = AutoModelForMaskedLM.from_pretrained(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
fill = pipeline("fill-mask", model=model, tokenizer=tokenizer)
text = f"Return the {tokenizer.mask_token} of the object."
print(text)
for guess in fill(text, top_k=3):
    print(f"  {guess['score']:.3f} {guess['token_str'].strip()}")
"""


@click.command("demo")
@click.argument("folder", metavar="[DIR]", default="demo", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Train a small ModernBERT here and release it to a Hub on this machine.

    On the docstrings of Python's standard library: a base model, then continued pretraining with
    eight checkpoints, then everything that `mbrelease release` does, a push to a rehearsal Hub,
    and a download from it. About three minutes on two cores; DIR is ./demo by default. Run
    again, it goes on from where it stands.
    """
    from mbrelease.demo.project import BASE, VARIANT, make_project
    from mbrelease.demo.training import check_installed

    check_installed()
    # The client would ask the public Hub for a list; nothing of the demo leaves this machine.
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from mbrelease.hub.rehearsal.server import running

    with progress() as bar:
        project = make_project(folder, bar)
        with running(folder / "hub") as url:
            _release(project, BASE, url, bar)
            release = _release(project, VARIANT, url, bar)
            assert release.receipt is not None
            bar.note(f"downloading {release.receipt.repo_id} again with transformers")
            answer = fill_mask(release.receipt.repo_id, url)
    _summary(folder, release, answer)


def _release(project: Project, name: str, url: str, bar: Progress) -> Release:
    from huggingface_hub import HfApi

    from mbrelease.pipeline import Destination, release_variant

    repo_id = project.variant(name).repo
    assert repo_id is not None
    bar.note(f"\n{name} → {repo_id}")
    return release_variant(
        project,
        name,
        destination=Destination(HfApi(endpoint=url, token=REHEARSAL_TOKEN), repo_id),
        progress=bar,
        on_step=lambda step: bar.note(step_line(step)),
    )


def fill_mask(repo_id: str, url: str) -> str:
    """What the released model answers, downloaded from the Hub at ``url`` into an empty cache.

    Raises:
        CheckFailed: transformers cannot download or run it.
    """
    from mbrelease.errors import CheckFailed

    with tempfile.TemporaryDirectory() as cache:
        known = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-W", "ignore", "-c", FILL_MASK, repo_id],
            env={**known, "HF_ENDPOINT": url, "HF_HOME": cache, "HF_HUB_DISABLE_TELEMETRY": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise CheckFailed(f"{repo_id} does not load from {url}: {last}")
    return done.stdout


def _summary(folder: Path, release: Release, answer: str) -> None:
    decision, receipt = release.decision, release.receipt
    assert decision is not None and receipt is not None
    talk(f"\nChosen: {decision.chosen}")
    for reason in decision.reasons:
        talk(f"  - {reason}")
    talk("\nThe downloaded model fills in:")
    talk(answer.rstrip())
    talk("\nThe card:")
    click.echo(str(release.folder / "README.md"))
    talk(
        f"""
Next:
  cd {folder}
  mbrelease select {release.variant}     # every candidate with its numbers
  mbrelease release {release.variant}    # change registry.yaml, and see what is done again
  mbrelease rehearse --root hub --port 5290      # the Hub, and the page of the model:
                                                 # {PAGE}/{receipt.repo_id}"""
    )
