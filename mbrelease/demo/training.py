"""Train a small ModernBERT as people do: base, then continued pretraining with saved checkpoints.

The Hugging Face Trainer on the CPU, seeded; a run's folder appears when its training has ended.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease.checkpoints.discover import discover
from mbrelease.errors import MissingExtra
from mbrelease.files import atomic_folder, read_json, sha256_json, write_json
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, TrainingArguments

SPECIAL_TOKENS = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
SETTINGS_FILE = "demo-settings.json"
"""Beside the checkpoints of a run: what it was trained from, so that it is not trained again."""
CODE_VERSION = 1
"""Raised by hand whenever the code below would train something else from the same settings."""


@dataclass(frozen=True)
class Sizes:
    """The model, and what stays the same over both runs. Lengths are in tokens."""

    vocabulary: int = 2048
    layers: int = 3
    hidden: int = 128
    heads: int = 4
    intermediate: int = 192
    window: int = 64
    context: int = 256
    block: int = 32
    """Documents are joined and cut into blocks of this length, so that nothing is padded."""
    batch: int = 32
    mask_rate: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Schedule:
    """Warmup, stable, decay. Steps are optimizer steps."""

    steps: int
    checkpoints: int
    learning_rate: float
    decay_steps: int
    warmup_steps: int = 20

    @property
    def save_steps(self) -> int:
        """Steps from one checkpoint to the next."""
        return self.steps // self.checkpoints


@dataclass(frozen=True)
class Run:
    """One training: where its checkpoints go, what it starts from, what it reads."""

    name: str
    output: Path
    start: Path | None
    """The checkpoint to continue; ``None`` starts from random weights."""
    train: Sequence[str]
    dev: Sequence[str]
    sizes: Sizes
    schedule: Schedule

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the weights, by content."""
        start = discover(self.start)[0].weights_sha256 if self.start else None
        return {
            "code_version": CODE_VERSION,
            "start": start,
            "train": sha256_json(list(self.train)),
            "dev": sha256_json(list(self.dev)),
            "sizes": asdict(self.sizes),
            "schedule": asdict(self.schedule),
        }


def train_tokenizer(texts: Sequence[str], sizes: Sizes) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with the special tokens and template of ModernBERT's."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # "a [MASK] word": the mask swallows the space before it, as a word would.
    special = [
        AddedToken(token, lstrip=token == "[MASK]", special=True) for token in SPECIAL_TOKENS
    ]
    trainer = BpeTrainer(
        vocab_size=sizes.vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token=special[-1],
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=sizes.context,
        clean_up_tokenization_spaces=False,
    )


def is_trained(run: Run) -> bool:
    """Whether ``run.output`` holds the checkpoints of exactly this training."""
    path = run.output / SETTINGS_FILE
    return path.is_file() and bool(read_json(path) == run.settings)


def train(run: Run, tokenizer: PreTrainedTokenizerFast, progress: Progress = SILENT) -> None:
    """Train ``run``; its output folder appears, with all checkpoints, when training has ended.

    Raises:
        MissingExtra: transformers, torch or accelerate is not installed.
        UserError: the folder cannot be written.
    """
    check_installed()
    from transformers import DataCollatorForLanguageModeling, PrinterCallback, Trainer

    with _quiet(), atomic_folder(run.output) as folder:
        collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=run.sizes.mask_rate)
        arguments = _arguments(run, folder)
        model = _model(run, tokenizer)
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=_blocks(run.train, tokenizer, run.sizes.block),
            eval_dataset=_masked(_blocks(run.dev, tokenizer, run.sizes.block), collate, run.sizes),
            data_collator=lambda rows: _collate(rows, collate),
            processing_class=tokenizer,
            callbacks=[_callback(run, progress)],
        )
        trainer.remove_callback(PrinterCallback)
        with _one_thread():
            trainer.train()
        write_json(folder / SETTINGS_FILE, run.settings)


def check_installed() -> None:
    """Stop unless everything that training needs is installed.

    Raises:
        MissingExtra: something is missing.
    """
    from importlib.util import find_spec

    if not all(map(find_spec, ("torch", "transformers", "accelerate", "tokenizers"))):
        raise MissingExtra("demo", "training the demo's model")


def _arguments(run: Run, folder: Path) -> TrainingArguments:
    from transformers import TrainingArguments

    schedule = run.schedule
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=schedule.steps,
        per_device_train_batch_size=run.sizes.batch,
        per_device_eval_batch_size=4 * run.sizes.batch,
        learning_rate=schedule.learning_rate,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": schedule.decay_steps, "decay_type": "1-sqrt"},
        warmup_steps=schedule.warmup_steps,
        weight_decay=0.01,
        adam_beta2=0.98,
        logging_steps=max(1, schedule.save_steps // 2),
        eval_strategy="steps",
        eval_steps=schedule.save_steps,
        save_strategy="steps",
        save_steps=schedule.save_steps,
        save_only_model=True,
        prediction_loss_only=True,
        seed=run.sizes.seed,
        use_cpu=True,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        report_to="none",
    )


def _model(run: Run, tokenizer: PreTrainedTokenizerFast) -> Any:
    from transformers import ModernBertConfig, ModernBertForMaskedLM, set_seed

    if run.start is not None:
        return ModernBertForMaskedLM.from_pretrained(discover(run.start)[0].path)
    sizes = run.sizes
    set_seed(sizes.seed)
    return ModernBertForMaskedLM(
        ModernBertConfig(
            vocab_size=len(tokenizer),
            hidden_size=sizes.hidden,
            intermediate_size=sizes.intermediate,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            max_position_embeddings=sizes.context,
            local_attention=sizes.window,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.cls_token_id,
            eos_token_id=tokenizer.sep_token_id,
            cls_token_id=tokenizer.cls_token_id,
            sep_token_id=tokenizer.sep_token_id,
            # Logits for the masked tokens only: half the time of a step at this size.
            sparse_prediction=True,
        )
    )


def _blocks(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, length: int
) -> list[dict[str, Any]]:
    """All texts, each between [CLS] and [SEP], joined and cut; the last short block is left out."""
    joined = [token for ids in tokenizer(list(texts))["input_ids"] for token in ids]
    starts = range(0, len(joined) - length + 1, length)
    return [{"input_ids": joined[start : start + length]} for start in starts]


def _masked(rows: list[dict[str, Any]], collate: Any, sizes: Sizes) -> list[dict[str, Any]]:
    """Evaluation blocks masked once, so that every checkpoint answers the same questions."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sizes.seed)
        batch = collate(rows)
    return [{key: batch[key][row] for key in batch} for row in range(len(rows))]


def _collate(rows: list[dict[str, Any]], collate: Any) -> dict[str, Any]:
    import torch

    if "labels" in rows[0]:
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
    batch: dict[str, Any] = collate(rows)
    return batch


def _callback(run: Run, progress: Progress) -> Any:
    from transformers import TrainerCallback

    class Steps(TrainerCallback):  # type: ignore[misc]
        """Passes the steps on."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            progress.start(f"training {run.name}", run.schedule.steps, "steps")

        def on_step_end(self, *_: Any, **__: Any) -> None:
            progress.advance()

    return Steps()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch: at this size two mostly wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers without its bars, tables and advice; ours is the only talk."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
