"""Evaluating at the size of ModernBERT-base, against transformers and sentence-transformers.

    python benchmarks/evaluation.py [--layers 6] [--tokens 16384] [--documents 128] [--rounds 3]
                                    [--lengths 8192,4096,1024,512,128]
                                    [--ranked 250000,500000,1000000]
    python benchmarks/evaluation.py --gpu [--layers 22] [--tokens 4194304] [--rounds 3]

Random weights in ModernBERT-base's geometry, on a CPU with fewer layers (--layers): six of them are
two global and four sliding ones, much as the 8 and 14 of the 22 that base has. Documents are random
words of a tokenizer that has one token a word, so that all lengths are exact; tokenizing is
timed wherever a row starts from texts. Each run of each row is a fresh process with an empty
cache; rows take turns, and the tables have the fastest of --rounds. Models are loaded and have run
once before the clock starts. CPU time is that of all threads: the ratio to go by where others use
the machine too (``taskset -c 0`` takes one core, where threads do not wait for each other). Prints
Markdown on stdout and what it is doing on stderr. Linux only.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from retrieval import rank_random_documents
from retrieval import table as ranked_table

from mbrelease.evaluation.backend import CPU_FLAGS_OF_BFLOAT16, Backend
from mbrelease.evaluation.batching import TOKEN_BUDGET, batches_by_length

SPECIAL = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}
N_WORDS, VOCABULARY = 50_000, 50_368
BASE_LAYERS = 22
LONGEST = 8192
MASK_RATE = 0.3
WARM_UP = [" ".join(f"w{word}" for word in range(start, start + 62)) for start in (0, 100)]
"""Two documents of 64 tokens that no row is timed on."""
# Dense bf16 FLOP/s as the vendor states them, by what the name of a card holds.
PEAK_FLOPS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
}

Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Work:
    """What one process runs: a row of a table on documents of given lengths."""

    row: str
    model: str
    lengths: str
    """``NxL``: N documents of L tokens; ``NxL~S``: normal around L, standard deviation S."""

    def drawn(self) -> Lengths:
        """Tokens of each document, special tokens included."""
        return drawn_lengths(self.lengths)


@dataclass(frozen=True)
class Taken:
    """The time of a run."""

    seconds: float
    cpu_seconds: float
    """Of all threads together: what counts where others use the machine too."""

    def fastest(self, other: Taken) -> Taken:
        """The best of both."""
        return Taken(min(self.seconds, other.seconds), min(self.cpu_seconds, other.cpu_seconds))


def drawn_lengths(given: str) -> Lengths:
    """What ``Work.lengths`` stands for: the same numbers each time."""
    count, _, length = given.partition("x")
    mean, _, deviation = length.partition("~")
    drawn = np.random.default_rng(0).normal(float(mean), float(deviation or 0), int(count))
    return np.clip(drawn.round(), 16, 2 * int(mean) if deviation else int(mean)).astype(np.int64)


def drawn_texts(lengths: Lengths) -> list[str]:
    """Random words, two fewer than tokens: the tokenizer puts one before and one behind."""
    generator = np.random.default_rng(1)
    return [
        " ".join(f"w{word}" for word in generator.integers(0, N_WORDS, length - 2))
        for length in lengths
    ]


def make_model(folder: Path, layers: int) -> None:
    """A masked-language model with random weights, float32, and its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedTokenizerFast

    names = [*SPECIAL.values(), *(f"w{number}" for number in range(N_WORDS))]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, SPECIAL["unk"]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    named = {f"{kind}_token": name for kind, name in SPECIAL.items()}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LONGEST, **named)
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    ids = {f"{kind}_token_id": vocabulary[SPECIAL[kind]] for kind in ("pad", "cls", "sep")}
    config = ModernBertConfig(
        vocab_size=VOCABULARY,
        num_hidden_layers=layers,
        bos_token_id=ids["cls_token_id"],
        eos_token_id=ids["sep_token_id"],
        **ids,
    )
    ModernBertForMaskedLM(config).save_pretrained(folder)


# The rows. Each prepares and gives back what is timed.


def ours(work: Work, dtype: str = "float32", device: str = "cpu") -> Callable[[], object]:
    """``Encoder.embed``: texts in, pooled vectors out."""
    encoder = our_encoder(work, dtype, device)
    embed = functools.partial(encoder.embed, max_length=LONGEST, pooling="mean")
    texts = drawn_texts(work.drawn())
    embed(WARM_UP)
    return lambda: embed(texts)


def our_mlm(work: Work) -> Callable[[], object]:
    """The task ``mlm``: texts in, loss and accuracy with their intervals out."""
    from mbrelease.evaluation.dataset import read_dataset
    from mbrelease.evaluation.tasks import mlm
    from mbrelease.registry.tasks import MlmTask, SplitFiles

    path = Path(os.environ["XDG_CACHE_HOME"]) / "texts.jsonl"
    rows = [json.dumps({"text": text}) for text in drawn_texts(work.drawn())]
    task = MlmTask(
        name="mlm", type="mlm", data=SplitFiles(dev="-"), mask_rate=MASK_RATE, max_length=LONGEST
    )
    encoder = our_encoder(work, "float32", "cpu")

    def measure(kept: Sequence[str]) -> object:
        path.write_text("\n".join(kept))
        return mlm.measure(task, {"dev": read_dataset(path)}, "dev", encoder)

    measure([json.dumps({"text": text}) for text in WARM_UP])
    return lambda: measure(rows)


def our_encoder(work: Work, dtype: str, device: str) -> Any:
    """An encoder of the backend that ``mbrelease eval`` would take."""
    from mbrelease.checkpoints.checkpoint import open_checkpoint
    from mbrelease.evaluation.backend import choose_backend
    from mbrelease.evaluation.encoder import Encoder

    backend = Backend("sdpa", dtype, "cpu") if device == "cpu" else choose_backend("cuda")
    return Encoder(open_checkpoint(Path(work.model)), backend)


def transformers_padded(
    work: Work, attention: str = "sdpa", dtype: str = "float32", device: str = "cpu"
) -> Callable[[], object]:
    """transformers' own model on padded batches: the same budget of tokens, sorted by length too.

    Also mean-pooled. The two differ in nothing but padding, attention and how batches are run.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(work.model)
    model = AutoModel.from_pretrained(
        work.model, attn_implementation=attention, dtype=getattr(torch, dtype)
    )
    model = model.eval().to(device)

    @torch.inference_mode()
    def embed(texts: Sequence[str], lengths: Lengths) -> object:
        found = torch.empty(len(texts), model.config.hidden_size, device=device)
        for rows in batches_by_length(lengths.tolist(), TOKEN_BUDGET[device]):
            batch = tokenizer([texts[row] for row in rows], padding=True, return_tensors="pt").to(
                device
            )
            hidden = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).last_hidden_state
            mask = batch["attention_mask"][..., None].float()
            found[rows] = (hidden.float() * mask).sum(1) / mask.sum(1)
        return found.cpu()

    lengths = work.drawn()
    texts = drawn_texts(lengths)
    embed(WARM_UP, np.full(len(WARM_UP), 64))
    return lambda: embed(texts, lengths)


def sentence_transformers(work: Work) -> Callable[[], object]:
    """``SentenceTransformer(folder).encode(texts)``, all at its defaults, float32."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(work.model, device="cpu")
    texts = drawn_texts(work.drawn())
    encode = functools.partial(model.encode, show_progress_bar=False)
    encode(WARM_UP)
    return lambda: encode(texts)


def trainer(work: Work) -> Callable[[], object]:
    """``Trainer.evaluate`` at its defaults, of documents that are tokenized already."""
    from datasets import Dataset
    from transformers import (
        AutoModelForMaskedLM,
        AutoTokenizer,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(work.model)
    warm_up, ids = (tokenizer(texts)["input_ids"] for texts in (WARM_UP, drawn_texts(work.drawn())))
    known = Trainer(
        AutoModelForMaskedLM.from_pretrained(work.model),
        TrainingArguments(
            output_dir=os.environ["XDG_CACHE_HOME"],
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
        ),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASK_RATE),
    )
    # Its log goes to stdout, where the result is to stand alone.
    known.log = lambda *arguments, **named: None
    known.evaluate(Dataset.from_dict({"input_ids": warm_up}))
    dataset = Dataset.from_dict({"input_ids": ids})
    return lambda: known.evaluate(dataset)


GPU = {"dtype": "bfloat16", "device": "cuda"}
ROWS: Mapping[str, Callable[[Work], Callable[[], object]]] = {
    "ours": ours,
    "ours-bf16": functools.partial(ours, dtype="bfloat16"),
    "transformers": transformers_padded,
    "sentence-transformers": sentence_transformers,
    "mlm": our_mlm,
    "trainer": trainer,
    "ours-gpu": functools.partial(ours, **GPU),
    "sdpa-gpu": functools.partial(transformers_padded, attention="sdpa", **GPU),
    "fa2-gpu": functools.partial(transformers_padded, attention="flash_attention_2", **GPU),
}


def run_row(work: Work) -> None:
    """Time one row in this process; prints JSON."""
    timed = ROWS[work.row](work)
    started, computed = time.perf_counter(), time.process_time()
    timed()
    taken = Taken(time.perf_counter() - started, time.process_time() - computed)
    print(json.dumps(asdict(taken)))


# Timing


def fastest(works: Sequence[Work], rounds: int) -> dict[Work, Taken]:
    """The time of each, the fastest of ``rounds``; they take turns."""
    found: dict[Work, Taken] = {}
    for number in range(rounds):
        for work in works:
            taken = in_fresh_process(work)
            times = f"{taken.seconds:.2f} s, {taken.cpu_seconds:.2f} s of CPU time"
            say(f"round {number + 1}: {work.row} on {work.lengths}: {times}")
            found[work] = taken.fastest(found.get(work, taken))
    return found


def in_fresh_process(work: Work) -> Taken:
    """The time of one run. Nothing is cached; no network is asked."""
    with tempfile.TemporaryDirectory() as cache:
        surroundings = {
            **os.environ,
            "XDG_CACHE_HOME": cache,
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "TRANSFORMERS_VERBOSITY": "error",
            "TQDM_DISABLE": "1",
        }
        command = [sys.executable, __file__, "--row", work.row, work.model, work.lengths]
        done = subprocess.run(command, env=surroundings, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{work.row} on {work.lengths} failed, see above")
    return Taken(**json.loads(done.stdout.splitlines()[-1]))


# Tables


def lengths_table(model: str, options: argparse.Namespace) -> str:
    """Ours against transformers, documents of one length."""
    given = {length: f"{max(1, options.tokens // length)}x{length}" for length in options.lengths}
    pairs = {
        length: (Work("ours", model, documents), Work("transformers", model, documents))
        for length, documents in given.items()
    }
    taken = fastest([work for pair in pairs.values() for work in pair], options.rounds)
    lines = [
        "Documents of one length, fp32, tokens a second; transformers' own sdpa on padded batches "
        "of the same token budget:\n",
        "| tokens | documents | `mbrelease` | transformers | ratio | of CPU time |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for length, (mine, theirs) in pairs.items():
        tokens = int(mine.drawn().sum())
        own, peer = taken[mine], taken[theirs]
        lines.append(
            f"| {length:,} | {tokens // length} | {tokens / own.seconds:,.0f} "
            f"| {tokens / peer.seconds:,.0f} | {peer.seconds / own.seconds:.2f} "
            f"| {peer.cpu_seconds / own.cpu_seconds:.2f} |"
        )
    return "\n".join(lines)


def normal_table(model: str, options: argparse.Namespace) -> str:
    """Documents of N(256, 64) tokens, against sentence-transformers and the Trainer."""
    documents = f"{options.documents}x256~64"
    peer, masked, theirs = (
        Work(row, model, documents) for row in ("sentence-transformers", "mlm", "trainer")
    )
    mine = [Work("ours", model, documents)]
    if has_bfloat16():
        mine.append(Work("ours-bf16", model, documents))
    taken = fastest([*mine, peer, masked, theirs], options.rounds)
    tokens = int(peer.drawn().sum())
    titles = {
        "ours": "embed, fp32",
        "ours-bf16": "embed, bf16",
        "sentence-transformers": "sentence-transformers `encode`, fp32",
        "mlm": "task `mlm`, fp32",
        "trainer": "`Trainer.evaluate`, fp32",
    }
    lines = [
        f"{options.documents} documents of N(256, 64) tokens. The peers are at their defaults "
        "(batches of 32 and 8); the Trainer's documents are tokenized before, and it reports a "
        "loss only:\n",
        "| | seconds | tokens a second | × the peer | of CPU time |",
        "|---|---:|---:|---:|---:|",
    ]
    against = {**dict.fromkeys(mine, peer), peer: peer, masked: theirs, theirs: theirs}
    for work, other in against.items():
        lines.append(
            f"| {titles[work.row]} | {taken[work].seconds:.2f} "
            f"| {tokens / taken[work].seconds:,.0f} "
            f"| {taken[other].seconds / taken[work].seconds:.2f} "
            f"| {taken[other].cpu_seconds / taken[work].cpu_seconds:.2f} |"
        )
    if not has_bfloat16():
        lines.append("\nNo bf16 row: the processor has neither avx512_bf16 nor AMX.")
    return "\n".join(lines)


def gpu_table(model: str, options: argparse.Namespace) -> str:
    """Packed against padded on a GPU, and the share of what the card could do."""
    import torch

    rows = ["ours-gpu", "sdpa-gpu"]
    if importlib.util.find_spec("flash_attn") is not None:
        rows.append("fa2-gpu")
    sets = {}
    for longest in (512, LONGEST):
        count = max(8, options.tokens // longest)
        sets[f"{longest:,} fixed"] = f"{count}x{longest}"
        sets[f"{longest:,} variable"] = f"{count}x{longest // 2}~{longest // 8}"
    works = [Work(row, model, documents) for documents in sets.values() for row in rows]
    seconds = {work: taken.seconds for work, taken in fastest(works, options.rounds).items()}
    card = torch.cuda.get_device_name()
    peak = next((flops for name, flops in PEAK_FLOPS.items() if name in card), None)
    lines = [
        f"{card}, bf16, {options.layers} layers; thousands of tokens a second (padding does not "
        "count). The peak is the vendor's for dense bf16"
        + (
            ""
            if "fa2-gpu" in rows
            else "; no row of padded FlashAttention-2, for `flash-attn` is not installed"
        )
        + ":\n",
        "| documents | " + " | ".join([*rows, "ratio to sdpa", "share of peak"]) + " |",
        "|---|" + "---:|" * (len(rows) + 2),
    ]
    speed: dict[str, float] = {}
    for name, documents in sets.items():
        of = {row: seconds[Work(row, model, documents)] for row in rows}
        lengths = drawn_lengths(documents)
        tokens = int(lengths.sum())
        speed[name] = tokens / of["ours-gpu"]
        flops = model_flops(lengths, options.layers) / of["ours-gpu"]
        cells = [f"{tokens / of[row] / 1e3:,.0f}" for row in rows]
        cells += [f"{of['sdpa-gpu'] / of['ours-gpu']:.2f}", f"{flops / peak:.0%}" if peak else "–"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for longest in (512, LONGEST):
        ratio = speed[f"{longest:,} variable"] / speed[f"{longest:,} fixed"]
        lines.append(f"\nVariable / fixed at {longest:,}: {ratio:.2f}.")
    return "\n".join(lines)


def model_flops(lengths: Lengths, layers: int) -> float:
    """Multiplications and additions of the encoder: matrices, and attention within its window."""
    hidden, intermediate, window = 768, 1152, 129
    matrices = layers * (4 * hidden * hidden + 3 * hidden * intermediate)
    seen = [np.minimum(lengths, lengths if layer % 3 == 0 else window) for layer in range(layers)]
    attention = sum(float((4 * hidden * lengths * reach).sum()) for reach in seen)
    return 2.0 * matrices * float(lengths.sum()) + attention


def machine() -> str:
    """Which machine and which versions."""
    models = [line.partition(":")[2].strip() for line in cpuinfo() if line.startswith("model name")]
    names = ("mbrelease", "torch", "transformers", "sentence-transformers", "numpy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return (
        f"Cores: {len(os.sched_getaffinity(0))} ({models[0] if models else platform.machine()}), "
        f"Linux {platform.release()}, Python {platform.python_version()}, {versions}."
    )


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16."""
    flags = next((line for line in cpuinfo() if line.startswith("flags")), "")
    return bool(CPU_FLAGS_OF_BFLOAT16 & set(flags.split()))


def cpuinfo() -> list[str]:
    """What Linux says of the processor."""
    return Path("/proc/cpuinfo").read_text().splitlines()


def say(text: str) -> None:
    """Tell what is going on."""
    print(text, file=sys.stderr, flush=True)


def counts(text: str) -> list[int]:
    """Whole numbers, such as 512,128."""
    return [int(part) for part in text.split(",")]


def on_cpu(model: str, options: argparse.Namespace) -> str:
    """All tables of a CPU."""
    ranked = [rank_random_documents(count) for count in options.ranked]
    return "\n\n".join(
        [
            lengths_table(model, options),
            normal_table(model, options),
            "Random embeddings of 768 dimensions ranked, peak memory of the whole process:\n\n"
            + ranked_table(ranked),
        ]
    )


def main() -> None:
    """Make a model, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="the rows of a GPU alone")
    parser.add_argument("--layers", type=int, help="6, with --gpu 22 as ModernBERT-base has")
    parser.add_argument("--tokens", type=int, help="of each row of one length")
    parser.add_argument("--documents", type=int, default=128, help="of N(256, 64) tokens")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lengths", type=counts, default=[8192, 4096, 1024, 512, 128])
    parser.add_argument("--ranked", type=counts, default=[250_000, 500_000, 1_000_000])
    parser.add_argument("--row", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        run_row(Work(*options.row))
        return
    if options.gpu:
        import torch

        if not torch.cuda.is_available():
            print("The rows of a GPU are skipped: torch finds no CUDA device here.")
            return
    # A polite kill cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    options.layers = options.layers or (BASE_LAYERS if options.gpu else 6)
    options.tokens = options.tokens or (4_194_304 if options.gpu else 16_384)
    with tempfile.TemporaryDirectory() as folder:
        say(f"making a model of {options.layers} layers")
        make_model(Path(folder), options.layers)
        tables = gpu_table(folder, options) if options.gpu else on_cpu(folder, options)
    print(
        f"{machine()}\n\nModernBERT-base's geometry with {options.layers} of its {BASE_LAYERS} "
        f"layers, random weights. Each run in a fresh process, fastest of {options.rounds}.\n\n"
        f"{tables}"
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
