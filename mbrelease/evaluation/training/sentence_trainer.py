"""One contrastive training through sentence-transformers: its modules, losses and Trainer.

Single-vector models are ``Transformer`` and ``Pooling`` under ``MultipleNegativesRankingLoss``
(cosine × 20), multi-vector models ``Transformer``, ``Normalize`` and ``MultiVectorMask`` under its
MaxSim counterpart (× 1): the documents of the others in a batch are the wrong answers. AdamW
without weight decay, gradients clipped to norm 1, a learning rate that rises linearly and falls
linearly to zero.

Texts are tokenized as they are when the model is measured. Nothing stays on disk, no model card is
drawn up, and the process keeps its random numbers.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.errors import CheckFailed, MissingExtra, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.batching import is_out_of_memory, release_cached_memory
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.training.pairs import Row
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import ContrastiveTraining, RetrievalTask

if TYPE_CHECKING:
    import torch

    Weights = Mapping[str, torch.Tensor]
    """Of the encoder without its head, by transformers' names, on the CPU."""


class Diverged(CheckFailed):
    """A loss, a gradient or a weight is no finite number."""

    def __init__(self, checkpoint: Checkpoint, learning_rate: float, step: int) -> None:
        super().__init__(
            f"{checkpoint.path}: contrastive training with learning rate {learning_rate:g} "
            f"diverged (NaN or infinite at step {step})",
            mend="lower learning_rates of the task's training",
        )
        self.step = step


class Tokenized:
    """The batches of a training as the features that sentence-transformers trains on."""

    def __init__(
        self,
        encoder: Encoder,
        rows: Sequence[Row],
        batches: Sequence[Sequence[int]],
        max_length: int,
    ) -> None:
        """Tokenize ``batches`` of ``rows`` when they are asked for."""
        self._encoder, self._rows, self._batches = encoder, rows, batches
        self._max_length = max_length
        self._truncated: dict[int, int] = {}

    @property
    def n_truncated(self) -> int:
        """How many texts of the batches asked for were cut, as often as they are trained on."""
        return sum(self._truncated.values())

    def __len__(self) -> int:
        """How many batches there are."""
        return len(self._batches)

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        """Ids and masks of the queries, the right documents and each column of wrong ones."""
        features: dict[str, torch.Tensor] = {}
        self._truncated[step] = 0
        columns = zip(*(self._rows[row] for row in self._batches[step]), strict=True)
        for number, texts in enumerate(columns):
            tokens = self._encoder.tokens(texts, self._max_length)
            self._truncated[step] += sum(token.truncated for token in tokens)
            ids, mask = _padded([token.ids for token in tokens])
            features |= {f"text{number}_input_ids": ids, f"text{number}_attention_mask": mask}
        return features


@dataclass(frozen=True)
class Trainer:
    """What is the same for each learning rate."""

    task: RetrievalTask
    training: ContrastiveTraining
    checkpoint: Checkpoint
    backend: Backend
    tokenized: Tokenized
    progress: Progress = SILENT

    def train(self, learning_rate: float, title: str) -> Weights:
        """The weights after the budget is spent.

        Out of memory, the batch is passed in smaller parts (GradCache): the loss stays that of the
        whole batch.

        Raises:
            CheckFailed: training diverged, or one pair alone does not fit in memory.
            MissingExtra: sentence-transformers is not installed.
            UserError: the model does not load.
        """
        part = self.training.batch_size
        name = f"{self.checkpoint.name}: contrastive training, {title} (lr {learning_rate:g})"
        while True:
            self.progress.start(name, self.training.steps, "steps")
            try:
                return self._attempt(learning_rate, part)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if part == 1:
                    raise CheckFailed(
                        f"{self.checkpoint.path}: out of memory with one pair of texts",
                        mend="lower max_length, or use a device with more memory",
                    ) from error
            _let_go()
            part = math.ceil(part / 2)
            self.progress.note(
                f"{name}: out of memory; from the start again with {part} pairs at a time"
            )

    def _attempt(self, learning_rate: float, part: int) -> Weights:
        import torch

        with _generators_kept(self.backend), tempfile.TemporaryDirectory() as folder:
            model = self._model()
            self._fit(model, learning_rate, part, folder)
        _let_go()
        weights = model[0].model.state_dict()
        if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
            raise Diverged(self.checkpoint, learning_rate, self.training.steps)
        return {name: tensor.cpu() for name, tensor in weights.items()}

    def _model(self) -> Any:
        """The checkpoint under the modules that the task's scoring asks for, in float32."""
        try:
            import torch
            import transformers
            from sentence_transformers import MultiVectorEncoder, SentenceTransformer
            from sentence_transformers.base.modules import Normalize, Transformer
            from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
            from sentence_transformers.sentence_transformer.modules import Pooling
        except ImportError as error:
            raise MissingExtra("eval", "contrastive training") from error
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        logging.getLogger("transformers").setLevel(logging.ERROR)
        loading = {
            "local_files_only": True,
            "use_safetensors": True,
            "attn_implementation": "eager" if self.backend.attn == "eager" else "sdpa",
            "dtype": torch.float32,
        }
        try:
            transformer = Transformer(
                str(self.checkpoint.path),
                model_kwargs=loading,
                processor_kwargs={"local_files_only": True},
                config_kwargs={"local_files_only": True},
            )
        except Exception as error:  # what cannot be built fails in its own way each time
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"{self.checkpoint.path} does not load: {first}",
                mend="check it with 'mbrelease verify'",
            ) from error
        device = self.backend.device
        if self.task.scoring == "maxsim":
            last = [Normalize("token_embeddings"), MultiVectorMask()]
            return MultiVectorEncoder(modules=[transformer, *last], device=device)
        pooling = Pooling(transformer.model.config.hidden_size, self.task.pooling)
        return SentenceTransformer(modules=[transformer, pooling], device=device)

    def _fit(self, model: Any, learning_rate: float, part: int, folder: str) -> None:
        from sentence_transformers import MultiVectorEncoderTrainer, SentenceTransformerTrainer
        from torch.utils.data import DataLoader
        from transformers import PrinterCallback

        base = (
            MultiVectorEncoderTrainer
            if self.task.scoring == "maxsim"
            else SentenceTransformerTrainer
        )
        batches: Any = DataLoader(self.tokenized, batch_size=None)  # type: ignore[arg-type]

        class OwnBatches(base):  # type: ignore[misc, valid-type]
            def get_train_dataloader(self) -> Any:
                return batches

            def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
                """No card is drawn up, which would tokenize the data anew."""

        arguments = base.training_args_class(
            output_dir=folder,
            max_steps=self.training.steps,
            per_device_train_batch_size=self.training.batch_size,
            learning_rate=learning_rate,
            warmup_steps=self.training.warmup,
            optim="adamw_torch",
            seed=self.training.seed,
            use_cpu=self.backend.device == "cpu",
            bf16=self.backend.device == "cuda" and self.backend.dtype == "bfloat16",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_steps=1,
            logging_nan_inf_filter=False,
        )
        # One device, however many this process sees: more would split the batch and its negatives.
        arguments._n_gpu = min(arguments.n_gpu, 1)
        trainer = OwnBatches(
            model=model,
            args=arguments,
            loss=self._loss(model, part),
            callbacks=[_watch(self.checkpoint, learning_rate, self.progress)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    def _loss(self, model: Any, part: int) -> Any:
        """Of the whole batch, or passed ``part`` pairs at a time with the same gradient."""
        from sentence_transformers.multi_vector_encoder import losses as of_many
        from sentence_transformers.sentence_transformer import losses as of_one

        is_whole = part == self.training.batch_size
        if self.task.scoring == "maxsim":
            if is_whole:
                return of_many.MultiVectorMultipleNegativesRankingLoss(model)
            return of_many.CachedMultiVectorMultipleNegativesRankingLoss(
                model, mini_batch_size=part
            )
        if is_whole:
            return of_one.MultipleNegativesRankingLoss(model)
        return of_one.CachedMultipleNegativesRankingLoss(model, mini_batch_size=part)


def _watch(checkpoint: Checkpoint, learning_rate: float, progress: Progress) -> Any:
    """A callback that tells of each step and stops at one that is not finite."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" not in logs:
                return  # the summary at the end
            if not (math.isfinite(logs["loss"]) and math.isfinite(logs["grad_norm"])):
                raise Diverged(checkpoint, learning_rate, state.global_step)
            progress.advance()

    return Watch()


def _let_go() -> None:
    """Free what a training left: Trainer and callbacks hold each other, and the optimizer."""
    gc.collect()
    release_cached_memory()


@contextlib.contextmanager
def _generators_kept(backend: Backend) -> Iterator[None]:
    """Put the random states of the process back, which the Trainer sets by its seed."""
    import torch

    cuda = range(torch.cuda.device_count()) if backend.device == "cuda" else ()
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=cuda):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _padded(sequences: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, both of shape (texts, longest); padded with 0, or any id: the mask hides it."""
    import torch

    lengths = torch.tensor([len(sequence) for sequence in sequences])
    ids = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(sequence) for sequence in sequences], batch_first=True
    )
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()
