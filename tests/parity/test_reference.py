"""What a config implies, without torch and without the weights."""

from __future__ import annotations

import pytest

from mbrelease.checkpoints.config import normal_form
from mbrelease.parity.checks.size import file_bytes
from mbrelease.parity.reference import expected_tensors, head_of, label_count, parameter_count

BASE: dict[str, int] = {}
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "intermediate_size": 2624,
}


@pytest.mark.parametrize(
    ("sizes", "head", "tied", "tensors", "parameters"),
    [
        (BASE, "mlm", True, 137, 149_655_232),
        (BASE, "mlm", False, 138, 188_337_856),
        (BASE, "encoder", True, 134, 149_014_272),
        (LARGE, "mlm", True, 173, 395_881_664),
        (LARGE, "mlm", False, 174, 447_458_496),
        (LARGE, "encoder", True, 170, 394_781_696),
    ],
)
def test_the_published_counts_follow_from_the_config(sizes, head, tied, tensors, parameters):
    shapes = expected_tensors(normal_form(sizes | {"tie_word_embeddings": tied}), head)
    assert (len(shapes), parameter_count(shapes)) == (tensors, parameters)


@pytest.mark.parametrize(("sizes", "published"), [(BASE, 598_635_032), (LARGE, 1_583_544_840)])
def test_the_published_file_sizes_follow_from_the_config(sizes, published):
    assert file_bytes(expected_tensors(normal_form(sizes))) == published


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize(
    ("architecture", "labels"),
    [
        ("ModernBertForMaskedLM", 2),
        ("ModernBertModel", 2),
        ("ModernBertForSequenceClassification", 3),
        ("ModernBertForTokenClassification", 5),
    ],
)
def test_it_is_what_transformers_builds(architecture, labels, biases):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    names = ("norm_bias", "mlp_bias", "attention_bias", "classifier_bias")
    config = transformers.ModernBertConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=3,
        num_attention_heads=2, pad_token_id=0, bos_token_id=1, cls_token_id=1, eos_token_id=2,
        sep_token_id=2, num_labels=labels, decoder_bias=not biases, tie_word_embeddings=not biases,
        **dict.fromkeys(names, biases),
    )  # fmt: skip
    with torch.device("meta"):
        model = getattr(transformers, architecture)(config)
    real = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if not biases:
        real.pop("decoder.weight", None)
    raw = config.to_dict() | {"architectures": [architecture]}
    assert expected_tensors(normal_form(raw), head_of(raw), labels=label_count(raw)) == real


def test_an_architecture_that_is_not_known_has_no_head():
    assert head_of({"architectures": ["ModernBertForQuestionAnswering"]}) is None
    assert head_of({}) == "mlm"
