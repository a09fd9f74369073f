"""config.json by itself: the traps that a config can hold, each by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mbrelease.checkpoints.config import (
    FULL,
    SLIDING,
    ModernBertConfig,
    legacy_form,
    normal_form,
    regular_interval,
)
from mbrelease.parity.reference import head_of
from mbrelease.parity.report import CheckResult, failed, graded, passed, skipped, warned

Raw = Mapping[str, Any]

COUNTS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "local_attention", "global_attn_every_n_layers",
)  # fmt: skip
FLAGS = (
    "norm_bias", "attention_bias", "mlp_bias", "decoder_bias", "classifier_bias",
    "tie_word_embeddings", "sparse_prediction",
)  # fmt: skip
NUMBERS = ("norm_eps", "global_rope_theta", "local_rope_theta")
FLAT_ROPE = ("rope_theta", "rope_scaling")


def check_config(raw: Raw, *, publishable: bool) -> list[CheckResult]:
    """Ask every question that config.json alone can answer; see :func:`graded` on the flag."""
    results = [ask(raw) for ask in (*TRAPS, check_readable)]
    return [*results, check_generations(raw, publishable=publishable)]


def check_types(raw: Raw) -> CheckResult:
    """Numbers are numbers and flags are flags; 5.x refuses ``"768"`` and ``0`` for false."""
    wrong = [f"{key} is {raw[key]!r}" for key in COUNTS if key in raw and type(raw[key]) is not int]
    wrong += [f"{key} is {raw[key]!r}" for key in FLAGS if type(raw.get(key, True)) is not bool]
    wrong += [
        f"{key} is {raw[key]!r}"
        for key in NUMBERS
        if raw.get(key) is not None and type(raw[key]) not in (int, float)
    ]
    expected = "numbers as numbers, flags as true or false"
    if not wrong:
        return passed("config.types", expected)
    return failed(
        "config.types",
        expected=expected,
        found="; ".join(wrong),
        mend="write numbers without quotes, and true or false for flags",
    )


def check_theta(raw: Raw) -> CheckResult:
    """Rotary thetas are above 0: −1, which one converter leaves, makes every output NaN."""
    thetas = _thetas(raw)
    wrong = {
        place: theta
        for place, theta in thetas.items()
        # NaN is no more above 0 than −1 is.
        if isinstance(theta, int | float) and not theta > 0
    }
    expected = "rotary thetas above 0"
    if not wrong:
        stated = ", ".join(f"{place} {theta}" for place, theta in thetas.items())
        return passed("config.theta", stated or "the class defaults", expected)
    mend = "write the theta it was trained with; −1 for the local one meant 'the same as global'"
    return failed(
        "config.theta",
        expected=expected,
        found=", ".join(f"{place} is {theta}" for place, theta in wrong.items()),
        mend=mend,
    )


def check_null_theta(raw: Raw) -> CheckResult:
    """``local_rope_theta: null`` meant the global one in 4.x, and stops 5.x."""
    name, expected = "config.null_theta", "no theta is null"
    nulls = [place for place, theta in _thetas(raw).items() if theta is None]
    if not nulls:
        return passed(name, expected)
    return failed(
        name,
        expected=expected,
        found=f"{', '.join(nulls)} is null: 4.x takes the global theta, 5.x cannot build the model",
        mend=f'write "local_rope_theta": {raw.get("global_rope_theta", 160_000.0)}',
    )


def check_sliding_window(raw: Raw) -> CheckResult:
    """``sliding_window`` sets the window to twice its value in 5.x, and nothing in 4.x."""
    name, expected = "config.sliding_window", "the window given by local_attention alone"
    window = raw.get("sliding_window")
    if window is None:
        return passed(name, f"local_attention {raw.get('local_attention', 128)}", expected)
    return failed(
        name,
        expected=expected,
        found=f"sliding_window {window}: 5.x makes it the half of local_attention, 4.x ignores it",
        mend="delete sliding_window, and give the whole window as local_attention",
    )


def check_norm_eps(raw: Raw) -> CheckResult:
    """``norm_eps`` rules; ``layer_norm_eps`` is ignored and may not say something else."""
    name, expected = "config.norm_eps", "norm_eps, with which layer_norm_eps agrees"
    epsilon, ignored = raw.get("norm_eps", 1e-5), raw.get("layer_norm_eps")
    if ignored is None or ignored == epsilon:
        return passed(name, f"{epsilon}", expected)
    alone = "norm_eps" not in raw
    return failed(
        name,
        expected=expected,
        found=f"layer_norm_eps {ignored}{' alone' if alone else ''}, which is ignored: "
        f"the norms use {epsilon}",
        mend=f'write "norm_eps": {ignored} if it was trained so, else delete layer_norm_eps',
    )


def check_flat_rope(raw: Raw) -> CheckResult:
    """One flat theta is not ModernBERT's: it has two, and other keys are ignored or refused."""
    name, expected = "config.flat_rope", "two thetas, for full and for sliding attention"
    found = [f"{key} {raw[key]}" for key in FLAT_ROPE if raw.get(key) is not None]
    nested = raw.get("rope_parameters")
    if isinstance(nested, Mapping) and (strange := sorted(set(nested) - {FULL, SLIDING})):
        found.append(f"rope_parameters with {', '.join(strange)}")
    if not found:
        return passed(name, expected)
    return failed(
        name,
        expected=expected,
        found=f"{'; '.join(found)}, which ModernBERT ignores or refuses",
        mend="write global_rope_theta and local_rope_theta, and delete these keys",
    )


def check_layer_types(raw: Raw) -> CheckResult:
    """Where both generations' keys stand, 5.x follows one and 4.x the other."""
    name, expected = "config.layer_types", "one layer pattern"
    listed, every = raw.get("layer_types"), raw.get("global_attn_every_n_layers")
    if not isinstance(listed, list) or type(every) is not int or every < 1:
        return passed(name, expected)
    implied = [FULL if layer % every == 0 else SLIDING for layer in range(len(listed))]
    if implied == listed:
        return passed(name, f"full attention every {every} layers", expected)
    layer = next(index for index, kind in enumerate(listed) if kind != implied[index])
    true_interval = regular_interval(tuple(map(str, listed)))
    return failed(
        name,
        expected=expected,
        found=f"global_attn_every_n_layers {every} makes layer {layer} {implied[layer]}, "
        f"layer_types {listed[layer]}: 4.x follows the first, 5.x the second",
        mend="correct the one that training did not use"
        + (f'; layer_types is "global_attn_every_n_layers": {true_interval}' * bool(true_interval)),
    )


def check_sparse_prediction(raw: Raw) -> CheckResult:
    """Left on from training, it changes the shape of the logits when labels are given."""
    if raw.get("sparse_prediction", False) is False:
        return passed("config.sparse_prediction", "false")
    return failed(
        "config.sparse_prediction",
        expected="false",
        found=f"{_json(raw['sparse_prediction'])}: with labels, logits are [n_masked, vocabulary]",
        mend='write "sparse_prediction": false, as mbrelease release does',
    )


def check_head_activation(raw: Raw) -> CheckResult:
    """The head for masked tokens has the layers' activation, as in every known model.

    A converter that reads Composer's ``head_class_act`` (silu) in place of ``head_pred_act``
    leaves another, and every logit is wrong. A head of classes may have its own.
    """
    name, expected = "config.head_activation", "classifier_activation as hidden_activation"
    layers, head = raw.get("hidden_activation", "gelu"), raw.get("classifier_activation", "gelu")
    if head_of(raw) != "mlm" or head == layers:
        return passed(name, f"{head}", expected)
    return warned(
        name,
        expected=expected,
        found=f"the head for masked tokens has {head}, the layers {layers}",
        mend=f'write "classifier_activation": "{layers}" unless it was trained with {head}: '
        "Composer's head_pred_act, not its head_class_act",
    )


def check_heads(raw: Raw) -> CheckResult:
    """The hidden size divides into heads of an even size, as rotary embeddings need."""
    name, expected = "config.heads", "hidden_size = heads × an even number"
    hidden, heads = raw.get("hidden_size", 768), raw.get("num_attention_heads", 12)
    if type(hidden) is not int or type(heads) is not int or heads < 1:
        return skipped(name, expected=expected, reason="the sizes are not numbers")
    if hidden % (2 * heads) == 0:
        return passed(name, f"{hidden} = {heads} × {hidden // heads}", expected)
    return failed(
        name,
        expected=expected,
        found=f"{hidden} over {heads} heads is {hidden / heads:g}",
        mend="correct hidden_size or num_attention_heads",
    )


def check_readable(raw: Raw) -> CheckResult:
    """The config as a whole says what is computed, as 5.x reads it."""
    expected = "a config that transformers 5.x can build"
    try:
        config = normal_form(raw)
    except ValueError as error:
        return failed(
            "config.readable", expected=expected, found=str(error), mend="correct this field"
        )
    found = (
        f"{config.num_hidden_layers} layers, hidden {config.hidden_size}, "
        f"vocabulary {config.vocab_size}, {config.max_position_embeddings} positions"
    )
    return passed("config.readable", found, expected)


def check_generations(raw: Raw, *, publishable: bool) -> CheckResult:
    """4.x, which does not know 5.x's keys, reads the same numbers from the file."""
    name, expected = "config.generations", "transformers 4.x and 5.x read the same"
    try:
        now, before = normal_form(raw), legacy_form(raw)
    except ValueError:
        return skipped(name, expected=expected, reason="the config cannot be read")
    differences, additions = _misread(raw, now, before)
    if not differences:
        return passed(name, expected)
    if "global_attn_every_n_layers" in additions and regular_interval(now.layer_types) is None:
        mend = "4.x has no words for this layer pattern: publish it for transformers >= 5.1 only"
    else:
        keys = ", ".join(f'"{key}": {_json(value)}' for key, value in additions.items())
        mend = f"write {keys} (mbrelease release does)"
    found = "; ".join(differences)
    return graded(publishable, name, expected=expected, found=found, mend=mend)


def _misread(
    raw: Raw, now: ModernBertConfig, before: ModernBertConfig
) -> tuple[list[str], dict[str, Any]]:
    """What 4.x silently takes for something else, and the keys that would tell it."""
    differences, additions = [], {}
    for key in ("global_rope_theta", "local_rope_theta"):
        right, wrong = getattr(now, key), getattr(before, key)
        if right != wrong:
            differences.append(f"4.x reads {key} {wrong:g} instead of {right:g}")
            additions[key] = right
    # A pattern that contradicts itself has a check of its own.
    if now.layer_types != before.layer_types and "global_attn_every_n_layers" not in raw:
        differences.append("4.x reads full attention every 3 layers, not layer_types")
        additions["global_attn_every_n_layers"] = regular_interval(now.layer_types)
    return differences, additions


def _thetas(raw: Raw) -> dict[str, Any]:
    """Every theta that the file states, by the place where it does."""
    found = {key: raw[key] for key in ("global_rope_theta", "local_rope_theta") if key in raw}
    nested = raw.get("rope_parameters")
    if isinstance(nested, Mapping):
        for kind, entry in nested.items():
            if isinstance(entry, Mapping) and "rope_theta" in entry:
                found[f"{kind} theta"] = entry["rope_theta"]
    return found


def _json(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


TRAPS: tuple[Callable[[Raw], CheckResult], ...] = (
    check_types,
    check_theta,
    check_null_theta,
    check_sliding_window,
    check_norm_eps,
    check_flat_rope,
    check_layer_types,
    check_sparse_prediction,
    check_head_activation,
    check_heads,
)
