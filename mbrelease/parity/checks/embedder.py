"""sentence-transformers loads it, and its embeddings are the model's own hidden states, pooled."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from mbrelease.errors import MissingExtra
from mbrelease.files import read_json
from mbrelease.parity.loaded import Loaded, batch_of, one_line
from mbrelease.parity.report import CheckResult, failed, passed, skipped

OWN_MODULES = "sentence_transformers."
TEXTS = ("The capital of France is Paris.", "Owls hunt at night.")
SAME_COSINE = 0.9999
"""float32 in another order of sums gives 1 − 1e-6; a lost prefix or another pooling 0.99."""


def check_sentence_transformers(loaded: Loaded) -> CheckResult:
    """sentence-transformers embeds texts, and as the model's own hidden states say."""
    name = "loading.sentence_transformers"
    expected = "embeddings that are the pooled hidden states"
    if loaded.head == "classifier":
        return skipped(name, expected=expected, reason="a classifier gives labels, not embeddings")
    if importlib.util.find_spec("sentence_transformers") is None:
        reason = MissingExtra("eval", "sentence-transformers").message
        return skipped(name, expected=expected, reason=reason)
    try:
        if foreign := _foreign_module(loaded.path):
            reason = f"modules.json names {foreign}, which is code of somebody else's"
            return skipped(name, expected=expected, reason=reason)
        embedder, declared = _embedder(loaded)
        found = embedder.encode(
            list(TEXTS), prompt="", convert_to_tensor=True, show_progress_bar=False
        ).float()
    except Exception as error:  # whatever stops it is the answer
        mend = "mend modules.json and the folders it names, or leave them out"
        return failed(name, expected=expected, found=one_line(error), mend=mend)
    pooling = _pooling(embedder)
    said = f"{pooling or 'own'} pooling as {declared} says, {found.shape[-1]} dimensions"
    if declared == "config.json" and pooling != "mean":
        said += " (without modules.json SentenceTransformer(folder) pools by mean)"
    if not bool(found.isfinite().all()):
        mend = "look at the modules behind the model: its own output is finite"
        return failed(name, expected=expected, found=f"{said}, not all finite", mend=mend)
    if pooling is None:
        return passed(name, f"{said}; not compared with the hidden states", expected)
    return _same_embeddings(name, expected, said, _pooled(loaded, pooling), found)


def _foreign_module(path: Path) -> str | None:
    """A class of modules.json that is not sentence-transformers'; it imports any that it finds."""
    if not (path / "modules.json").is_file():
        return None
    types = [str(module["type"]) for module in read_json(path / "modules.json")]
    return next((name for name in types if not name.startswith(OWN_MODULES)), None)


def _same_embeddings(name: str, expected: str, said: str, ours: Any, found: Any) -> CheckResult:
    import torch

    cosine = float(torch.nn.functional.cosine_similarity(ours, found).min())
    said = f"{said}, cosine {cosine:.6f}"
    if cosine >= SAME_COSINE:
        return passed(name, said, expected)
    return failed(
        name,
        expected=f"{expected}: cosine ≥ {SAME_COSINE}",
        found=said,
        mend="modules.json loads another model, tokenizer or length than this folder's: make it "
        "again with sentence_transformers' save_pretrained",
    )


def _embedder(loaded: Loaded) -> tuple[Any, str]:
    """The folder as sentence-transformers has it, and the file that says how to pool."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    model_kwargs = {"dtype": torch.float32, "use_safetensors": True}
    if (loaded.path / "modules.json").is_file():
        embedder = SentenceTransformer(
            str(loaded.path),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs=model_kwargs,
        )
        return embedder, "modules.json"
    local = {"local_files_only": True, "trust_remote_code": False}
    transformer = Transformer(
        str(loaded.path),
        model_kwargs=model_kwargs | local,
        processor_kwargs=local,
        config_kwargs=local,
    )
    config = loaded.model.config
    pooling = Pooling(config.hidden_size, pooling_mode=config.classifier_pooling)
    return SentenceTransformer(modules=[transformer, pooling], device="cpu"), "config.json"


def _pooling(embedder: Any) -> str | None:
    """How it pools, where it does so as we can and only scales what comes out."""
    kinds = [type(module).__name__ for module in embedder]
    if kinds[:2] != ["Transformer", "Pooling"] or set(kinds[2:]) - {"Normalize"}:
        return None
    mode = embedder[1].pooling_mode
    mode = mode if isinstance(mode, str) else "+".join(mode)
    return mode if mode in ("cls", "mean") else None


def _pooled(loaded: Loaded, pooling: str) -> Any:
    """The pooled hidden states of ``TEXTS``, each text by itself: (texts, hidden)."""
    import torch

    with torch.inference_mode():
        states = [
            loaded.model.base_model(**batch_of(loaded.tokenizer, text))[0][0] for text in TEXTS
        ]
        return torch.stack([state[0] if pooling == "cls" else state.mean(0) for state in states])
