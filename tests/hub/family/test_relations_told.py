"""From the Hub's four words, the config and the tags to one of the registry's nine."""

from __future__ import annotations

from typing import Any

import pytest
from published_family import BASE, BIO, CONFIG, card, child, config

from mbrelease.hub.family.kept import Kept
from mbrelease.hub.family.model import PublishedModel, read_model
from mbrelease.hub.family.names import variant_name
from mbrelease.hub.family.relations import judge
from mbrelease.metadata.front_matter import yaml_block

MASKED = CONFIG
NAMES = {"README": "README.md", "config": "config.json", "adapter": "adapter_config.json",
         "mergekit": "mergekit_config.yml"}  # fmt: skip


def model(info: dict[str, Any] | None = None, **files: str) -> PublishedModel:
    """A model as it is kept when its files were read."""
    texts = {NAMES[name]: {"blob": name, "text": text} for name, text in files.items()}
    if "README.md" in texts:
        texts["README.md"]["text"] = yaml_block(files["README"]) or ""
    return read_model("lab/x", Kept(None, {"id": "lab/x", "sha": "0" * 40, **(info or {})}, texts))


BASE_MODEL = model(README=card("license: mit"), config=config())
SHORT_BASE = model(README=card("license: mit"), config=config(max_position_embeddings=1024))
SAID = "base_model_relation: "


@pytest.mark.parametrize(
    ("metadata", "files", "relation", "sure"),
    [
        ([], {"config": config()}, "continued-pretraining", True),
        ([SAID + "finetune"], {"config": config()}, "continued-pretraining", True),
        ([], {}, "fine-tuning", False),
        ([], {"config": config(architectures=["ModernBertModel"])}, "fine-tuning", False),
        ([], {"config": config(architectures=["ModernBertForSequenceClassification"])},
         "fine-tuning", True),
        (["tags: [sentence-transformers]"], {"config": config()}, "fine-tuning", True),
        (["tags: [dapt]"], {}, "continued-pretraining", True),
        (["tags: [distillation]"], {"config": config(num_hidden_layers=6)}, "distillation", True),
        ([], {"config": config(num_hidden_layers=6)}, "distillation", False),
        ([], {"config": config(hidden_size=1024)}, "fine-tuning", False),
        (["tags: [model-soup]"], {"config": config()}, "averaging", True),
        (["tags: [dapt, distilled]"], {}, "fine-tuning", False),
        ([SAID + "adapter"], {}, "adapter", True),
        ([], {"adapter": "{}"}, "adapter", True),
        ([SAID + "finetune"], {"adapter": "{}"}, "adapter", True),
        ([SAID + "quantized"], {"config": config()}, "quantization", True),
        ([], {"config": config(quantization_config={"bits": 4})}, "quantization", True),
        ([SAID + "finetune"], {"config": config(quantization_config={})}, "quantization", False),
        ([SAID + "merge"], {"config": config()}, "merging", True),
        ([SAID + "merge", "tags: [model-soup]"], {"config": config()}, "averaging", True),
        ([], {"mergekit": f"merge_method: slerp\nbase_model: {BASE}\nmodels: [{{model: {BIO}}}]"},
         "merging", True),
        ([], {"mergekit": f"merge_method: linear\nmodels: [{{model: {BASE}@a}}, "
                          f"{{model: {BASE}@b}}]"}, "averaging", True),
        ([], {"mergekit": "[", "config": config()}, "merging", False),
    ],
)  # fmt: skip
def test_one_base_model(
    metadata: list[str], files: dict[str, str], relation: str, sure: bool
) -> None:
    judged = judge(model(README=child(BASE, *metadata), **files), BASE_MODEL)
    assert (judged.relation, judged.is_sure) == (relation, sure), judged.why
    assert judged.why


def test_a_longer_context_is_told_by_the_configs() -> None:
    judged = judge(model(README=child(BASE), config=config()), SHORT_BASE)
    assert (judged.relation, judged.is_sure) == ("context-extension", True)
    assert judged.why == "it reads more: 1,024 to 8,192 tokens"


def test_several_base_models_are_a_merge_if_only_by_a_guess() -> None:
    guessed = judge(model(README=child(f"[{BASE}, {BIO}]"), config=config()), BASE_MODEL)
    assert (guessed.relation, guessed.is_sure) == ("merging", False)
    said = model(README=child(f"[{BASE}, {BIO}]", SAID + "merge"), config=config())
    assert judge(said, BASE_MODEL).is_sure


def test_a_base_that_cannot_be_read_leaves_a_question() -> None:
    judged = judge(model(README=child(BASE), config=config()), None)
    assert (judged.relation, judged.is_sure) == ("fine-tuning", False)


def test_the_hubs_own_word_counts_where_the_card_is_silent() -> None:
    tags = {"tags": [f"base_model:{BASE}", f"base_model:quantized:{BASE}"]}
    judged = judge(model(tags, README=child(BASE), config=config()), BASE_MODEL)
    assert (judged.relation, judged.is_sure) == ("quantization", False)


def test_an_adapter_tells_its_base_though_its_card_does_not() -> None:
    adapter = f'{{"base_model_name_or_path": "{BASE}"}}'
    assert model(README=card("license: mit"), adapter=adapter).bases == (BASE,)
    on_disk = '{"base_model_name_or_path": "/home/me/model"}'
    assert model(README=card("license: mit"), adapter=on_disk).bases == ()


def test_the_design_is_read_from_both_generations_of_configs() -> None:
    new = {key: value for key, value in CONFIG.items() if "theta" not in key and "attn" not in key}
    new |= {
        "layer_types": ["full_attention" if n % 3 == 0 else "sliding_attention" for n in range(22)],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 160000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    }
    import json

    assert model(config=json.dumps(new)).architecture == BASE_MODEL.architecture
    assert BASE_MODEL.architecture["rope_theta"] == 160000
    assert BASE_MODEL.architecture["global_attention_every"] == 3


def test_positions_of_roberta_are_counted_without_the_two_before_the_first() -> None:
    text = '{"model_type": "roberta", "max_position_embeddings": 514, "num_hidden_layers": 12}'
    assert model(config=text).architecture == {"layers": 12, "context": 512}


def test_parameters_of_what_is_packed_are_not_counted() -> None:
    info = {"safetensors": {"total": 149655232}}
    assert model(info, config=config()).architecture["parameters"] == 149655232
    packed = model(info, config=config(quantization_config={}))
    assert "parameters" not in packed.architecture
    assert "parameters" not in model(info, config=config(), adapter="{}").architecture


@pytest.mark.parametrize(
    ("repo_id", "taken", "name"),
    [
        ("org/ModernBERT-base", set(), "modernbert-base"),
        ("org/ModernBERT-base", {"modernbert-base"}, "org-modernbert-base"),
        ("org/a", {"a", "org-a"}, "org-a-2"),
        ("bert-base-uncased", set(), "bert-base-uncased"),
        ("org/_x.1", set(), "x.1"),
        ("org/___", set(), "model"),
    ],
)
def test_names_of_variants(repo_id: str, taken: set[str], name: str) -> None:
    assert variant_name(repo_id, taken) == name
