"""The release workflow's own steps, run in order, against a rehearsal Hub that knows OIDC."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi
from issuer import REQUEST_TOKEN, Issuer
from runner import BIN, Done, Runner, evaluate, read_workflow
from safetensors.numpy import save_file

from mbrelease.cli.main import main

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
BASE_INSTALL = Path(__file__).parent / "base_install"
ACTION = ROOT / "action.yml"
CI = ROOT / ".github" / "workflows" / "ci.yml"
SIGNED = {"MBRELEASE_SIGN": "true"}
REPO, WEIGHTS = "owls/owl", "owls/weights"
OWNER = "hf_owner"
JOB = {
    "repository": "acme/training",
    "workflow": "Release",
    "sub": "repo:acme/training:environment:release",
}
REGISTRY = """\
version: 1
family: Owls
defaults: {license: apache-2.0, languages: [en]}
variants:
  owl:
    repo: owls/owl
    weights: releases/owl
    card: {title: Owl, summary: A small model., intended_use: [Trying out a workflow.]}
"""
PLANNED = Done(True, {"variants": "owl", "tag": "v1.0", "comment": ""}, "", "")

Make = Callable[..., Runner]


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=owl", "-c", "user.email=owl@localhost", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


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


@pytest.fixture(scope="module")
def repository(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a maintainer has on GitHub: registry, and a release without its weights."""
    root = tmp_path_factory.mktemp("repository")
    (root / "registry.yaml").write_text(REGISTRY)
    (root / ".gitignore").write_text("*.safetensors\n")
    pin = f"huggingface-hub=={metadata.version('huggingface-hub')}\n"
    (root / ".github").mkdir()
    (root / ".github" / "mbrelease-constraints.txt").write_text(pin)
    git(root, "init")
    git(root, "add", ".")
    git(root, "commit", "-m", "The family")
    folder = root / "releases" / "owl"
    shutil.copytree(released, folder)
    readme = str(folder / "README.md")
    assert main(["card", "owl", "-o", readme, "--registry", str(root / "registry.yaml")]) == 0
    (folder / "model.safetensors").rename(root.parent / "model.safetensors")
    git(root, "add", ".")
    git(root, "commit", "-m", "Release owl")
    return root


@pytest.fixture(scope="module")
def weights(repository: Path) -> Path:
    return repository.parent / "model.safetensors"


@pytest.fixture(scope="module")
def owner(hub_url: str, weights: Path, trust) -> HfApi:
    """The account of the maintainer, who has set everything up by hand."""
    api = HfApi(endpoint=hub_url, token=OWNER)
    api.create_repo(REPO)
    trust(REPO, repository="acme/training", environment="release")
    api.create_repo(WEIGHTS, private=True)
    api.upload_file(path_or_fileobj=weights, path_in_repo="owl/model.safetensors", repo_id=WEIGHTS)
    trust(WEIGHTS, read_only=True, repository="acme/training")
    return api


@pytest.fixture
def make(repository: Path, owner: HfApi, hub_url: str, issuer: Issuer, tmp_path: Path) -> Make:
    """A runner with a fresh checkout."""

    def runner(ref_type: str, ref_name: str, *, fork: bool = False, **fields) -> Runner:
        checkout = tmp_path / "checkout"
        if not checkout.exists():
            shutil.copytree(repository, checkout)
        asked = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": issuer.request_url,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        }
        event = {"repository": {"fork": False}}
        if ref_type == "branch":
            event["pull_request"] = {"head": {"repo": {"fork": fork}}}
        else:
            event["repository"] = {"fork": fork}
        return Runner(
            read_workflow(WORKFLOW),
            checkout,
            tmp_path / "runner",
            # The public Hub is the rehearsal one, and there is no index to install from.
            {"HF_ENDPOINT": hub_url, "PIP_NO_INDEX": "1", "PYTHONPATH": str(BASE_INSTALL)},
            event,
            ref_type,
            ref_name,
            id_token={} if fork else asked,
            **{"variables": {"MBRELEASE_WEIGHTS": WEIGHTS}, **fields},
        )

    return runner


def run(runner: Runner, issuer: Issuer, name: str) -> Done | None:
    """A job, and what GitHub says of it to the Hub."""
    job = runner.workflow["jobs"][name]
    issuer.claims = {**JOB, "ref": f"refs/{runner.ref_type}s/{runner.ref_name}"}
    if "environment" in job:
        issuer.claims["environment"] = "release"
    return runner.run(name)


def commits(owner: HfApi, repo_id: str = REPO) -> list[str]:
    return [commit.title for commit in owner.list_repo_commits(repo_id)]


def test_a_pull_request_shows_the_plan_and_sends_nothing(make: Make, issuer, owner):
    runner = make("branch", "7/merge")
    done = run(runner, issuer, "plan")
    assert done is not None and done.succeeded, done
    assert done.outputs["variants"].split() == ["owl"]
    assert done.outputs["tag"] == ""
    comment = done.outputs["comment"]
    assert comment in done.summary
    assert f"`{REPO}`" in comment
    assert "**Ready:** " in comment
    assert "`model.safetensors`" in comment
    assert "Rehearse the push" not in done.steps
    assert run(runner, issuer, "release") is None
    assert commits(owner) == ["initial commit"]
    assert (runner.checkout / "release-plan" / "comment.md").read_text().strip() == comment.strip()


def test_a_card_that_does_not_match_its_records_stops_the_pull_request(make: Make, issuer, owner):
    runner = make("branch", "7/merge")
    readme = runner.checkout / "releases" / "owl" / "README.md"
    text = readme.read_text()
    other = re.sub(r"(\| Layers +\| +)3", r"\g<1>4", text)
    assert other != text
    readme.write_text(other)
    done = run(runner, issuer, "plan")
    assert done is not None and not done.succeeded
    assert "write it anew: mbrelease card owl" in done.log
    assert "Plan the push" not in done.steps
    assert commits(owner) == ["initial commit"]


def test_a_pull_request_without_a_release_has_nothing_to_plan(make: Make, issuer):
    runner = make("branch", "8/merge")
    (runner.checkout / "registry.yaml").write_text(REGISTRY.replace("A small", "A very small"))
    git(runner.checkout, "commit", "-am", "Words")
    done = run(runner, issuer, "plan")
    assert done is not None and done.succeeded, done.log
    assert done.outputs["comment"] == "No release changes."


def test_other_weights_than_the_card_speaks_of_are_not_planned(make: Make, issuer, weights):
    def artifact(checkout: Path) -> None:
        tensors = {"model.embeddings.tok_embeddings.weight": np.zeros((32, 8), np.float32)}
        save_file(tensors, checkout / "releases" / "owl" / "model.safetensors")

    runner = make(
        "branch",
        "7/merge",
        inputs={"weights-artifact": "built"},
        variables={},
        actions={"actions/download-artifact": artifact},
    )
    done = run(runner, issuer, "plan")
    assert done is not None and not done.succeeded
    assert "Fetch the weights from an artifact" in done.steps
    assert "Fetch the weights from the Hub" not in done.steps


def test_weights_that_are_not_there_are_named(make: Make, issuer):
    runner = make("branch", "7/merge", inputs={"variant": "snowy"})
    done = run(runner, issuer, "plan")
    assert done is not None and not done.succeeded
    assert f"::error::{WEIGHTS} holds no snowy/*.safetensors" in done.log
    assert done.steps[-2:] == ["Fetch the weights from the Hub", "Keep the plan"]


def test_an_unapproved_job_gets_no_token(make: Make, issuer, owner):
    """The publisher names the environment: a job outside it is not the release."""
    runner = make("tag", "owl/v1.0")
    runner.jobs["plan"] = PLANNED
    issuer.claims = dict(JOB)
    done = runner.run("release")
    assert done is not None and not done.succeeded
    assert f"no token for this job: {REPO} does not trust it" in done.log
    assert "Traceback" not in done.log
    assert commits(owner) == ["initial commit"]
    assert not owner.list_repo_refs(REPO).tags


def test_a_tag_releases_and_leaves_a_receipt(make: Make, issuer, owner, weights, hub_url):
    runner = make("tag", "owl/v1.0")
    planned = run(runner, issuer, "plan")
    assert planned is not None and planned.succeeded, planned.log
    assert planned.outputs["tag"] == "v1.0"
    # The second job has a machine of its own.
    shutil.rmtree(runner.checkout)
    shutil.rmtree(runner.temporary)
    runner.checkout = make("tag", "owl/v1.0").checkout
    done = run(runner, issuer, "release")
    assert done is not None and done.succeeded, done.log

    (tag,) = owner.list_repo_refs(REPO).tags
    assert tag.name == "v1.0"
    assert commits(owner) == ["Release v1.0", "initial commit"]
    assert tag.target_commit == owner.model_info(REPO).sha
    there = owner.hf_hub_download(REPO, "model.safetensors", local_dir=runner.temporary / "copy")
    assert Path(there).read_bytes() == weights.read_bytes()
    (receipt,) = (runner.checkout / "receipts").rglob("*.json")
    told = json.loads(receipt.read_text())
    assert (told["commit"], told["tag"]) == (tag.target_commit, "v1.0")
    assert "is as published" in done.summary
    assert done.steps[-1] == "Keep the receipt and the card"
    everything = done.log + done.summary + receipt.read_text()
    assert not re.search(r"hf_jwt_|eyJ|of-this-run", everything)
    assert issuer.audiences[-1] == hub_url

    again = run(runner, issuer, "release")
    assert again is not None and again.succeeded, again.log
    assert len(commits(owner)) == 2


@pytest.fixture
def published(owner: HfApi, weights: Path) -> None:
    """The weights are on the Hub for everybody, as the test before leaves them."""
    if not owner.file_exists(REPO, weights.name):
        owner.upload_file(path_or_fileobj=weights, path_in_repo=weights.name, repo_id=REPO)


@pytest.mark.usefixtures("published")
def test_a_fork_rehearses_on_the_runner_and_touches_no_hub(make: Make, issuer, owner):
    """Its weights are the published ones."""
    before = commits(owner)
    runner = make("branch", "9/merge", fork=True)
    readme = runner.checkout / "releases" / "owl" / "README.md"
    readme.write_text(readme.read_text() + "\nA stranger's sentence.\n")
    asked = len(issuer.audiences)
    done = run(runner, issuer, "plan")
    assert done is not None and done.succeeded, done.log
    assert "Fetch the published weights" in done.steps
    assert "Fetch the weights from the Hub" not in done.steps
    assert "Rehearsed on the runner: **owl**" in done.summary
    assert "**Ready:** " in done.outputs["comment"]
    assert run(runner, issuer, "release") is None
    assert commits(owner) == before
    assert len(issuer.audiences) == asked


@pytest.mark.parametrize(
    ("ref_type", "fork", "releases"),
    [("tag", False, True), ("tag", True, False), ("branch", False, False), ("branch", True, False)],
)
def test_only_a_tag_of_the_repository_itself_releases(make: Make, ref_type, fork, releases):
    runner = make(ref_type, "owl/v1.0", fork=fork)
    runner.workflow["jobs"]["release"]["steps"] = []
    runner.jobs["plan"] = PLANNED
    assert (runner.run("release") is not None) is releases
    runner.jobs["plan"] = replace(PLANNED, succeeded=False)
    assert runner.run("release") is None


@pytest.mark.parametrize("path", [WORKFLOW, ACTION, CI], ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_says_of_which_version(path: Path):
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    for line in used:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_a_job_has_the_rights_that_it_names_and_no_secret():
    workflow = read_workflow(WORKFLOW)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read", "id-token": "write"}
        assert job["timeout-minutes"]
        for step in job["steps"]:
            # What others wrote comes to a script as a variable, never as a part of it.
            assert "${{" not in step.get("run", "")
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False
    assert workflow["jobs"]["release"]["environment"]
    assert not re.search(r"\{\{[^}]*secrets", WORKFLOW.read_text())
    assert {"pull_request", "push", "workflow_call"} == set(workflow["on"])


def test_the_checks_of_this_repository_run_on_every_change_and_may_only_read():
    workflow = read_workflow(CI)
    assert workflow["permissions"] == {}
    assert workflow["on"] == {"pull_request": None, "push": {"branches": ["main"]}}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"contents": "read"} and job["timeout-minutes"]
    assert job["steps"][0]["with"] == {"persist-credentials": False}
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    supported = re.findall(r'Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert job["strategy"]["matrix"]["python"] == [supported[0], supported[-1]]


def test_the_workflow_installs_this_version_unless_told_otherwise():
    from mbrelease import __version__

    assert f"'mbrelease=={__version__}'" in WORKFLOW.read_text()


def test_the_expressions_of_the_workflow_are_read_as_github_does():
    contexts = {"env": {"FORK": "true"}, "inputs": {"lfs": False}, "github": {"ref_type": "tag"}}
    assert evaluate("env.FORK == 'true' && inputs.weights-artifact == '' && !inputs.lfs", contexts)
    assert not evaluate("github.ref_type == 'branch' || inputs.lfs", contexts)
    assert evaluate("vars.NAME || 'this one'", contexts) == "this one"


def test_a_signed_release_carries_a_signature_that_holds(
    make: Make, issuer, owner, weights, tmp_path, monkeypatch, capsys
):
    """The step as it stands; in the place of the job's identity, which Sigstore would have to
    certify over the network, a key signs."""
    private, public = write_key(tmp_path)
    shim = tmp_path / "bin" / "mbrelease"
    shim.parent.mkdir()
    shim.write_text(
        f'#!/bin/bash\nexec "{BIN}/mbrelease" "${{@/#--sign-keyless/--sign-key={private}}}"\n'
    )
    shim.chmod(0o755)
    runner = make("tag", "owl/v1.1", variables={"MBRELEASE_WEIGHTS": WEIGHTS, **SIGNED})
    runner.environment["PATH"] = f"{shim.parent}:{BIN}:{os.environ['PATH']}"
    runner.jobs["plan"] = replace(PLANNED, outputs={**PLANNED.outputs, "tag": "v1.1"})
    done = run(runner, issuer, "release")
    assert done is not None and done.succeeded, done.log
    assert commits(owner)[0] == "Release v1.1"
    assert "signed  by the key " in done.log
    assert owner.file_exists(REPO, "model.sig", revision="v1.1")
    assert not list(runner.checkout.rglob("key*")), "the key is nowhere beside what is kept"
    monkeypatch.chdir(runner.checkout)
    monkeypatch.setenv("HF_ENDPOINT", owner.endpoint)
    for call in (["push", "--status", REPO], ["pull-check", f"{REPO}@v1.1"]):
        assert main([*call, "--public-key", str(public)]) == 0, capsys.readouterr().err


def test_where_sigstore_cannot_be_reached_nothing_is_sent(make: Make, issuer, owner, tmp_path):
    """The step with the job's identity goes as far as it can without the network."""
    before = commits(owner)
    runner = make("tag", "owl/v1.2", variables={"MBRELEASE_WEIGHTS": WEIGHTS, **SIGNED})
    readme = runner.checkout / "releases" / "owl" / "README.md"
    readme.write_text(readme.read_text() + "\nOne more sentence.\n")
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    runner.environment |= nowhere | {
        "XDG_DATA_HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
    }
    runner.jobs["plan"] = replace(PLANNED, outputs={**PLANNED.outputs, "tag": "v1.2"})
    done = run(runner, issuer, "release")
    assert done is not None and not done.succeeded
    assert "Sigstore could not be asked" in done.log
    assert "Traceback" not in done.log
    assert "sigstore" in issuer.audiences
    assert commits(owner) == before
    assert "v1.2" not in {tag.name for tag in owner.list_repo_refs(REPO).tags}


@pytest.mark.skip(
    reason="Sigstore certifies identities of GitHub over the network: no test asks it"
)
def test_a_release_that_is_signed_with_the_identity_of_the_job():
    """As the two before, with `--sign-keyless` and nothing in its place."""
