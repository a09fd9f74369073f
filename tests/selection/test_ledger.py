"""The policy is frozen, and the test split looked at once; on real files, no model runs."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pytest
from owl_project import Owls

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.evidence import read_records, write_record
from mbrelease.files import canonical_json, sha256_json
from mbrelease.selection.frozen import frozen_policy
from mbrelease.selection.ledger import ledger_path, read_ledger, reasons
from mbrelease.selection.looks import freeze, record_look


@pytest.fixture
def owls(tmp_path):
    project = Owls(tmp_path)
    project.measure("base", loss=2.0, recall=0.25)
    project.run((1.9, 0.5), (1.8, 0.7))
    return project


def path_of(owls):
    return ledger_path(owls.project, "owl")


def lines(owls):
    return [json.loads(line) for line in path_of(owls).read_text().splitlines()]


def kinds(owls):
    return [line["kind"] for line in lines(owls)]


def look(owls, chosen="checkpoint-20", reference="base", reason=None):
    """As ``release`` does when it has decided for ``chosen``."""
    decision = owls.decide().model_copy(update={"chosen": chosen})
    checkpoint = open_checkpoint(owls.root / reference)
    return record_look(owls.project, decision, checkpoint, ["mlm", "find"], reason=reason)


def measure_on_test(owls, folder, task="find", **provenance):
    """As ``mbrelease eval FOLDER --split test`` does."""
    weights = open_checkpoint(owls.root / folder).weights_sha256
    evidence = owls.root / "evidence"
    record = read_records(evidence, weights, task)[0]
    made = replace(record.provenance, **provenance)
    given = replace(record, split="test", provenance=made)
    write_record(evidence, given, pa.table({"id": ["a"]}))


def add_step_40(owls):
    """A checkpoint that the registry does not admit."""
    owls.edit("averages: []", "checkpoints: [10, 20], averages: []")
    owls.checkpoint("run/checkpoint-40", 4)
    owls.measure("run/checkpoint-40", loss=1.8, recall=0.6)


STRICTER = ("margin: 0.25", "margin: 0.2")


def test_the_first_freeze_writes_the_policy_and_the_next_writes_nothing(owls):
    frozen = freeze(owls.project, "owl")
    assert frozen.sha256 == frozen_policy(owls.project, "owl").sha256 == owls.decide().policy_sha256
    [line] = lines(owls)
    assert line["kind"] == "freeze" and line["previous"] is None and "reason" not in line
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"])
    assert line["policy_sha256"] == sha256_json(line["policy"]) == frozen.sha256
    assert line["policy"]["policy"] == {
        "primary": "find/recall@1",
        "guardrails": [{"metric": "mlm/loss", "margin": 0.25}],
        "reference": "base",
    }
    assert line["policy"]["candidates"] == {"checkpoints": "all", "averages": []}
    assert set(line["policy"]["tasks"]) == {"mlm", "find"}
    before = path_of(owls).read_bytes()
    freeze(owls.project, "owl", reason="not asked for")
    assert path_of(owls).read_bytes() == before


LOSS, ACCURACY = "{metric: mlm/loss, margin: 0.25}", "{metric: mlm/accuracy, margin: 0.1}"


@pytest.mark.parametrize(
    ("old", "one", "other"),
    [
        (f"[{LOSS}]", f"[{LOSS}, {ACCURACY}]", f"[{ACCURACY}, {LOSS}]"),
        ("averages: []", "checkpoints: [10, 20]", "checkpoints: [20, 10]"),
        ("margin: 0.25", "margin: 1", "margin: 1.0"),
        ("tie_break: earliest", "alpha: 0.05", "resamples: 10000"),
    ],
)
def test_two_spellings_of_a_policy_have_one_hash(owls, old, one, other):
    owls.edit(old, one)
    before = frozen_policy(owls.project, "owl").sha256
    owls.edit(one, other)
    assert frozen_policy(owls.project, "owl").sha256 == before


def test_the_order_of_averages_is_frozen_for_it_may_decide_a_tie(owls):
    owls.edit("averages: []", 'averages: ["last:2", uniform]')
    before = frozen_policy(owls.project, "owl").sha256
    owls.edit('averages: ["last:2", uniform]', 'averages: [uniform, "last:2"]')
    assert frozen_policy(owls.project, "owl").sha256 != before


def test_the_policys_own_name_and_where_data_lie_do_not_count(owls):
    before = frozen_policy(owls.project, "owl").sha256
    owls.edit("policies:\n  owls:", "policies:\n  barn:")
    owls.edit("policy: owls", "policy: barn")
    owls.edit("dev.jsonl", "data/dev.jsonl")
    assert frozen_policy(owls.project, "owl").sha256 == before


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (*STRICTER, "guardrails"),
        ("primary: find/recall@1", "primary: mlm/accuracy", "primary"),
        ("tie_break: earliest", "tie_break: latest", "tie_break"),
        ("tie_break: earliest", "alpha: 0.1", "alpha"),
        ("tie_break: earliest", "seed: 7", "seed"),
        ("reference: base", "reference: first", "reference"),
        ("averages: []", 'averages: ["last:2"]', "averages"),
        ("averages: []", "checkpoints: [10]", "checkpoints"),
        ("type: mlm,", "type: mlm, mask_rate: 0.2,", "task mlm"),
    ],
)
def test_what_could_change_the_choice_changes_the_hash_and_is_named(owls, old, new, named):
    owls.edit("base: {weights: base}", "base: {weights: base}\n  first: {weights: base}")
    before = frozen_policy(owls.project, "owl")
    owls.edit(old, new)
    after = frozen_policy(owls.project, "owl")
    assert after.sha256 != before.sha256
    assert named in after.differences(before)


def test_a_policy_that_changes_before_a_look_is_frozen_anew(owls):
    freeze(owls.project, "owl")
    owls.edit(*STRICTER)
    freeze(owls.project, "owl", reason="not needed, so not kept")
    assert kinds(owls) == ["freeze", "freeze"]
    first, second = lines(owls)
    assert second["previous"] == first["sha256"]
    assert reasons(owls.project, "owl") == []


def test_a_policy_that_changes_after_a_look_needs_a_reason(owls):
    freeze(owls.project, "owl")
    look(owls)
    seen = lines(owls)[1]
    owls.edit(*STRICTER)
    before = path_of(owls).read_bytes()
    with pytest.raises(UserError) as caught:
        freeze(owls.project, "owl")
    assert str(caught.value) == (
        "the policy of 'owl' (guardrails) changed after the test split was looked at: "
        f'checkpoint-20, {seen["time"]}\n  say why, and the card prints it: --reason "…"'
    )
    assert path_of(owls).read_bytes() == before
    freeze(owls.project, "owl", reason="  a reviewer asked for it\n")
    assert reasons(owls.project, "owl") == ["a reviewer asked for it"]
    # The reason stands for the look that follows, and for no other.
    assert look(owls)
    assert kinds(owls) == ["freeze", "look", "freeze", "look"]
    assert "reason" not in lines(owls)[-1]
    owls.edit(*reversed(STRICTER))
    with pytest.raises(UserError, match="changed after the test split was looked at"):
        freeze(owls.project, "owl")


def test_a_look_is_written_once_however_often_it_is_made(owls):
    freeze(owls.project, "owl")
    assert look(owls)
    line = lines(owls)[-1]
    weights = [open_checkpoint(owls.root / f).weights_sha256 for f in ("run/checkpoint-20", "base")]
    assert (line["chosen"], line["reference"]) == ("checkpoint-20", "base")
    assert [line["weights_sha256"], line["reference_weights_sha256"]] == weights
    assert line["tasks"] == ["find", "mlm"]
    before = path_of(owls).read_bytes()
    assert not look(owls)
    assert not look(owls, reason="not asked for")
    assert path_of(owls).read_bytes() == before


def test_another_winner_or_reference_after_a_look_needs_a_reason(owls):
    freeze(owls.project, "owl")
    look(owls)
    with pytest.raises(
        UserError, match="was looked at for checkpoint-20 against base, 2"
    ) as caught:
        look(owls, chosen="checkpoint-10")
    assert 'mbrelease release owl --reason "…"' in str(caught.value)
    assert look(owls, chosen="checkpoint-10", reason="the best one does not load")
    with pytest.raises(UserError, match="and now for checkpoint-20 against base"):
        look(owls)  # who goes back has chosen by what test said
    shutil.copy(
        owls.root / "run" / "checkpoint-10" / "model.safetensors",
        owls.root / "base" / "model.safetensors",
    )
    owls.measure("base", loss=2.0, recall=0.25)
    with pytest.raises(UserError, match="checkpoint-10 against base with other weights"):
        look(owls, chosen="checkpoint-10")
    assert look(owls, chosen="checkpoint-10", reason="the base was mended")
    assert reasons(owls.project, "owl") == ["the best one does not load", "the base was mended"]


def test_a_look_under_a_policy_that_is_not_the_frozen_one_is_refused(owls):
    freeze(owls.project, "owl")
    decision = owls.decide()
    owls.edit(*STRICTER)
    freeze(owls.project, "owl")
    reference = open_checkpoint(owls.root / "base")
    with pytest.raises(UserError, match="is not the one that .* has as frozen"):
        record_look(owls.project, decision, reference, ["mlm"], reason="in a hurry")
    assert kinds(owls) == ["freeze", "freeze"]


def of_a_checkpoint(owls):
    measure_on_test(owls, "run/checkpoint-10")


def of_other_settings_and_data(owls):
    measure_on_test(owls, "run/checkpoint-10", task_sha256="e" * 64, data_sha256="f" * 64)


def of_a_checkpoint_that_is_not_admitted(owls):
    add_step_40(owls)
    measure_on_test(owls, "run/checkpoint-40")


def of_an_average(owls):
    owls.edit("averages: []", 'averages: ["last:2"]')
    owls.average("last:2", loss=1.9, recall=0.5)
    owls.edit('averages: ["last:2"]', "averages: []")
    measure_on_test(owls, "averages/owl/last-2")


def of_what_was_released(owls):
    add_step_40(owls)
    measure_on_test(owls, "run/checkpoint-40")
    (owls.root / "releases").mkdir()
    (owls.root / "run" / "checkpoint-40").rename(owls.root / "releases" / "owl")


def of_the_same_weights_elsewhere(owls):
    copy = owls.root / "others" / "checkpoint-10"
    shutil.copytree(owls.root / "run" / "checkpoint-10", copy)
    measure_on_test(owls, "others/checkpoint-10")


TESTED = [
    of_a_checkpoint,
    of_other_settings_and_data,
    of_a_checkpoint_that_is_not_admitted,
    of_an_average,
    of_what_was_released,
    of_the_same_weights_elsewhere,
]


@pytest.mark.parametrize("tested", TESTED)
def test_test_evidence_older_than_the_policy_needs_a_reason(owls, tested):
    tested(owls)
    with pytest.raises(UserError) as caught:
        freeze(owls.project, "owl")
    said = str(caught.value)
    assert re.match(
        r"the policy of 'owl' is younger than test evidence: evidence/\w{16}/find\.json has "
        r"[\w-]+ on test\n  say why, and the card prints it: --reason",
        said,
    ), said
    assert not path_of(owls).exists()
    freeze(owls.project, "owl", reason="released before there was a ledger")
    assert look(owls)
    assert reasons(owls.project, "owl") == ["released before there was a ledger"]


def test_test_evidence_by_hand_is_told_at_the_next_change_of_the_policy(owls):
    freeze(owls.project, "owl")
    measure_on_test(owls, "run/checkpoint-10", "mlm")
    freeze(owls.project, "owl")
    # Not even by taking out of suite and policy what was looked at.
    owls.edit(LOSS, "")
    text = (owls.root / "registry.yaml").read_text()
    without = "".join(line for line in text.splitlines(True) if "name: mlm" not in line)
    (owls.root / "registry.yaml").write_text(without)
    with pytest.raises(UserError, match=r"\(guardrails, task mlm\) is younger .*/mlm\.json"):
        freeze(owls.project, "owl")


def test_the_references_test_evidence_and_that_of_other_runs_is_no_look(owls):
    measure_on_test(owls, "base")
    owls.checkpoint("other/checkpoint-10", 9)
    owls.measure("other/checkpoint-10", loss=1.9, recall=0.5)
    measure_on_test(owls, "other/checkpoint-10")
    (owls.root / "run" / "checkpoint-30").mkdir()  # half written: it cannot have been measured
    freeze(owls.project, "owl")
    owls.edit(*STRICTER)
    freeze(owls.project, "owl")
    assert kinds(owls) == ["freeze", "freeze"]


def test_a_reference_that_is_a_checkpoint_of_the_run_may_be_measured_on_test(owls):
    owls.edit("base: {weights: base}", "base: {weights: run/checkpoint-10}")
    measure_on_test(owls, "run/checkpoint-10")
    freeze(owls.project, "owl")
    assert kinds(owls) == ["freeze"]


@pytest.mark.parametrize(
    ("reason", "said"), [(" \n", "the reason is empty"), ("\udcff", "not UTF-8 text")]
)
def test_a_reason_has_to_say_something(owls, reason, said):
    freeze(owls.project, "owl")
    look(owls)
    owls.edit(*STRICTER)
    with pytest.raises(UserError, match=said):
        freeze(owls.project, "owl", reason=reason)
    assert len(lines(owls)) == 2


def three_lines(owls):
    freeze(owls.project, "owl")
    look(owls)
    look(owls, chosen="checkpoint-10", reason="an owl 🦉 said “so”")
    texts = path_of(owls).read_bytes().splitlines(keepends=True)
    assert len(texts) == 3
    return texts


def test_the_chain_can_be_checked_by_hand_as_the_documentation_says(owls):
    three_lines(owls)
    before = None
    for line in lines(owls):
        own = line.pop("sha256")
        assert line["previous"] == before
        assert own == sha256_json(line)
        before = own


def edited(line, **fields):
    content = json.loads(line) | fields
    return canonical_json(content).encode() + b"\n"


def edited_and_hashed_anew(line, **fields):
    content = json.loads(line) | fields
    del content["sha256"]
    return edited(canonical_json(content | {"sha256": sha256_json(content)}).encode())


def spaced(line):
    return json.dumps(json.loads(line), ensure_ascii=False).encode() + b"\n"


CHANGED, UNCHAINED = "was changed after it was written", "does not follow the line before it"


@pytest.mark.parametrize(
    ("spoil", "number", "said"),
    [
        (lambda a, b, c: [edited(a, time="2020-01-01T00:00:00Z"), b, c], 1, CHANGED),
        (lambda a, b, c: [a, edited(b, chosen="x"), c], 2, CHANGED),
        (lambda a, b, c: [a, b, edited(c, reason="I felt like it")], 3, CHANGED),
        (lambda a, b, c: [a, b, spaced(c)], 3, CHANGED),
        (lambda a, b, c: [a, edited_and_hashed_anew(b, chosen="x"), c], 3, UNCHAINED),
        (lambda a, b, c: [b, c], 1, UNCHAINED),
        (lambda a, b, c: [a, c], 2, UNCHAINED),
        (lambda a, b, c: [a, c, b], 2, UNCHAINED),
        (lambda a, b, c: [a, b, b, c], 3, UNCHAINED),
        (lambda a, b, c: [a, b"\n", b, c], 2, CHANGED),
        (lambda a, b, c: [a, b"\xff\n", b], 2, CHANGED),
        (lambda a, b, c: [a, b"[]\n"], 2, CHANGED),
        (lambda a, b, c: [a, b"[" * 100_000, b"\n"], 2, CHANGED),
        (lambda a, b, c: [a, b'{"x":"\\ud800"}\n'], 2, CHANGED),
        (lambda a, b, c: [a, b.replace(b"\n", b"\r\n")], 2, CHANGED),
        (lambda a, b, c: [a, b, c[: len(c) // 2]], 3, "is cut short"),
        (lambda a, b, c: [b""], 1, "is cut short"),
        (
            lambda a, b, c: [edited_and_hashed_anew(a, policy_sha256="0" * 64)],
            1,
            "names another policy than it holds",
        ),
        (
            lambda a, b, c: [a, edited_and_hashed_anew(b, kind="glance")],
            2,
            "no line that this mbrelease knows",
        ),
    ],
)
def test_a_ledger_that_another_hand_changed_is_refused_at_its_line(owls, spoil, number, said):
    path = path_of(owls)
    spoilt = b"".join(spoil(*three_lines(owls)))
    path.write_bytes(spoilt)
    with pytest.raises(UserError) as caught:
        freeze(owls.project, "owl", reason="let me")
    text = str(caught.value)
    assert text.startswith(f"{path}:{number}: ") and said in text
    assert len(text.splitlines()) == 2
    with pytest.raises(UserError, match=re.escape(f"{path}:{number}: ")):
        look(owls, reason="let me")
    assert path.read_bytes() == spoilt


def test_an_unreadable_ledger_is_a_sentence(owls):
    path_of(owls).mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot read .*owl\.ledger\.jsonl: Is a directory"):
        freeze(owls.project, "owl")


def test_a_last_line_without_its_line_break_is_whole_all_the_same(owls):
    three_lines(owls)
    path = path_of(owls)
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    look(owls, reason="back to the first")
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == kinds(owls)
    assert len(read_ledger(path).lines) == 4


FREEZE = """
import sys
from pathlib import Path
from mbrelease.registry.load import load_project
from mbrelease.selection.looks import freeze
freeze(load_project(Path(sys.argv[1])), "owl")
"""


def test_several_processes_at_once_write_every_line_once(owls):
    # Each another policy, and two of each.
    registries = []
    for number in range(2):
        path = owls.root / f"registry-{number}.yaml"
        text = (owls.root / "registry.yaml").read_text()
        path.write_text(text.replace("margin: 0.25", f"margin: 0.{number + 1}"))
        registries += [path, path]
    command = [sys.executable, "-c", FREEZE]
    running = [subprocess.Popen([*command, str(path)]) for path in registries]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0, 0]
    hashes = [line.event.policy_sha256 for line in read_ledger(path_of(owls)).lines]
    # The same two may alternate, but never does one follow itself.
    assert 2 <= len(hashes) <= 4 and len(set(hashes)) == 2
    assert all(one != after for one, after in pairwise(hashes))


FULL = """
import resource, signal, sys
from pathlib import Path
from mbrelease.errors import UserError
from mbrelease.registry.load import load_project
from mbrelease.selection.looks import freeze
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    freeze(load_project(Path(sys.argv[1])), "owl")
except UserError as error:
    print(error.message)
"""


def test_a_line_that_cannot_be_written_whole_is_not_written_at_all(owls):
    freeze(owls.project, "owl")
    before = path_of(owls).read_bytes()
    owls.edit(*STRICTER)
    # No file may grow beyond the half of the second line.
    limit = str(len(before) + len(before) // 2)
    registry = str(owls.root / "registry.yaml")
    done = subprocess.run(
        [sys.executable, "-c", FULL, registry, limit], capture_output=True, text=True
    )
    assert done.stdout.startswith(f"cannot write {path_of(owls)}"), done.stderr
    assert path_of(owls).read_bytes() == before
    assert {path.suffix for path in path_of(owls).parent.iterdir()} == {".jsonl", ".lock"}
    freeze(owls.project, "owl")
    assert kinds(owls) == ["freeze", "freeze"]


APPEND = """
import sys
from pathlib import Path
from mbrelease.selection.ledger import Look, append, appending
path = Path(sys.argv[1])
print("ready", flush=True)
for _ in range(int(sys.argv[2])):
    with appending(path) as ledger:
        append(path, ledger, Look(policy_sha256="a" * 64, chosen="x" * 5000, weights_sha256="b",
            reference="base", reference_weights_sha256="c", tasks=["mlm"]))
"""


def test_a_writer_that_is_killed_leaves_whole_lines(tmp_path):
    path, known = tmp_path / "owl.ledger.jsonl", 0
    for pause in (0.05, 0.1, 0.15):
        process = subprocess.Popen(
            [sys.executable, "-c", APPEND, str(path), "100000"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(pause)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found = len(read_ledger(path).lines)
        assert found >= known
        known = found
    assert known > 0


def test_writers_at_once_lose_no_line(tmp_path):
    path = tmp_path / "owl.ledger.jsonl"
    command = [sys.executable, "-c", APPEND, str(path), "40"]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert len(read_ledger(path).lines) == 120
