"""A plan tells everything that stands in the way, at once, and sends nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub.client import connect, sentence
from mbrelease.hub.plan import Plan, make_plan
from mbrelease.hub.publish import publish

REPO = "rehearsal/tiny"


def problems(plan: Plan) -> str:
    return "\n".join(str(problem) for problem in plan.problems)


def test_a_clean_plan_lists_what_would_be_sent_and_sends_nothing(
    proxy, cut_api: HfApi, release: Path
) -> None:
    plan = make_plan(release, REPO, api=cut_api)
    assert plan.is_clean
    assert plan.head is None and not plan.repo_exists
    assert plan.user == "rehearsal"
    assert "model.safetensors" in plan.added and ".eval_results/dev.yaml" in plan.added
    assert plan.bytes_to_send == sum(p.stat().st_size for p in release.rglob("*") if p.is_file())
    assert [path for method, path, _ in proxy.log if method != "GET"] == ["/api/validate-yaml"]
    assert plan.as_json()["clean"] is True


def test_every_problem_is_told_at_once(api: HfApi, release: Path, tmp_path: Path) -> None:
    publish(make_plan(release, REPO, tag="v1", api=api), api=api, receipts=tmp_path / "receipts")
    (release / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    (release / "training_args.bin").write_bytes(b"\x80\x02.")
    (release / "optimizer.pt").write_bytes(b"")
    (release / "modeling.py").write_text("import os\n")
    (release / ".env").write_text("X=1\n")
    (release / ".git").mkdir()
    (release / ".git" / "config").write_text("")
    (release / "notes.docx").write_text("")
    (release / "vocab.txt").symlink_to("/etc/hostname")
    (release / "figures" / "linked").symlink_to(tmp_path)
    os.mkfifo(release / "merges.txt")
    (release / "generation_config.json").write_text('{"a": "AKIA' + "ABCDEFGH12345678" + '"}')
    (release / "LICENSE").write_text("x\n-----BEGIN RSA PRIVATE " + "KEY-----\n")
    plan = make_plan(release, REPO, tag="v1", api=api)
    told = problems(plan)
    for part in (
        "pytorch_model.bin can run code",
        "training_args.bin is the trainer's own state",
        "optimizer.pt is the trainer's own state",
        "modeling.py is code",
        ".env is hidden",
        ".git is hidden",
        "notes.docx is not a file that a release holds",
        "vocab.txt is a symbolic link",
        "figures/linked is a symbolic link",
        "merges.txt is not a plain file",
        "generation_config.json:1 holds an AWS access key",
        "LICENSE:2 holds a private key",
        "tag 'v1' of rehearsal/tiny names",
    ):
        assert part in told
    assert len(plan.problems) == 13, "a hidden folder is told once, not file by file"
    with pytest.raises(CheckFailed, match="13 problems; nothing was sent"):
        publish(plan, api=api, receipts=tmp_path / "receipts")
    assert len(api.list_repo_commits(REPO)) == 2


def test_the_token_in_use_is_never_published_nor_shown(api: HfApi, release: Path) -> None:
    assert isinstance(api.token, str)
    odd = HfApi(endpoint=api.endpoint, token="an-odd-token-of-one's-own")
    (release / "config.json").write_text(f'{{"a": 1,\n"b": "{odd.token}"}}')
    (release / "averaging.json").write_text(api.token)
    told = problems(make_plan(release, REPO, api=odd))
    assert "config.json:2 holds the token in use" in told
    assert "averaging.json:1 holds a Hugging Face token" in told
    assert str(odd.token) not in told and api.token not in told


def test_a_secret_in_the_header_of_the_weights_is_found(api: HfApi, release: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2)}, release / "model.safetensors", metadata={"by": str(api.token)})
    told = problems(make_plan(release, REPO, api=api))
    assert "model.safetensors (metadata) holds" in told


def test_a_cut_weights_file_is_refused(api: HfApi, release: Path) -> None:
    weights = release / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "not a whole safetensors file" in problems(make_plan(release, REPO, api=api))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# No metadata\n", "no front matter"),
        ("---\nlicense: [apache\n---\n", "README.md:3:1: front matter"),
        ("---\n- a\n---\n", "not a map"),
        ("---\ndate: 2024-13-45\n---\n", "month must be in 1..12"),
        ("---\nx: " + "[" * 5000 + "\n---\n", "not valid YAML"),
        ("---\nlicense: 7\nlanguage: {a: b}\n---\n", "README.md:2: license is 7 and must be text"),
        ("---\nlicense: apache2\n---\n", "README.md:2: license 'apache2' is unknown to the Hub"),
        (
            "---\nbase_model: ./run\nlicense: mit\n---\n",
            "README.md:2: base_model './run' is a path",
        ),
    ],
)
def test_metadata_that_the_hub_would_not_take_is_told_before_anything_is_sent(
    text: str, told: str, api: HfApi, release: Path
) -> None:
    (release / "README.md").write_text(text)
    assert told in problems(make_plan(release, REPO, api=api))


def test_what_only_the_server_refuses_is_a_problem_too(
    cut_api: HfApi, proxy, release: Path
) -> None:
    def refuse(method: str, path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if path != "/api/validate-yaml":
            return status, body
        return 400, b'{"errors": [{"message": "a rule of tomorrow"}], "warnings": []}'

    proxy.tamper = refuse
    told = problems(make_plan(release, REPO, api=cut_api))
    assert told == "the Hub does not accept README.md's metadata: a rule of tomorrow"


def test_a_warning_of_the_metadata_is_no_problem(api: HfApi, release: Path) -> None:
    (release / "README.md").write_text("---\nlicense: mit\npipeline_tag: fill-masks\n---\n")
    assert make_plan(release, REPO, api=api).is_clean


def test_a_release_without_a_card_or_config_is_refused(api: HfApi, release: Path) -> None:
    (release / "README.md").unlink()
    (release / "config.json").unlink()
    told = problems(make_plan(release, REPO, api=api))
    assert "no README.md" in told
    assert "no config.json" in told


def test_a_tag_on_the_very_commit_is_no_problem(api: HfApi, release: Path, tmp_path: Path) -> None:
    receipt = publish(
        make_plan(release, REPO, tag="v1", api=api), api=api, receipts=tmp_path / "receipts"
    )
    plan = make_plan(release, REPO, tag="v1", api=api)
    assert plan.is_clean
    assert plan.tag_commit == receipt.commit


def test_names_that_cannot_be_are_refused_without_asking(release: Path) -> None:
    nobody = HfApi(endpoint="http://127.0.0.1:9", token="hf_x")
    for repo_id in ("a/b/c", "a/..b", "-a/b", "a b/c", "name-only"):
        plan = make_plan(release, repo_id, tag="no tag", create_pr=True, api=nobody)
        told = problems(plan)
        assert repo_id in told
        assert "'no tag' is no name for a tag" in told
        assert "cannot be tagged" in told
        assert "reach" not in told


def test_no_token_is_one_problem_with_its_mend(hub_url: str, release: Path) -> None:
    plan = make_plan(release, REPO, api=HfApi(endpoint=hub_url, token=False))
    assert problems(plan) == (
        "no token for the Hub was found → run 'hf auth login', or set HF_TOKEN"
    )


def test_a_hub_that_is_not_there_is_one_problem(release: Path) -> None:
    plan = make_plan(release, REPO, api=HfApi(endpoint="http://127.0.0.1:9", token="hf_x"))
    assert len(plan.problems) == 1
    assert "cannot reach http://127.0.0.1:9" in problems(plan)
    assert "is HF_ENDPOINT right" in problems(plan)


def test_a_server_that_is_no_hub_is_told(proxy, cut_api: HfApi, release: Path) -> None:
    proxy.tamper = lambda method, path, status, body: (200, b"<html>It works!</html>")
    assert "answered what no Hub answers" in problems(make_plan(release, REPO, api=cut_api))


@pytest.mark.parametrize(
    ("account", "told"),
    [
        (b'{"name": "ann", "orgs": []}', "ann is not a member of 'rehearsal'"),
        (
            b'{"name": "rehearsal", "orgs": [], "auth": {"accessToken": {"role": "read"}}}',
            "the token of rehearsal may only read",
        ),
        (
            b'{"name": "ann", "orgs": [{"name": "rehearsal", "roleInOrg": "read"}]}',
            "ann may only read in 'rehearsal'",
        ),
        (
            b'{"name": "rehearsal", "auth": {"accessToken": {"role": "fineGrained", "fineGrained":'
            b' {"scoped": [{"entity": {"name": "other"}, "permissions": ["repo.write"]}]}}}}',
            "the fine-grained token of rehearsal may not write",
        ),
        (
            b'{"name": "rehearsal", "auth": {"accessToken": {"role": "fineGrained", "fineGrained":'
            b' {"scoped": [{"entity": {"name": "rehearsal"}, "permissions": ["repo.write"]}]}}}}',
            "",
        ),
    ],
)
def test_missing_rights_are_told_before_anything_is_sent(
    account: bytes,
    told: str,
    proxy,
    api: HfApi,
    cut_api: HfApi,
    release: Path,
) -> None:
    api.create_repo(REPO)
    proxy.tamper = lambda m, path, status, body: (
        (200, account) if "whoami" in path else (status, body)
    )
    plan = make_plan(release, REPO, api=cut_api)
    assert (told in problems(plan)) if told else plan.is_clean


def test_a_branch_that_is_not_there_is_told(api: HfApi, release: Path) -> None:
    api.create_repo(REPO)
    told = problems(make_plan(release, REPO, revision="next", api=api))
    assert told == "rehearsal/tiny has no branch 'next' → it has: main"


def test_a_pull_request_needs_a_repository(api: HfApi, release: Path) -> None:
    assert "does not exist" in problems(make_plan(release, REPO, create_pr=True, api=api))


def test_private_does_not_hide_what_is_public(api: HfApi, release: Path, tmp_path: Path) -> None:
    plan = make_plan(release, REPO, private=True, api=api)
    publish(plan, api=api, receipts=tmp_path / "receipts")
    assert api.model_info(REPO).private
    api.create_repo("rehearsal/open")
    told = problems(make_plan(release, "rehearsal/open", private=True, api=api))
    assert "--private does not change it" in told


def test_a_folder_that_is_none_is_a_wrong_call(api: HfApi, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing"):
        make_plan(tmp_path / "nowhere", REPO, api=api)


@pytest.mark.parametrize("endpoint", ["ann:secret@hub.example", "http://ann:secret@[::1"])
def test_an_address_that_is_none_is_told_without_its_password(endpoint: str) -> None:
    with pytest.raises(UserError, match="is not the address of a Hub") as caught:
        connect(endpoint)
    assert "secret" not in str(caught.value)


def test_a_token_from_the_environment_is_not_shown_when_a_server_repeats_it(
    hub_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "no-usual-form")
    error = ValueError("token no-usual-form at http://ann:secret@hub.example/x")
    told = sentence(error, connect(hub_url), REPO)
    assert told is not None
    assert "no-usual-form" not in told.message and "secret" not in told.message
    assert "http://hub.example/x" in told.message
