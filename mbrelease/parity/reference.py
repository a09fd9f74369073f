"""What ModernBERT is: the tensors that a config implies, in closed form.

With h hidden, i intermediate and V the vocabulary, layer l of L holds ``attn.Wqkv`` (3h, h),
``attn.Wo`` (h, h), ``mlp.Wi`` (2i, h), ``mlp.Wo`` (h, i), ``mlp_norm`` (h) and, but for layer 0,
``attn_norm`` (h); around them stand the embeddings (V, h) with a norm and a final norm. The head
for masked tokens adds ``head.dense`` (h, h), ``head.norm`` (h) and ``decoder`` (V, h), whose
weight is the embedding's where they are tied and then is not in the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from mbrelease.checkpoints.config import ModernBertConfig

Head = Literal["mlm", "encoder", "classifier"]
Shapes = dict[str, tuple[int, ...]]

HEAD_OF_ARCHITECTURE: dict[str, Head] = {
    "ModernBertForMaskedLM": "mlm",
    "ModernBertModel": "encoder",
    "ModernBertForSequenceClassification": "classifier",
    "ModernBertForTokenClassification": "classifier",
}
# Transformers has these too; which tensors their heads hold is not written down here.
HEADS_NOT_CHECKED = frozenset({"ModernBertForQuestionAnswering", "ModernBertForMultipleChoice"})
EMBEDDINGS = "embeddings.tok_embeddings.weight"


def expected_tensors(
    config: ModernBertConfig, head: Head = "mlm", *, labels: int = 2
) -> dict[str, tuple[int, ...]]:
    """The name and shape of each tensor that ``save_pretrained`` writes.

    Args:
        config: the architecture.
        head: ``mlm``, ``encoder`` (whose names have no ``model.`` before them) or ``classifier``.
        labels: the number of classes; used by ``classifier`` alone.
    """
    if head == "encoder":
        return _encoder(config)
    tensors = {f"model.{name}": shape for name, shape in _encoder(config).items()}
    hidden = config.hidden_size
    tensors |= _linear("head.dense", hidden, hidden, config.classifier_bias)
    tensors |= _norm("head.norm", config)
    if head == "classifier":
        return tensors | _linear("classifier", labels, hidden, bias=True)
    decoder = _linear("decoder", config.vocab_size, hidden, config.decoder_bias)
    if config.tie_word_embeddings:
        del decoder["decoder.weight"]
    return tensors | decoder


def parameter_count(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The number of parameters in tensors of these shapes."""
    return sum(math.prod(shape) for shape in shapes.values())


def head_of(raw: Mapping[str, Any]) -> Head | None:
    """The head that a config.json declares; masked LM if it declares none, ``None`` if unknown."""
    name = architecture_of(raw)
    return "mlm" if name is None else HEAD_OF_ARCHITECTURE.get(name)


def architecture_of(raw: Mapping[str, Any]) -> str | None:
    """The class that a config.json declares, if it declares one."""
    architectures = raw.get("architectures")
    if not architectures:
        return None
    return str(architectures[0] if isinstance(architectures, list) else architectures)


def label_count(raw: Mapping[str, Any]) -> int:
    """The number of classes that a config.json declares (two, as transformers has it, if none)."""
    labels = raw.get("id2label")
    if isinstance(labels, Mapping) and labels:
        return len(labels)
    count = raw.get("num_labels")
    return count if isinstance(count, int) else 2


def _encoder(config: ModernBertConfig) -> Shapes:
    tensors: Shapes = {EMBEDDINGS: (config.vocab_size, config.hidden_size)}
    tensors |= _norm("embeddings.norm", config)
    for layer in range(config.num_hidden_layers):
        tensors |= _layer(config, layer)
    return tensors | _norm("final_norm", config)


def _layer(config: ModernBertConfig, layer: int) -> Shapes:
    name = f"layers.{layer}"
    hidden, inner = config.hidden_size, config.intermediate_size
    # The embeddings are already normalized where layer 0 begins.
    tensors = _norm(f"{name}.attn_norm", config) if layer > 0 else {}
    tensors |= _linear(f"{name}.attn.Wqkv", 3 * hidden, hidden, config.attention_bias)
    tensors |= _linear(f"{name}.attn.Wo", hidden, hidden, config.attention_bias)
    tensors |= _norm(f"{name}.mlp_norm", config)
    tensors |= _linear(f"{name}.mlp.Wi", 2 * inner, hidden, config.mlp_bias)
    return tensors | _linear(f"{name}.mlp.Wo", hidden, inner, config.mlp_bias)


def _linear(name: str, outputs: int, inputs: int, bias: bool) -> Shapes:
    weight: Shapes = {f"{name}.weight": (outputs, inputs)}
    return weight | {f"{name}.bias": (outputs,)} if bias else weight


def _norm(name: str, config: ModernBertConfig) -> Shapes:
    weight: Shapes = {f"{name}.weight": (config.hidden_size,)}
    return weight | {f"{name}.bias": (config.hidden_size,)} if config.norm_bias else weight
