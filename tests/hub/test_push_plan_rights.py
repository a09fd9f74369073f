"""Who may write is asked before anything is sent; each test takes one right away."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.hub.client import connect
from mbrelease.hub.plan import Plan, make_plan

REPO = "rehearsal/tiny"


def problems(plan: Plan) -> list[str]:
    return [str(problem) for problem in plan.problems]


def answers(proxy, account: dict[str, object], status: int = 200) -> None:
    """Let the Hub say this of the token."""
    body = json.dumps(account).encode()
    proxy.tamper = lambda method, path, code, content: (
        (status, body) if "whoami" in path else (code, content)
    )


def job_token(expires: float) -> str:
    """A token of the form that jobs get; nobody's."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, {"exp": expires}, {})]
    return "hf_jwt_" + ".".join(base64.urlsafe_b64encode(part).decode() for part in parts)


@pytest.mark.parametrize("create_pr", [False, True])
def test_a_token_that_may_only_read(proxy, cut_api: HfApi, release: Path, create_pr: bool) -> None:
    cut_api.create_repo(REPO)
    answers(proxy, {"name": "rehearsal", "auth": {"accessToken": {"role": "read"}}})
    assert problems(make_plan(release, REPO, create_pr=create_pr, api=cut_api)) == [
        "the token of rehearsal may only read → use one with the role 'write'"
    ]


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        ([{"entity": {"type": "model", "name": REPO}, "permissions": ["repo.write"]}], True),
        ([{"entity": {"type": "user", "name": "rehearsal"}, "permissions": ["repo.write"]}], True),
        (
            [{"entity": {"type": "model", "name": REPO}, "permissions": ["repo.content.read"]}],
            False,
        ),
        ([{"entity": {"type": "org", "name": "owls"}, "permissions": ["repo.write"]}], False),
        ([], False),
    ],
)
def test_a_fine_grained_token(
    proxy, cut_api: HfApi, release: Path, scopes: list[object], may: bool
) -> None:
    token = {"role": "fineGrained", "fineGrained": {"global": [], "scoped": scopes}}
    answers(proxy, {"name": "rehearsal", "auth": {"accessToken": token}})
    plan = make_plan(release, REPO, api=cut_api)
    if may:
        assert plan.is_clean
    else:
        (told,) = problems(plan)
        assert told.startswith(f"the fine-grained token of rehearsal may not write to {REPO}")


def test_a_token_that_has_expired(proxy, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(proxy, {"error": "Access token expired"}, 401)
    monkeypatch.setenv("HF_TOKEN", "hf_of-the-environment")
    assert problems(make_plan(release, REPO, api=connect(proxy.url))) == [
        f"{proxy.url} does not accept the token, which has expired → "
        "it is that of HF_TOKEN: set another, or unset it and run 'hf auth login'"
    ]


def test_a_token_that_is_unknown(proxy, cut_api: HfApi, release: Path) -> None:
    answers(proxy, {"error": "Invalid credentials"}, 401)
    (told,) = problems(make_plan(release, REPO, api=cut_api))
    assert told.startswith(f"{proxy.url} does not accept the token → run 'hf auth login'")


def test_a_token_that_ends_soon_is_a_remark(proxy, cut_api: HfApi, release: Path) -> None:
    end = (datetime.now(UTC) + timedelta(minutes=5, seconds=30)).isoformat()
    answers(proxy, {"name": "rehearsal", "auth": {"expiresAt": end.replace("+00:00", "Z")}})
    plan = make_plan(release, REPO, api=cut_api)
    assert plan.is_clean
    assert [note for note in plan.notes if note.startswith("the token ends in 5 minutes, at ")]
    answers(proxy, {"name": "rehearsal", "auth": {"expiresAt": "2999-01-01T00:00:00.000Z"}})
    assert not [note for note in make_plan(release, REPO, api=cut_api).notes if "ends" in note]


@pytest.fixture
def job(proxy, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    """The client in a job that has proved to be trusted by rehearsal/other."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _auth

    granted = json.dumps({"access_token": job_token(time.time() + 3600), "expires_in": 3600})

    def answer(method: str, path: str, status: int, body: bytes) -> tuple[int, bytes]:
        return (200, granted.encode()) if path == "/oauth/token" else (status, body)

    proxy.tamper = answer
    monkeypatch.setattr(constants, "ENDPOINT", proxy.url)
    monkeypatch.setattr(_auth, "_OIDC_TOKEN_CACHE", None)
    monkeypatch.setenv("HF_OIDC_RESOURCE", "rehearsal/other")
    monkeypatch.setenv("HF_OIDC_ID_TOKEN", "proof")
    return connect(proxy.url)


def test_a_jobs_token_is_for_one_repository(api: HfApi, job: HfApi, release: Path) -> None:
    api.create_repo(REPO)
    told = problems(make_plan(release, REPO, api=job))[0]
    assert told.startswith(f"the job's token is for rehearsal/other alone, not for {REPO} → ")
    assert f"HF_OIDC_RESOURCE={REPO}" in told


def test_a_jobs_token_cannot_make_its_repository(proxy, job: HfApi, release: Path) -> None:
    nothing = (404, [("X-Error-Code", "RepoNotFound")], b"{}")
    proxy.answers = lambda method, path: nothing if "/api/models/" in path else None
    told = problems(make_plan(release, "rehearsal/other", api=job))[0]
    assert told.startswith("rehearsal/other does not exist, and a job's token cannot make it")
    assert "hf repos create rehearsal/other" in told


def test_a_job_that_nobody_trusts(proxy, job: HfApi, release: Path) -> None:
    proxy.tamper = lambda method, path, status, body: (400, b'{"error": "invalid_grant"}')
    (told,) = problems(make_plan(release, "rehearsal/other", api=job))
    assert told.startswith("no token for this job: rehearsal/other does not trust it")


def test_a_jobs_token_that_has_expired(proxy, release: Path) -> None:
    answers(proxy, {"error": "no"}, 401)
    job = HfApi(endpoint=proxy.url, token=job_token(time.time() - 60))
    (told,) = problems(make_plan(release, REPO, api=job))
    assert "does not accept the token, which has expired" in told


def test_no_token_is_shown(proxy, release: Path) -> None:
    answers(proxy, {"error": "no"}, 401)
    token = job_token(time.time() - 60)
    plan = make_plan(release, REPO, api=HfApi(endpoint=proxy.url, token=token))
    assert token not in json.dumps(plan.as_json())
