"""FlexBERT's config in the words of transformers.

FlexBERT is the code that ModernBERT was trained with
(https://github.com/AnswerDotAI/ModernBERT, ``src/bert_layers``). It is a family of models, of
which transformers has one; and where both have the same field, its name, default or meaning may
differ. What the weights themselves say (sizes, biases) is taken from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.config import SLIDING
from mbrelease.errors import UserError
from mbrelease.files import parse_json

Shapes = Mapping[str, tuple[int, ...]]
ReadFile = Callable[[str], bytes | None]

# Each key with FlexBERT's default and the values that transformers' ModernBERT can express.
LAYERS: dict[str, tuple[str, Collection[str]]] = {
    "attention_layer": ("base", ("rope",)),
    "bert_layer": ("prenorm", ("prenorm", "compile_prenorm")),
    "mlp_layer": ("mlp", ("glu",)),
}
STRUCTURE: dict[str, tuple[object, Collection[object]]] = {
    **LAYERS,
    "encoder_layer": ("base", ("base",)),
    "embedding_layer": ("absolute_pos", ("sans_pos",)),
    "normalization": ("rmsnorm", ("layernorm", "triton_layernorm")),
    "embed_norm": (True, (True,)),
    "final_norm": (False, (True,)),
    "skip_first_prenorm": (False, (True,)),
    "rotary_emb_interleaved": (False, (False,)),
    "rotary_emb_scale_base": (None, (None,)),
}
ACTIVATIONS = {
    "gelu_tanh": "gelu_pytorch_tanh",
    **{name: name for name in ("gelu", "silu", "swish", "relu", "relu6", "leaky_relu", "mish")},
    **{name: name for name in ("tanh", "sigmoid")},
}
POOLING = ("cls", "mean")
LABELS = ("id2label", "label2id", "problem_type")
SAME_AS_GLOBAL = (None, -1)
"""As the theta of local layers, or the window of all: that there is none of its own."""
ROLES = {
    # The tokenizer of ModernBERT has no beginning and end of text but [CLS] and [SEP].
    "bos": ("bos", "cls"),
    "eos": ("eos", "sep"),
    "cls": ("cls",),
    "sep": ("sep",),
    "pad": ("pad",),
}
UNLIMITED = 1_000_000
"""A tokenizer without a limit says 10^30 or so."""
EMBEDDINGS = "embeddings.tok_embeddings.weight"


def is_flexbert(content: Mapping[str, Any]) -> bool:
    """Whether a config is FlexBERT's; it says ``bert`` of itself, as MosaicBERT does."""
    return content.get("model_type") != "modernbert" and "attention_layer" in content


def check_structure(content: Mapping[str, Any], place: Path) -> None:
    """Refuse what transformers' ModernBERT would compute otherwise, by the name of the key.

    Raises:
        UserError: FlexBERT's config describes another member of the family.
    """
    for key, (default, expressible) in STRUCTURE.items():
        _require(content, key, default, expressible, place)
    for key, (_default, expressible) in LAYERS.items():
        first = f"initial_{key}"
        if content.get(first) is not None:
            _require(content, first, None, expressible, place)
    heads = content.get("num_attention_heads")
    if isinstance(heads, int) and isinstance(content.get("hidden_size"), int) and heads > 0:
        size = content["hidden_size"] // heads
        for key in ("rotary_emb_dim", "local_attn_rotary_emb_dim"):
            _require(content, key, None, (None, size), place)


def modernbert_config(
    content: Mapping[str, Any], shapes: Shapes, read: ReadFile, place: Path
) -> dict[str, Any]:
    """The config.json of transformers for the model that FlexBERT's ``content`` describes.

    Args:
        content: FlexBERT's config, as its ``save_pretrained`` writes it; ``check_structure`` has
            accepted it.
        shapes: of the weights, by their names in transformers.
        read: gives the tokenizer's files by name.
        place: the checkpoint, for messages.

    Raises:
        UserError: transformers has no words for it, or it does not fit the weights.
    """
    flexbert = _FlexBert(content, shapes, place)
    return {
        "model_type": "modernbert",
        "architectures": [flexbert.architecture],
        **sizes(content, shapes, place),
        "num_attention_heads": flexbert.whole("num_attention_heads"),
        **flexbert.attention(),
        **flexbert.head(),
        **flexbert.biases(),
        **flexbert.training(),
        **_tokenizer_fields(content, shapes, read, place),
        "hidden_activation": flexbert.activation("hidden_act", "gelu"),
        # nn.LayerNorm's own default, where the config names none.
        "norm_eps": _number(flexbert.norm_kwargs, "eps", 1e-5, place),
        "tie_word_embeddings": content.get("tie_word_embeddings", True),
    }


def sizes(content: Mapping[str, Any], shapes: Shapes, place: Path) -> dict[str, int]:
    """The sizes of the weights, which ``content`` has to agree with, but for the vocabulary.

    The vocabulary is padded after the config is made, so its size is the embeddings'.

    Raises:
        UserError: another size stands in ``content``.
    """
    vocabulary, hidden = _matrix(shapes, EMBEDDINGS, place)
    gates, _ = _matrix(shapes, "layers.0.mlp.Wi.weight", place)
    layers = {m[1] for name in shapes if (m := re.match(r"(?:model\.)?layers\.(\d+)\.", name))}
    found = {
        "hidden_size": hidden,
        "intermediate_size": gates // 2,
        "num_hidden_layers": len(layers),
    }
    for key, size in found.items():
        if content.get(key, size) != size:
            raise UserError(f"{place}: its config has {key} {content[key]!r}, its weights {size}")
    return {"vocab_size": vocabulary, **found}


@dataclass(frozen=True)
class _FlexBert:
    """FlexBERT's config with its defaults, next to the weights."""

    content: Mapping[str, Any]
    shapes: Shapes
    place: Path

    @property
    def architecture(self) -> str:
        if "classifier.weight" in self.shapes:
            return "ModernBertForSequenceClassification"
        return "ModernBertForMaskedLM" if "head.dense.weight" in self.shapes else "ModernBertModel"

    @property
    def norm_kwargs(self) -> Mapping[str, Any]:
        value = self.content.get("norm_kwargs") or {}
        if not isinstance(value, Mapping):
            raise self.wrong("norm_kwargs", "an object")
        return value

    def attention(self) -> dict[str, Any]:
        """The rotary thetas, the window and which layers have it."""
        # Absent, FlexBERT has 10,000, where transformers has 160,000.
        theta = self._theta("rotary_emb_base", 10_000.0)
        window = self.content.get("sliding_window", -1)
        if window in SAME_AS_GLOBAL:
            return {
                "global_rope_theta": theta,
                "local_rope_theta": theta,
                "global_attn_every_n_layers": 1,
            }
        local = self.content.get("local_attn_rotary_emb_base", -1)
        return {
            "global_rope_theta": theta,
            # −1 stands for "as the others". Kept, it would make every output NaN.
            "local_rope_theta": theta
            if local in SAME_AS_GLOBAL
            else self._theta("local_attn_rotary_emb_base", theta),
            # The whole window, half to each side, in both; not 5.x's sliding_window, a half.
            "local_attention": self.whole("sliding_window"),
            **self._pattern(),
        }

    def head(self) -> dict[str, Any]:
        """The layer before the logits: of words, or of classes."""
        of_classes = "classifier.weight" in self.shapes
        # Both heads always stand in the config, and often with different activations.
        head = "head_class" if of_classes else "head_pred"
        if self.architecture != "ModernBertModel":
            _require(self.content, f"{head}_norm", not of_classes, (True,), self.place)
        pooling = self.content.get("pooling_type", "cls")
        fields = {
            "classifier_activation": self.activation(f"{head}_act", "silu"),
            "classifier_dropout": self._probability("head_class_dropout"),
            "classifier_pooling": pooling if pooling in POOLING else "cls",
        }
        if not of_classes:
            return fields
        _require(self.content, "pooling_type", "cls", POOLING, self.place)
        return fields | {key: self.content[key] for key in LABELS if key in self.content}

    def biases(self) -> dict[str, bool]:
        """Where there are biases, by the weights. Transformers has one field for several places."""
        fields = {
            "attention_bias": self._bias(r"\.attn\.(Wqkv|Wo)", "attn_qkv_bias and attn_out_bias"),
            "mlp_bias": self._bias(r"\.mlp\.(Wi|Wo)", "mlp_in_bias and mlp_out_bias"),
            "norm_bias": self._bias(r"norm", "norm_kwargs.bias"),
        }
        if "head.dense.weight" in self.shapes:
            fields["classifier_bias"] = "head.dense.bias" in self.shapes
        if self.architecture == "ModernBertForMaskedLM":
            fields["decoder_bias"] = "decoder.bias" in self.shapes
        return fields

    def training(self) -> dict[str, Any]:
        """What changes no output of the trained model, but a training that goes on."""
        return {
            # attn_out_dropout_prob, of the attention's output, has no field of its own:
            # transformers applies attention_dropout there and to the attention weights alike. The
            # published models follow attention_probs_dropout_prob, and so does this.
            "attention_dropout": self._probability("attention_probs_dropout_prob"),
            "embedding_dropout": self._probability("embed_dropout_prob"),
            "mlp_dropout": self._probability("mlp_dropout_prob"),
            "initializer_range": _number(self.content, "init_std", 0.02, self.place),
            "initializer_cutoff_factor": _number(
                self.content, "init_cutoff_factor", 2.0, self.place
            ),
            "deterministic_flash_attn": self.content.get("deterministic_fa2", False),
        }

    def activation(self, key: str, default: str) -> str:
        name = self.content.get(key, default)
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise _inexpressible(key, name, ACTIVATIONS, self.place)
        return ACTIVATIONS[name]

    def whole(self, key: str) -> int:
        value = self.content.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.wrong(key, "a whole number above 0")
        return value

    def wrong(self, key: str, what: str) -> UserError:
        return UserError(
            f"{self.place}: its config has {key} {self.content.get(key)!r}, not {what}"
        )

    def _pattern(self) -> dict[str, Any]:
        if self.content.get("global_attn_every_n_layers", -1) in SAME_AS_GLOBAL:
            # Only 5.x has words for a model whose layers are all local.
            return {"layer_types": [SLIDING] * self.whole("num_hidden_layers")}
        return {"global_attn_every_n_layers": self.whole("global_attn_every_n_layers")}

    def _theta(self, key: str, default: float) -> float:
        theta = _number(self.content, key, default, self.place)
        if not theta > 0:
            raise self.wrong(key, "a number above 0")
        return theta

    def _probability(self, key: str) -> float:
        return _number(self.content, key, 0.0, self.place)

    def _bias(self, modules: str, keys: str) -> bool:
        weights = [name for name in self.shapes if re.search(f"{modules}\\.weight$", name)]
        found = {f"{name.removesuffix('weight')}bias" in self.shapes for name in weights}
        if len(found) > 1:
            raise UserError(
                f"{self.place}: only some of the biases of {keys} are there, and transformers' "
                "ModernBERT has all or none"
            )
        return True in found


def _require(
    content: Mapping[str, Any],
    key: str,
    default: object,
    expressible: Collection[object],
    place: Path,
) -> None:
    value = content.get(key, default)
    # In the early code a layer's name says whether it pads.
    plain = re.sub(r"^(un)?padded_", "", value) if isinstance(value, str) else value
    if plain not in expressible:
        raise _inexpressible(key, value, expressible, place)


def _inexpressible(
    key: str, value: object, expressible: Collection[object], place: Path
) -> UserError:
    known = " or ".join(repr(other) for other in expressible)
    return UserError(
        f"{place}: its config has {key} {value!r}; transformers' ModernBERT has only {known}",
        mend="this model can be run by the code that it was trained with alone",
    )


def _number(content: Mapping[str, Any], key: str, default: float, place: Path) -> float:
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{place}: its config has {key} {value!r}, not a number")
    try:
        return float(value)
    except OverflowError as error:
        raise UserError(f"{place}: its config has too large a {key}") from error


def _matrix(shapes: Shapes, name: str, place: Path) -> tuple[int, int]:
    """The rows and columns of a weight of the encoder, which may be all there is."""
    shape = shapes.get(f"model.{name}") or shapes.get(name)
    if shape is None or len(shape) != 2:
        raise UserError(f"{place}: {name} is {'missing' if shape is None else 'no matrix'}")
    return shape[0], shape[1]


def _tokenizer_fields(
    content: Mapping[str, Any], shapes: Shapes, read: ReadFile, place: Path
) -> dict[str, Any]:
    """The ids of the special tokens, and the longest text.

    FlexBERT's config is made from bert-base-uncased's, and says of both what holds for that.
    """
    fields: dict[str, Any] = {}
    if "max_position_embeddings" in content:
        fields["max_position_embeddings"] = content["max_position_embeddings"]
    given = _json(read, "tokenizer_config.json", place)
    if given is None:
        known = {role: content.get(f"{role}_token_id") for role in ROLES}
        return fields | {f"{role}_token_id": token for role, token in known.items()}
    length = given.get("model_max_length")
    if isinstance(length, int) and 0 < length < UNLIMITED:
        fields["max_position_embeddings"] = length
    rows, _ = _matrix(shapes, EMBEDDINGS, place)
    for role, names in ROLES.items():
        token = next((text for name in names if (text := _token(given, name))), None)
        number = None if token is None else _id_of(token, given, read, place)
        if number is not None and not 0 <= number < rows:
            raise UserError(
                f"{place}: the tokenizer's {token} is number {number}, the embeddings have {rows}"
            )
        fields[f"{role}_token_id"] = number
    return fields


def _token(tokenizer_config: Mapping[str, Any], name: str) -> str | None:
    """A special token, which is text, or an object with its text and how it is matched."""
    value = tokenizer_config.get(f"{name}_token")
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _id_of(
    token: str, tokenizer_config: Mapping[str, Any], read: ReadFile, place: Path
) -> int | None:
    """The id of ``token``; tokenizer.json, which is large, is read if nothing else tells."""
    for number, added in _object(tokenizer_config.get("added_tokens_decoder")).items():
        if _object(added).get("content") == token and re.fullmatch(r"\d{1,9}", number):
            return int(number)
    content = _json(read, "tokenizer.json", place) or {}
    listed = content.get("added_tokens")
    for added in listed if isinstance(listed, list) else []:
        if _object(added).get("content") == token:
            return _as_id(_object(added).get("id"))
    return _as_id(_object(_object(content.get("model")).get("vocab")).get(token))


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _as_id(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _json(read: ReadFile, name: str, place: Path) -> dict[str, Any] | None:
    data = read(name)
    if data is None:
        return None
    content = parse_json(data, place / name)
    if not isinstance(content, dict):
        raise UserError(f"{place / name}: not a JSON object")
    return content
