"""`mbrelease verify` on a full-size ModernBERT-base: seconds and peak memory.

    python benchmarks/verify.py [--rounds 3] [--cores 2] [--folder DIR]

Random weights in ModernBERT-base's geometry (598,635,032 bytes), a byte-level BPE tokenizer of the
whole vocabulary, and a parent that differs a little in every tensor; all written as a release. Each
run is a process of its own, imports and all, on --cores cores. The table has the fastest of
--rounds and the peak of its resident memory, in which the pages of the mapped weights count. With
--folder the models are kept and used again. Prints Markdown on stdout. Linux only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

WEIGHTS_BYTES = 598_635_032
TOKENS, UNUSED = 50_280, 83
SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
ROWS = {
    "verify": (),
    "verify --against a parent": ("--against", "{parent}"),
    "verify --headers-only": ("--headers-only",),
}


@dataclass(frozen=True)
class Taken:
    """One run. ``peak_bytes`` is the largest resident size of its process."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def write_tokenizer(folder: Path) -> None:
    """A tokenizer with ModernBERT-base's ids: 50,280 tokens, five special and 83 unused ones."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [(a, b) for a in letters for b in letters][: TOKENS - len(letters)]
    names = [*letters, *(a + b for a, b in pairs)]
    model = models.BPE({name: number for number, name in enumerate(names)}, pairs)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(name, lstrip=name == "[MASK]", normalized=False) for name in SPECIAL]
    )
    tokenizer.add_tokens([AddedToken(f"[unused{n}]", normalized=False) for n in range(UNUSED)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", TOKENS + 1), ("[SEP]", TOKENS + 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=8192,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name[1:-1].lower()}_token": name for name in SPECIAL},
    ).save_pretrained(folder)


def make_releases(folder: Path) -> None:
    """``folder``/model and its ``folder``/parent, with random weights."""
    import torch
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    from mbrelease.checkpoints.checkpoint import open_checkpoint
    from mbrelease.checkpoints.normalize import write_release

    torch.manual_seed(0)
    model = ModernBertForMaskedLM(ModernBertConfig(bos_token_id=50281, eos_token_id=50282))
    for name in ("parent", "model"):
        saved, release = folder / f"{name}-saved", folder / name
        model.save_pretrained(saved)
        write_tokenizer(saved)
        assert (saved / "model.safetensors").stat().st_size == WEIGHTS_BYTES
        release.mkdir()
        write_release(open_checkpoint(saved), release)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=1e-3)


def run(folder: Path, options: tuple[str, ...], cores: int) -> Taken:
    """`mbrelease verify` of ``folder``/model in a fresh process, which must pass."""
    given = [option.format(parent=folder / "parent") for option in options]
    command = [
        str(Path(sys.executable).parent / "mbrelease"),
        "verify",
        str(folder / "model"),
        *given,
    ]
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    with tempfile.TemporaryFile("w+") as said:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            stdout=said,
            stderr=said,
            env=os.environ | {"OMP_NUM_THREADS": str(cores)},
            preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{said.read()}")
    return Taken(seconds, usage.ru_utime + usage.ru_stime, 1024 * usage.ru_maxrss)


def table(folder: Path, rounds: int, cores: int) -> str:
    """The fastest run of each row, as Markdown."""
    lines = [
        "| command | seconds | CPU seconds | peak memory, GB |",
        "|---|---:|---:|---:|",
    ]
    for row, options in ROWS.items():
        runs = [run(folder, options, cores) for _ in range(rounds)]
        best = min(runs, key=lambda taken: taken.seconds)
        peak = max(taken.peak_bytes for taken in runs)
        lines.append(
            f"| `{row}` | {best.seconds:.1f} | {best.cpu_seconds:.1f} | {peak / 1e9:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.folder or Path(made)
        if not (folder / "model" / "config.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            make_releases(folder)
        print(table(folder, arguments.rounds, arguments.cores))


if __name__ == "__main__":
    main()
