"""Files in .eval_results, each rule broken once; what passes is what the Hub's client reads."""

import pytest
import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries

from mbrelease.metadata.eval_results import check_eval_results

FILE = ".eval_results/owls.yaml"
GOOD = """- dataset:
    id: org/owls
    task_id: hoot
    revision: 5503434d
  value: 20.9
  verifyToken: abc
  date: "2025-01-15T10:30:00Z"
  source:
    url: https://example.org/logs
    name: Logs
    user: owl
    org: org
  notes: no tools
- dataset: {id: org/owls, task_id: screech}
  value: 0.5
"""


def told(text: str) -> list[str]:
    return [str(finding) for finding in check_eval_results(text, FILE)]


def test_a_sound_file_has_no_findings_and_the_client_reads_it() -> None:
    assert told(GOOD) == []
    entries = parse_eval_result_entries(yaml.safe_load(GOOD))
    assert (entries[0].verify_token, entries[0].source_org) == ("abc", "org")


def test_what_the_client_writes_is_sound() -> None:
    entry = EvalResultEntry(
        dataset_id="org/owls",
        task_id="hoot",
        value=1.0e-5,
        date="2025-01-15",
        source_url="https://example.org",
        source_name="Logs",
    )
    assert told(yaml.safe_dump(eval_result_entries_to_yaml([entry]))) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    id: org/owls\n", "", f"{FILE}:1: [0].dataset has no 'id'"),
        ("id: org/owls", "id: owls", f"{FILE}:2: [0].dataset.id 'owls' names no account"),
        ("id: org/owls", "id: ./owls", "[0].dataset.id './owls' is a path"),
        ("    task_id: hoot\n", "", "[0].dataset has no 'task_id'"),
        ("task_id: hoot", "task_id: 7", f"{FILE}:3: [0].dataset.task_id is 7 and must be text"),
        ("revision: 5503434d", "revision: null", "[0].dataset.revision is null"),
        ("  value: 20.9\n", "", f"{FILE}:1: [0] has no 'value'"),
        ("value: 20.9", "value: .nan", f"{FILE}:5: [0].value is nan"),
        ("value: 20.9", "value: twenty", "[0].value is 'twenty' and must be a number"),
        ("value: 20.9", "value: 1e-5", "'1e-5' is text to YAML 1.1"),
        ("verifyToken", "verify_token",
         "[0].verify_token is unknown to the Hub; mend: verifyToken"),
        ('"2025-01-15T10:30:00Z"', "yesterday", "[0].date 'yesterday' is no date of ISO 8601"),
        ('"2025-01-15T10:30:00Z"', "2025-01-15", "is a date to YAML 1.1 and text to YAML 1.2"),
        ("    url: https://example.org/logs\n", "", f"{FILE}:8: [0].source has no 'url'"),
        ("https://example.org/logs", "logs.html", "[0].source.url 'logs.html' is no address"),
        ("user: owl", "user: 7", "[0].source.user is 7 and must be text"),
        ("notes: no tools", "notes: [no tools]", "[0].notes is a list and must be text"),
        ("  value: 0.5", "  value: 0.5\n  value: 0.6", "key 'value' is given twice"),
        ("- dataset: {id: org/owls, task_id: screech}", "- dataset: org/owls",
         "[1].dataset is 'org/owls' and must be a mapping"),
    ],
)  # fmt: skip
def test_one_fault(old: str, new: str, expected: str) -> None:
    assert old in GOOD
    found = told(GOOD.replace(old, new, 1))
    assert any(expected in line for line in found), found


@pytest.mark.parametrize("text", ["", "x: 1\n", "[]\n", "- 7\n", "null\n", "- [\n", "\ufeff"])
def test_what_is_no_list_of_results(text: str) -> None:
    found = told(text)
    assert found and all(line.startswith(f"{FILE}:") for line in found)
