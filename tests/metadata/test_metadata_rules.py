"""Each rule of the Hub, broken once on a card that is otherwise sound."""

import pytest
import yaml

from mbrelease.metadata.check import check_metadata
from mbrelease.metadata.fields import FIELDS
from mbrelease.metadata.languages import language_codes
from mbrelease.metadata.licenses import LICENSE_IDS, nearest_license
from mbrelease.metadata.repo_ids import fault_of_repo_id

GOOD = """---
language:
- en
- deu
license: apache-2.0
library_name: transformers
pipeline_tag: fill-mask
base_model: org/base
base_model_relation: finetune
datasets:
- org/papers
tags:
- modernbert
co2_eq_emissions:
  emissions: 12.5
  source: CodeCarbon
model-index:
- name: Owl
  results:
  - task:
      type: fill-mask
      name: Masked language modelling
    dataset:
      type: org/papers
      name: Papers
      config: en
      split: test
      revision: 5503434d
    metrics:
    - type: loss
      value: 3.62
      name: Loss
    source:
      url: https://example.org/owls
      name: The owl paper
---

# Owl
"""


def told(text: str, repo_id: str | None = "org/owl") -> list[str]:
    return [str(finding) for finding in check_metadata(text, repo_id=repo_id)]


def test_a_sound_card_has_no_findings() -> None:
    assert told(GOOD) == []


FAULTS = [
    # licence
    ("license: apache-2.0", "license: apache2",
     "README.md:5: license 'apache2' is unknown to the Hub; mend: apache-2.0"),
    ("license: apache-2.0", "license: MIT",
     "README.md:5: license 'MIT' is unknown to the Hub; mend: mit"),
    ("license: apache-2.0", "license: 7", "README.md:5: license is 7 and must be text"),
    ("license: apache-2.0", "license: other",
     "license 'other' needs license_name; mend: license_name"),
    ("license: apache-2.0", "license: other\nlicense_name: owl", "'other' needs license_link"),
    ("license: apache-2.0", "license: other\nlicense_name: owl\nlicense_link: http://[x",
     "README.md:7: license_link 'http://[x' is no address"),
    ("license: apache-2.0", "license: mit\nlicense_name: owl",
     "README.md:6: warning: license_name is only read beside 'license: other'"),
    ("license: apache-2.0\n", "", "warning: no license is given"),
    # language
    ("- deu", "- german", "README.md:4: language[1] 'german' is no language that the Hub knows"),
    ("- deu", "- DE", "README.md:4: language[1] 'DE' must be in lower case; mend: de"),
    ("- deu", "- de-AT",
     "README.md:4: language[1] 'de-AT' is more than a code of ISO 639; "
     "mend: de, and de-AT under language_bcp47"),
    ("- deu", "- 7", "README.md:4: language[1] is 7 and must be text"),
    ("- deu", "- no", "README.md:4: 'no' is true or false to YAML 1.1 and text to YAML 1.2"),
    # names
    ("pipeline_tag: fill-mask", "pipeline_tag: fill_masks",
     "README.md:7: warning: pipeline_tag 'fill_masks' is not in the Hub's list, "
     "and nobody can filter by it; mend: fill-mask"),
    ("pipeline_tag: fill-mask", "pipeline_tag: [fill-mask]",
     "pipeline_tag is a list and must be text"),
    ("library_name: transformers", "library_name: Transformers",
     "README.md:6: warning: library_name 'Transformers' is in upper case; mend: transformers"),
    ("library_name: transformers", "library_name: ''", "library_name is empty and must be text"),
    ("license: apache-2.0", "licence: apache-2.0",
     "README.md:5: warning: 'licence' is no field that the Hub reads; mend: license"),
    ("model-index:", "model_index:",
     "README.md:17: warning: 'model_index' is no field that the Hub reads; mend: model-index"),
    # base model
    ("base_model: org/base", "base_model: ./runs/base",
     "README.md:8: base_model './runs/base' is a path"),
    ("base_model: org/base", "base_model: /data/base", "base_model '/data/base' is a path"),
    ("base_model: org/base", "base_model: C:\\base", "is a path"),
    ("base_model: org/base", "base_model: runs/x/checkpoint-8", "is a path"),
    ("base_model: org/base", "base_model: Kokoro 82M",
     "base_model 'Kokoro 82M' is no id of a repository"),
    ("base_model: org/base", "base_model: org/a--b", "holds '--' or '..'"),
    ("base_model: org/base", "base_model: org/" + "a" * 93, "is longer than 96 characters"),
    ("base_model: org/base", "base_model: org/-base", "begins or ends with '-'"),
    ("base_model: org/base", "base_model: Org/Owl", "base_model 'Org/Owl' is the model itself"),
    ("base_model: org/base", "base_model: {id: org/base}", "base_model is a mapping"),
    ("base_model: org/base", "base_model: []", "base_model is an empty list"),
    ("base_model: org/base\nbase_model_relation: finetune",
     "base_model: [org/base, ORG/base]\nbase_model_relation: merge",
     "README.md:8: warning: base_model[1] 'ORG/base' is given twice"),
    ("base_model_relation: finetune\n", "",
     "README.md:8: base_model stands without base_model_relation, and the Hub would guess"),
    ("base_model_relation: finetune", "base_model_relation: banana",
     "README.md:9: base_model_relation 'banana' is unknown to the Hub; "
     "mend: one of adapter, finetune, merge, quantized"),
    ("base_model_relation: finetune", "base_model_relation: finetuned",
     "base_model_relation 'finetuned' is unknown to the Hub; mend: did you mean 'finetune'?"),
    ("base_model: org/base\n", "", "README.md:8: base_model_relation stands without base_model"),
    ("base_model_relation: finetune", "base_model_relation: merge",
     "README.md:9: a merge has several base models"),
    ("base_model: org/base", "base_model: [org/a, org/b]",
     "README.md:9: warning: the Hub takes several base models for a merge"),
    ("tags:", "new_version: org/owl\ntags:", "README.md:12: new_version names the model itself"),
    ("tags:", "new_version: ../owl-v2\ntags:", "README.md:12: new_version '../owl-v2' is a path"),
    # lists
    ("- org/papers\ntags", "- data/local/papers\ntags",
     "README.md:11: datasets[0] 'data/local/papers' is a path"),
    ("- org/papers\ntags", "- org/papers\n- org/papers\ntags",
     "README.md:12: warning: datasets[1] 'org/papers' is given twice"),
    ("tags:\n- modernbert", "tags: modernbert",
     "README.md:12: tags is 'modernbert' and must be a list of texts"),
    ("- modernbert", "- 7", "README.md:13: tags[0] is 7 and must be text"),
    ("- modernbert", "- 1", "README.md:13: tags[0] is 1 and must be text"),
    ("- modernbert", "- 2024-01-01", "'2024-01-01' is a date to YAML 1.1 and text to YAML 1.2"),
    # emissions
    ("  emissions: 12.5\n", "", "README.md:14: co2_eq_emissions has no 'emissions'"),
    ("emissions: 12.5", "emissions: 12 kg", "README.md:15: co2_eq_emissions.emissions is '12 kg'"),
    ("emissions: 12.5", "emissions: -1", "co2_eq_emissions.emissions is negative"),
    ("emissions: 12.5", "emissions: .inf", "co2_eq_emissions.emissions is inf, which is no number"),
    ("emissions: 12.5", "emissions: true",
     "co2_eq_emissions.emissions is true and must be a number"),
    ("  source: CodeCarbon", "  place: Quebec",
     "README.md:16: warning: co2_eq_emissions.place is unknown to the Hub"),
    # model-index
    ("- name: Owl\n  results", "- results", "README.md:18: model-index[0] has no 'name'"),
    ("      type: fill-mask\n", "", "README.md:20: model-index[0].results[0].task has no 'type'"),
    ("      name: Papers\n", "", "README.md:23: model-index[0].results[0].dataset has no 'name'"),
    ("config: en", "config: null",
     "README.md:26: model-index[0].results[0].dataset.config is null"),
    ("split: test", "split: 7", "model-index[0].results[0].dataset.split is 7 and must be text"),
    ("value: 3.62", "value: .nan",
     "README.md:31: model-index[0].results[0].metrics[0].value is nan, which is no number"),
    ("value: 3.62", "value: 1e-5",
     "README.md:31: '1e-5' is text to YAML 1.1 and a number to YAML 1.2, "
     "and the card has readers of both; mend: write 1.0e-05"),
    ("value: 3.62", "value: {a: 1}", "metrics[0].value is a mapping and must be a number"),
    ("      value: 3.62\n", "",
     "README.md:30: model-index[0].results[0].metrics[0] has no 'value'"),
    ("      name: Loss", "      name: Loss\n      verify_token: x",
     "README.md:33: model-index[0].results[0].metrics[0].verify_token is unknown to the Hub; "
     "mend: verifyToken"),
    ("    - type: loss", "    - type: loss\n      value: 3.5\n      name: Loss\n    - type: loss",
     "README.md:33: warning: model-index[0].results[0].metrics[1] repeats the metric of line 30"),
    ("      url: https://example.org/owls\n", "",
     "README.md:33: model-index[0].results[0].source has no 'url'"),
    ("url: https://example.org/owls", "url: example.org", "source.url 'example.org' is no address"),
    ("  results:\n", "  results: {}\n  more:\n",
     "results is a mapping and must be a list of results"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), FAULTS, ids=lambda text: str(text)[:40])
def test_one_fault_is_told_with_its_line(old: str, new: str, expected: str) -> None:
    assert GOOD.count(old) >= 1
    found = told(GOOD.replace(old, new, 1))
    assert any(expected in line for line in found), found


def test_a_finding_has_its_field_and_level() -> None:
    (finding,) = check_metadata(GOOD.replace("split: test", "split: null"))
    assert finding.as_json() == {
        "file": "README.md",
        "line": 27,
        "field": "model-index[0].results[0].dataset.split",
        "level": "error",
        "what": "model-index[0].results[0].dataset.split is null",
        "mend": "give a value, or remove the line",
    }


def test_an_alias_is_told_of_once() -> None:
    text = "---\nlicense: mit\nx: &x {a: null}\ny: *x\nz: *x\n---\n"
    assert sum("is null" in line for line in told(text)) == 1


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("Apache 2.0", "apache-2.0"),
        ("Apache License 2.0", "apache-2.0"),
        ("apache", "apache-2.0"),
        ("GPLv3", "gpl-3.0"),
        ("BSD-3", "bsd-3-clause"),
        ("cc-by-sa", "cc-by-sa-4.0"),
        ("CC BY-NC 4.0", "cc-by-nc-4.0"),
        ("llama-3.1", "llama3.1"),
        ("The Unlicense", "unlicense"),
        ("owl licence of 1907", None),
        ("", None),
    ],
)
def test_the_licence_that_was_meant(given: str, meant: str | None) -> None:
    assert nearest_license(given) == meant


def test_the_tables_hold_what_they_should() -> None:
    codes = language_codes()
    assert {"en", "deu", "ger", "code", "multilingual", "zxx", "sgn", "nb", "sr"} <= codes
    assert "english" not in codes and len(codes) > 8000
    assert all(code.isalpha() and code == code.lower() for code in codes)
    assert {"apache-2.0", "llama3.3", "openmdw-1.0", "other"} <= LICENSE_IDS
    assert {"model-index", "new_version", "license_link"} <= FIELDS


@pytest.mark.parametrize(
    ("repo_id", "sound"),
    [
        ("bert-base-uncased", True),
        ("org/name.v1-x_y", True),
        ("org_1/name", True),
        ("or.g/name", False),
        ("org/name/more", False),
        ("org/", False),
        ("/name", False),
        ("org/na me", False),
        ("org/naïve", False),
        ("org/name.git", False),
        ("org/name\n", False),
        ("", False),
    ],
)
def test_ids_of_repositories(repo_id: str, sound: bool) -> None:
    assert (fault_of_repo_id(repo_id) is None) == sound


@pytest.mark.parametrize(
    "plain",
    ["no", "On", "yes", "1e3", "0o17", "1_000", "12:30", "0b11", "010", "2024-01-01", "=", "0777"],
)
def test_what_pyyaml_and_yaml_1_2_read_differently(plain: str) -> None:
    found = told(f"---\nlicense: mit\ntags: [{plain}]\n---\n")
    assert any(f"'{plain}' is" in line and "has readers of both" in line for line in found)
    quoted = told(f'---\nlicense: mit\ntags: ["{plain}"]\n---\n')
    assert quoted == []


@pytest.mark.parametrize(
    "plain", ["yes-no", "1.5", "10", "-3", "1.0e-05", ".5", "true", "v1", "a:b"]
)
def test_what_they_read_alike(plain: str) -> None:
    found = told(f"---\nlicense: mit\nown: {plain}\n---\n")
    assert found == []


@pytest.mark.parametrize("plain", ["1e-5", "1e3", "2E20", "1_000"])
def test_the_mend_of_a_number_is_the_same_number_to_both(plain: str) -> None:
    (line,) = told(f"---\nlicense: mit\nown: {plain}\n---\n")
    mended = line.rpartition("write ")[2]
    assert yaml.safe_load(mended) == float(plain)
    assert told(f"---\nlicense: mit\nown: {mended}\n---\n") == []


def test_in_a_field_of_the_authors_own_it_is_only_a_warning() -> None:
    (line,) = told("---\nlicense: mit\nreviewed: 2024-01-01\n---\n")
    assert line.startswith("README.md:3: warning: '2024-01-01'")


def test_a_date_that_there_is_not_stops_the_client() -> None:
    found = told("---\nlicense: mit\nreviewed: 2024-13-45\n---\n")
    assert any(line.startswith("README.md:3: '2024-13-45' is no date") for line in found)
