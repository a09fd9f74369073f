"""The whole corridor on tiny models: run → evidence → decision → release → Hub."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.cli.main import main
from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.comparable import is_of
from mbrelease.evaluation.evidence import read_records
from mbrelease.hub.plan import make_plan
from mbrelease.hub.receipt import read_receipt, receipt_path
from mbrelease.hub.rehearsal.server import running
from mbrelease.pipeline import STEPS, Destination, release_variant
from mbrelease.registry.load import load_project
from mbrelease.selection.decision import read_decision
from mbrelease.selection.ledger import Look, ledger_path, read_ledger

TOKEN = "hf_" + "Rehearsal" * 4
SENTENCE = "the other owl found a mouse in the old barn while it rained all over there"
WORDS = SENTENCE.split()
REGISTRY = """\
version: 1
family: Owls
defaults: {license: apache-2.0, languages: [en]}
suites:
  owls:
    - {name: mlm, type: mlm, data: {dev: dev.jsonl, test: test.jsonl}, max_length: 64}
    - {name: find, type: retrieval, data: {dev: dev.jsonl, test: test.jsonl}, max_length: 64}
policies:
  owls: {primary: mlm/loss, guardrails: [{metric: find/mrr, margin: 1.0}], reference: base}
variants:
  base: {repo: owls/base, run: base}
  owl:
    repo: owls/owl
    parents: [{variant: base, relation: continued-pretraining}]
    run: run
    suite: owls
    policy: owls
    candidates: {averages: ["last:2", "best:1+last"]}
"""


@pytest.fixture(scope="module")
def made(saved_by_5x: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a base and a run of three checkpoints, each nearer to a better head."""
    root = tmp_path_factory.mktemp("owls")
    (root / "registry.yaml").write_text(REGISTRY)
    for split, shift in (("dev", 0), ("test", 5)):
        rows = [
            {"id": f"{split}{n}", "title": " ".join(WORDS[(n + shift) % 9 :]),
             "text": " ".join(WORDS[: 5 + n % 11]) + f" {n}"}
            for n in range(30)
        ]  # fmt: skip
        (root / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(saved_by_5x, root / "base" / "checkpoint-1")
    tensors = load_file(saved_by_5x / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    for step, scale in ((10, 0.6), (20, 0.2), (30, 0.3)):
        folder = root / "run" / f"checkpoint-{step}"
        shutil.copytree(saved_by_5x, folder)
        # A flatter head loses less on random text, so "training" improves and then turns.
        noise = {name: torch.randn(t.shape, generator=generator) for name, t in tensors.items()}
        changed = {name: t * scale + 0.01 * noise[name] for name, t in tensors.items()}
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "training_args.bin").write_bytes(b"never opened")
        state = {"global_step": step, "max_steps": 30, "log_history": []}
        (folder / "trainer_state.json").write_text(json.dumps(state))
    return root


@pytest.fixture(scope="module")
def printed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the code of the card prints: run once, for each block starts a Python with torch."""
    root = tmp_path_factory.mktemp("printed") / "project"
    shutil.copytree(made, root)
    release(root)
    return root / "evidence" / "snippets"


@pytest.fixture
def owls(made: Path, printed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    shutil.copytree(made, root)
    shutil.copytree(printed, root / "evidence" / "snippets")
    monkeypatch.chdir(root)
    return root


def release(root: Path, **options):
    return release_variant(load_project(root / "registry.yaml"), "owl", **options)


def changed(release) -> list[str]:
    return [step.name for step in release.steps if step.changed]


def test_a_run_becomes_a_release_on_a_hub_and_a_second_run_does_nothing(owls, tmp_path):
    from huggingface_hub import HfApi, snapshot_download

    with running(tmp_path / "hub") as url:
        destination = Destination(HfApi(endpoint=url, token=TOKEN), "owls/owl", tag="v1")
        first = release(owls, destination=destination)
        assert [step.name for step in first.steps] == list(STEPS)
        assert changed(first) == list(STEPS)
        again = release(owls, destination=destination)
        assert changed(again) == []
        assert again.receipt.commit == first.receipt.commit
        copy = Path(snapshot_download("owls/owl", endpoint=url, local_dir=tmp_path / "copy"))
    folder = owls / "releases" / "owl"
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert {"README.md", "card.lock.json"} < {file.name for file in files}
    for file in files:
        assert (copy / file.relative_to(folder)).read_bytes() == file.read_bytes()
    assert not list(copy.rglob("*.bin"))
    chosen = first.decision.chosen_candidate
    assert open_checkpoint(copy).weights_sha256 == chosen.weights_sha256
    receipt = read_receipt(receipt_path(owls / "receipts", "owls/owl", first.receipt.commit))
    assert receipt.files["model.safetensors"].sha256 == chosen.weights_sha256


def test_test_data_are_read_for_the_chosen_and_the_reference_alone(owls):
    done = release(owls)
    measured = {
        path.parent.name
        for path in (owls / "evidence").glob("*/mlm.json")
        if "test" in json.loads(path.read_text())["scores"]
    }
    base = open_checkpoint(owls / "base" / "checkpoint-1").weights_sha256
    assert measured == {base[:16], done.decision.chosen_candidate.weights_sha256[:16]}


def ledger(root: Path):
    return read_ledger(ledger_path(load_project(root / "registry.yaml"), "owl"))


def change_policy(root: Path) -> None:
    text = (root / "registry.yaml").read_text()
    (root / "registry.yaml").write_text(text.replace("margin: 1.0", "margin: 0.9"))


def test_a_policy_that_changes_after_the_look_at_test_needs_a_reason_that_the_card_prints(
    owls, capsys
):
    first = release(owls)
    assert "The test split was looked at once." in (first.folder / "README.md").read_text()
    change_policy(owls)
    assert main(["release", "owl"]) == 2
    error = capsys.readouterr().err
    assert "policy of 'owl' (guardrails) changed after the test split was looked at" in error
    assert '--reason "…"' in error
    given = "a *narrower* margin\n# <b>was</b> | agreed on"
    assert main(["release", "owl", "--reason", given]) == 0
    reason = "a \\*narrower\\* margin # &lt;b>was&lt;/b> \\| agreed on"
    card = (owls / "releases" / "owl" / "README.md").read_text()
    assert "The test split was looked at twice." in card and f"\n- {reason}\n" in card
    decision = read_decision(owls / "decisions" / "owl.json")
    assert decision.reasons_for_second_looks == [given]
    assert [line.event.kind for line in ledger(owls).lines] == ["freeze", "look"] * 2
    assert changed(release(owls)) == []
    assert changed(release(owls, reason="not asked for")) == []


def test_another_winner_after_the_look_at_test_needs_a_reason(owls):
    first = release(owls).decision.chosen_candidate
    shutil.rmtree(owls / first.path)
    before = [line.event.kind for line in ledger(owls).lines]
    with pytest.raises(UserError, match=f"was looked at for {re.escape(first.name)} against base"):
        release(owls)
    assert [line.event.kind for line in ledger(owls).lines] == before
    tested = [p for p in (owls / "evidence").glob("*/mlm.json") if '"test": [' in p.read_text()]
    assert len(tested) == 2  # the base and the first winner
    done = release(owls, reason="the disk with the first one broke")
    assert done.decision.chosen != first.name
    assert done.decision.reasons_for_second_looks == ["the disk with the first one broke"]
    assert changed(release(owls)) == []


def test_a_look_is_written_down_before_anything_is_measured(owls):
    def spoil(step):
        if step.name == "select":
            (owls / "test.jsonl").write_text('{"id": "a"}\n')

    with pytest.raises(UserError):
        release(owls, on_step=spoil)
    decision = read_decision(owls / "decisions" / "owl.json")
    [_, line] = ledger(owls).lines
    assert isinstance(line.event, Look)
    assert line.event.weights_sha256 == decision.chosen_candidate.weights_sha256
    assert line.event.tasks == ["find", "mlm"]


def test_test_evidence_made_by_hand_before_the_first_choice_is_told(owls, capsys):
    assert main(["eval", "owl", "--split", "test"]) == 0
    assert main(["release", "owl"]) == 2
    assert "the policy of 'owl' is younger than test evidence" in capsys.readouterr().err
    assert not (owls / "releases").exists()


def test_a_changed_input_is_followed_downstream_and_no_further(owls):
    release(owls)
    text = (owls / "registry.yaml").read_text()
    (owls / "registry.yaml").write_text(text + "    card: {summary: An owl.}\n")
    assert changed(release(owls)) == ["card"]
    (owls / "releases" / "owl" / "config.json").write_text("{}")
    assert changed(release(owls)) == ["assemble"]
    shutil.rmtree(owls / "run" / "checkpoint-30")
    assert {"average", "select"} <= set(changed(release(owls)))


def test_a_release_that_was_killed_goes_on_and_ends_with_the_same_bytes(owls, tmp_path):
    whole = tmp_path / "whole"
    shutil.copytree(owls, whole)
    release(whole)
    command = [sys.executable, "-m", "mbrelease.cli.main", "release", "owl"]
    for evidence in (3, 6, 10):
        process = subprocess.Popen(command, cwd=owls, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if len(list((owls / "evidence").glob("*/*.json"))) >= evidence:
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.02)
        process.wait()
    release(owls)
    made = whole / "releases" / "owl"
    for file in made.rglob("*"):
        if file.is_file():
            again = owls / "releases" / "owl" / file.relative_to(made)
            assert again.read_bytes() == file.read_bytes(), file.name
    one = (owls / "decisions" / "owl.json").read_text()
    assert one == (whole / "decisions" / "owl.json").read_text()


def test_what_a_maintainer_put_into_the_release_stays_and_old_weights_do_not(owls):
    release(owls)
    folder = owls / "releases" / "owl"
    (folder / "LICENSE").write_text("mine")
    (folder / "figures" / "curve.svg").write_text("<svg/>")
    assert changed(release(owls)) == ["verify"]
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"of another release")
    assert "assemble" in changed(release(owls))
    names = {path.name for path in folder.iterdir()}
    assert {"LICENSE", "figures", "README.md", "model.safetensors"} <= names
    assert "model-00001-of-00002.safetensors" not in names
    assert (folder / "figures" / "curve.svg").read_text() == "<svg/>"


def test_the_card_shows_what_was_measured_with_the_config_of_today(owls):
    for window in (8, 4, 6):
        for path in owls.glob("*/checkpoint-*/config.json"):
            content = json.loads(path.read_text()) | {"local_attention": window}
            path.write_text(json.dumps(content))
        done = release(owls)
        checkpoint = open_checkpoint(owls / "releases" / "owl")
        found = read_records(owls / "evidence", checkpoint.weights_sha256, "mlm")
        [record] = [r for r in found if r.split == "test" and is_of(r, checkpoint)]
        card = (done.folder / "README.md").read_text()
        row = next(
            line for line in card.splitlines() if line.startswith("| mlm") and "loss" in line
        )
        assert f"{record.metrics['loss']:.4f}" in row


def test_two_releases_at_once_wait_for_each_other(owls):
    command = [sys.executable, "-m", "mbrelease.cli.main", "release", "owl", "--json"]
    both = [
        subprocess.Popen(command, cwd=owls, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    answers = []
    for process in both:
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error.decode()
        answers.append([step["changed"] for step in json.loads(out)["steps"]])
    assert sorted(map(any, answers)) == [False, True]


def test_what_would_stop_a_later_step_is_told_before_anything_is_measured(owls):
    (owls / "test.jsonl").rename(owls / "tset.jsonl")
    with pytest.raises(UserError, match=r"test\.jsonl does not exist"):
        release(owls)
    (owls / "tset.jsonl").rename(owls / "test.jsonl")
    text = (owls / "registry.yaml").read_text()
    (owls / "registry.yaml").write_text(text.replace("last:2", "last:20"))
    with pytest.raises(UserError, match="needs 20 checkpoints, and there are 3"):
        release(owls)
    assert not list((owls / "evidence").glob("*/mlm.json"))


def test_a_release_of_other_weights_than_were_chosen_is_not_pushed(owls, tmp_path, capsys):
    from huggingface_hub import HfApi

    release(owls)
    folder = owls / "releases" / "owl"
    decision = owls / "decisions" / "owl.json"
    content = json.loads(decision.read_text())
    other = next(c for c in content["candidates"] if c["name"] != content["chosen"])
    decision.write_text(json.dumps(content | {"chosen": other["name"]}))
    assert main(["push", "owl", "--plan"]) == 1
    assert "holds other weights than owl.json chose" in capsys.readouterr().err
    assert main(["card", "owl", "-o", str(folder / "README.md")]) == 0
    with running(tmp_path / "hub") as url:
        plan = make_plan(folder, "owls/owl", api=HfApi(endpoint=url, token=TOKEN))
    assert "README.md was written for the weights" in str(plan.problems[0])


def test_a_half_written_checkpoint_that_nobody_asked_for_stops_nothing(owls):
    (owls / "run" / "checkpoint-40").mkdir()
    text = (owls / "registry.yaml").read_text()
    text = text.replace("candidates: {", "candidates: {checkpoints: [10, 20, 30], ")
    (owls / "registry.yaml").write_text(text)
    assert release(owls).decision is not None


def test_a_variant_of_one_checkpoint_is_released_without_a_policy(owls):
    done = release_variant(load_project(owls / "registry.yaml"), "base")
    assert [step.name for step in done.steps] == ["assemble", "verify", "card"]
    assert done.decision is None
    weights = open_checkpoint(owls / "base" / "checkpoint-1").weights_sha256
    assert open_checkpoint(owls / "releases" / "base").weights_sha256 == weights


def test_a_release_is_pushed_with_a_signature_and_a_second_run_does_nothing(
    owls, tmp_path, monkeypatch, capsys
):
    key, public = write_key(tmp_path)
    with running(tmp_path / "hub") as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        call = ["release", "base", "--push", "--sign-key", str(key), "--json"]
        receipts = []
        for changes in (True, False):
            capsys.readouterr()
            assert main(call) == 0
            told = json.loads(capsys.readouterr().out)
            receipts.append(told["receipt"])
            steps = {step["name"]: step["changed"] for step in told["steps"]}
            assert steps["push"] is changes, told
        assert receipts[0] == receipts[1] and "model.sig" in receipts[0]["files"]
        assert main(["push", "--status", "owls/base", "--public-key", str(public)]) == 0
        assert "signed by the key" in capsys.readouterr().out
    assert main(["release", "base", "--sign-key", str(key)]) == 2
    assert "give --push too" in capsys.readouterr().err


def write_key(folder: Path) -> tuple[Path, Path]:
    """A new private key and its public half."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / "key.pem", folder / "key.pub"
    pkcs8, nothing = form.PrivateFormat.PKCS8, form.NoEncryption()
    private.write_bytes(key.private_bytes(form.Encoding.PEM, pkcs8, nothing))
    spki = form.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(form.Encoding.PEM, spki))
    return private, public


def test_a_parent_that_changed_is_checked_against_again(owls):
    release(owls)
    path = owls / "base" / "checkpoint-1" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["zz"] = 280
    path.write_text(json.dumps(content))
    with pytest.raises(CheckFailed, match="the release of 'owl' fails"):
        release(owls)


def test_weights_that_changed_after_the_decision_are_not_released(owls):
    release(owls)

    def spoil(step):
        if step.name == "select":
            decision = read_decision(owls / "decisions" / "owl.json")
            chosen = owls / decision.chosen_candidate.path / "model.safetensors"
            shutil.copy(owls / "base" / "checkpoint-1" / "model.safetensors", chosen)

    with pytest.raises(UserError, match="is not what was chosen: its weights have changed"):
        release(owls, on_step=spoil)


def test_the_files_that_steps_leave_may_be_spoilt(owls):
    release(owls)
    (owls / ".mbrelease" / "verified" / "owl.json").write_text("[]")
    (owls / "releases" / "owl" / "card.lock.json").write_text("[]")
    assert changed(release(owls)) == ["verify", "card"]
    # What may be the maintainer's is not thrown away.
    readme = owls / "releases" / "owl" / "README.md"
    readme.write_bytes(b"\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        release(owls)
    readme.unlink()
    assert changed(release(owls)) == ["card"]


def test_nothing_chosen_stops_before_anything_is_released(owls):
    text = (owls / "registry.yaml").read_text()
    text = text.replace("primary: mlm/loss", "primary: find/recall@1")
    text = text.replace("{metric: find/mrr, margin: 1.0}", "{metric: mlm/loss, margin: 0}")
    text = text.replace("reference: base", "reference: best")
    best = "  best: {weights: run/checkpoint-20}\n"
    (owls / "registry.yaml").write_text(text + best)
    with pytest.raises(CheckFailed, match="nothing to release for 'owl'"):
        release(owls)
    assert not (owls / "releases").exists()


def test_a_failed_check_stops_before_the_card(owls):
    # A base of another vocabulary: the release cannot be its continued pretraining.
    path = owls / "base" / "checkpoint-1" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["zz"] = 280
    path.write_text(json.dumps(content))
    with pytest.raises(CheckFailed, match=r"the release of 'owl' fails 1 checks") as caught:
        release(owls)
    assert "mbrelease verify" in str(caught.value)
    assert not (owls / "releases" / "owl" / "README.md").exists()


def spoil_no_checkpoints(root):
    shutil.rmtree(root / "run")
    (root / "run").mkdir()


def spoil_truncated(root):
    path = root / "run" / "checkpoint-20" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def spoil_wrong_key(root):
    text = (root / "registry.yaml").read_text()
    (root / "registry.yaml").write_text(text.replace("run: run", "runs: run"))


def spoil_lost_parent(root):
    text = (root / "registry.yaml").read_text()
    (root / "registry.yaml").write_text(text.replace("variant: base", "variant: bass"))


def spoil_cycle(root):
    text = (root / "registry.yaml").read_text()
    line = "base: {repo: owls/base, run: base}"
    looped = line[:-1] + ", parents: [{variant: owl, relation: averaging}]}"
    (root / "registry.yaml").write_text(text.replace(line, looped))


def spoil_data(root):
    (root / "dev.jsonl").write_text('{"id": "a", "title": "x"\n')


def spoil_recipe(root):
    text = (root / "registry.yaml").read_text()
    (root / "registry.yaml").write_text(text.replace("last:2", "lats:2"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_no_checkpoints, "no checkpoints in"),
        (spoil_truncated, "checkpoint-20/model.safetensors is not a whole safetensors file"),
        (spoil_wrong_key, "did you mean 'run'?"),
        (spoil_lost_parent, "did you mean 'base'?"),
        (spoil_cycle, "cycle"),
        (spoil_data, "dev.jsonl:1:"),
        (spoil_recipe, "did you mean 'last:2'?"),
    ],
)
def test_bad_input_is_one_or_two_lines_and_leaves_no_release(owls, capsys, spoil, said):
    spoil(owls)
    assert main(["release", "owl"]) == 2
    error = capsys.readouterr().err
    told = error[error.index("error:") :].strip().splitlines()
    assert said in "\n".join(told)
    sentences = [line for line in told if not line.startswith("  | ")]  # the line, and a caret
    assert len(sentences) <= 2 and "Traceback" not in error
    assert not (owls / "releases").exists() and not (owls / "decisions").exists()


def test_an_unknown_variant_is_told_the_nearest(owls, capsys):
    assert main(["release", "owll"]) == 2
    assert "did you mean 'owl'?" in capsys.readouterr().err


def test_the_command_says_each_step_on_stderr_and_the_folder_on_stdout(owls, capsys):
    assert main(["release", "owl"]) == 0
    out = capsys.readouterr()
    assert out.out.strip() == str(owls / "releases" / "owl")
    assert [line.split()[0] for line in out.err.splitlines() if " done " in line] == list(
        STEPS[:-1]
    )
    assert main(["release", "owl", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert not any(step["changed"] for step in answer["steps"])


def test_a_release_of_its_own_release_folder_is_refused(owls):
    text = (owls / "registry.yaml").read_text()
    text = text.replace("base: {repo: owls/base, run: base}", "base: {weights: releases/base}")
    (owls / "registry.yaml").write_text(text)
    shutil.copytree(owls / "base" / "checkpoint-1", owls / "releases" / "base")
    with pytest.raises(UserError, match="nothing to release but its own release folder"):
        release_variant(load_project(owls / "registry.yaml"), "base")
