"""What a tensor is that the config does not imply: what left it there, and the mend."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from mbrelease.checkpoints.names import BUFFER, IN_HEAD, MOMENTS, OPTIMIZER, WRAPPERS

# peft, which names its own weights so: lora_A, lora_magnitude_vector, base_layer, …
ADAPTER = re.compile(r"(.*\.)?(lora_\w+|base_layer|modules_to_save)\..*")
FLEXBERT = re.compile(r"(.*\.)?(bert\.|encoder\.layers\.).*")
LAYER = re.compile(r"(model\.)?layers\.(\d+)\..*")
BIAS_FLAGS = {
    "attn": "attention_bias",
    "mlp": "mlp_bias",
    "decoder": "decoder_bias",
    "dense": "classifier_bias",
}
SAVE = "save the model alone: model.save_pretrained(folder)"


@dataclass(frozen=True)
class Kind:
    """A sort of tensors that no config implies."""

    words: str
    """As after a number: ``of an optimizer``."""
    mend: str


OF_OPTIMIZER = Kind("of an optimizer", SAVE)
OF_ADAPTER = Kind("of an adapter", "merge it first: model.merge_and_unload(), then save")
WRAPPED = Kind(
    "under the name of a trainer's wrapper",
    "save the model inside: accelerator.unwrap_model(model).save_pretrained(folder)",
)
BUFFERS = Kind("no weights but buffers, made anew on loading", SAVE)
BY_FLEXBERT = Kind("by the names of FlexBERT", "convert what Composer saved: mbrelease convert")
OF_ENCODER = Kind(
    "by the names of an encoder alone", 'write "architectures": ["ModernBertModel"] in config.json'
)
UNDER_HEAD = Kind(
    "by the names of a model with a head",
    'write "architectures": ["ModernBertForMaskedLM"], or what it was, in config.json',
)
OF_ANOTHER_HEAD = Kind(
    "of a head that the architecture has not",
    'write the class that was trained as "architectures" in config.json',
)
NOT_MODERNBERTS = Kind("not ModernBERT's", "save the model again from its class")


def kind_of(name: str, expected: Collection[str]) -> Kind:
    """What the tensor ``name`` is, which is not among the ``expected``."""
    parts = name.split(".")
    if not MOMENTS.isdisjoint(parts[-1:]) or any(part.startswith(OPTIMIZER) for part in parts):
        return OF_OPTIMIZER
    if ADAPTER.fullmatch(name):
        return OF_ADAPTER
    if not WRAPPERS.isdisjoint(parts):
        return WRAPPED
    if BUFFER.fullmatch(name):
        return BUFFERS
    if FLEXBERT.fullmatch(name):
        return BY_FLEXBERT
    if f"model.{name}" in expected:
        return OF_ENCODER
    if name.removeprefix("model.") in expected:
        return UNDER_HEAD
    if flag := _bias_flag(name, expected):
        return Kind("of biases that the config has not", f'write "{flag}": true in config.json')
    if IN_HEAD.fullmatch(name):
        return OF_ANOTHER_HEAD
    return _of_layer(name, expected) or NOT_MODERNBERTS


def _bias_flag(name: str, expected: Collection[str]) -> str | None:
    """The key of config.json that gives the module of a bias one."""
    module = name.removesuffix(".bias")
    if module == name or not {f"{module}.weight", name} & set(expected):
        return None
    parts = module.split(".")
    if parts[-1].endswith("norm"):
        return "norm_bias"
    return next((BIAS_FLAGS[part] for part in parts if part in BIAS_FLAGS), None)


def _of_layer(name: str, expected: Collection[str]) -> Kind | None:
    """A layer beyond those that the config has."""
    found = LAYER.fullmatch(name)
    layers = {int(match[2]) for other in expected if (match := LAYER.fullmatch(other))}
    if found is None or int(found[2]) in layers:
        return None
    return Kind(f"of layers beyond the {len(layers)} of the config", "correct num_hidden_layers")
