"""A job proves who it is and gets a token for one repository, with the real client."""

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub._oidc import exchange_oidc_token
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RepositoryNotFoundError
from issuer import REQUEST_TOKEN, Issuer, Key

from mbrelease.errors import CheckFailed
from mbrelease.hub.client import connect, token_of
from mbrelease.hub.plan import make_plan
from mbrelease.hub.rehearsal import publishers

JOB = {"repository": "acme/training", "environment": "release", "ref": "refs/tags/owl/v1.0"}
OWL, OTHER = "owls/owl", "owls/other"


@pytest.fixture(scope="module", autouse=True)
def trusted(hub_url: str, issuer: Issuer, trust) -> None:
    owner = HfApi(endpoint=hub_url, token="hf_owner")
    owner.create_repo(OWL)
    owner.create_repo(OTHER, private=True)
    trust(OWL, repository="acme/training", environment="release")
    trust(OTHER, read_only=True, repository="acme/training")


@pytest.fixture(autouse=True)
def job(issuer: Issuer, hub_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a job on GitHub, and a client that has not exchanged anything yet."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _auth

    issuer.claims = dict(JOB)
    monkeypatch.setattr(constants, "ENDPOINT", hub_url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(_auth, "_OIDC_TOKEN_CACHE", None)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub_url)
    monkeypatch.setenv("HF_OIDC_RESOURCE", OWL)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", issuer.request_url)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)


def exchanged(hub_url: str, token: str, resource: str = OWL) -> dict:
    return exchange_oidc_token(subject_token=token, resource=resource, endpoint=hub_url)


def test_a_trusted_job_gets_a_token_for_an_hour_and_writes_with_it(hub_url, issuer):
    api = connect()
    token = token_of(api)
    assert token is not None and token.startswith("hf_jwt_")
    assert issuer.audiences[-1] == hub_url
    answer = exchanged(hub_url, issuer.token(hub_url))
    assert answer["token_type"] == "bearer"
    assert answer["expires_in"] == 3600
    done = api.upload_file(
        path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=OWL, commit_message="a job's"
    )
    assert HfApi(endpoint=hub_url, token=False).model_info(OWL).sha == done.oid


def test_it_is_good_for_nothing_else(hub_url, issuer):
    api = HfApi(endpoint=hub_url, token=exchanged(hub_url, issuer.token(hub_url))["access_token"])
    with pytest.raises(RepositoryNotFoundError):  # private: as if there were no token
        api.model_info(OTHER)
    assert [model.id for model in api.list_models()] == [OWL]
    for forbidden in (
        lambda: api.create_repo("owls/new"),
        lambda: api.delete_repo(OTHER),
        lambda: api.create_tag(OTHER, tag="v1"),
    ):
        with pytest.raises(HfHubHTTPError, match="403"):
            forbidden()
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami()


def test_a_publisher_that_may_only_read_does_not_write(hub_url, issuer):
    token = exchanged(hub_url, issuer.token(hub_url), OTHER)["access_token"]
    api = HfApi(endpoint=hub_url, token=token)
    assert api.model_info(OTHER).private
    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_tag(OTHER, tag="v1")


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": "production"},
        {"environment": "release2"},
        {"repository": "acme/training-fork"},
        {"iss": "http://127.0.0.1:9"},
        {"iss": "https://token.actions.githubusercontent.com"},
        {"aud": "https://huggingface.co"},
        {"exp": 1},
        {"nbf": 4_102_444_800},
    ],
    ids=str,
)
def test_a_job_that_is_another_gets_none(hub_url, issuer, changes):
    with pytest.raises(BadRequestError, match="invalid_grant"):
        exchanged(hub_url, issuer.token(hub_url, **changes))


def test_what_the_issuer_has_not_signed_is_no_proof(hub_url, issuer):
    sound = issuer.token(hub_url)
    head, body, signature = sound.split(".")
    other = issuer.token(hub_url, environment="release", ref="refs/heads/main").split(".")[1]
    assert exchanged(hub_url, sound)
    for forged in (
        issuer.token(hub_url, key=Key.make(seed=2)),
        f"{head}.{other}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        "no.json.here",
        "nothing",
    ):
        with pytest.raises(BadRequestError, match="invalid_grant"):
            exchanged(hub_url, forged)


def test_an_issuer_elsewhere_is_trusted_but_never_asked(hub_url, issuer):
    """Its keys would be fetched over the network; a rehearsal stays on the machine."""
    claims, headers = {"repository": "acme/far"}, {"Authorization": "Bearer hf_owner"}
    for far in ("https://issuer.example", "http://issuer.example", "http://10.0.0.1"):
        httpx2.post(
            f"{hub_url}/api/models/{OWL}/settings/trusted-publishers",
            json={"issuer": far, "claims": claims},
            headers=headers,
        ).raise_for_status()
        with pytest.raises(BadRequestError, match="invalid_grant"):
            exchanged(hub_url, issuer.token(hub_url, iss=far, **claims))


@pytest.mark.parametrize("resource", ["nobody", "datasets/owls/owl", "", "owls/missing"])
def test_a_resource_that_is_no_model_is_refused(hub_url, issuer, resource):
    with pytest.raises(BadRequestError, match="invalid_request|invalid_grant"):
        exchanged(hub_url, issuer.token(hub_url), resource)


def test_a_token_that_was_altered_or_is_too_old_is_none(hub_url, issuer, monkeypatch):
    token = exchanged(hub_url, issuer.token(hub_url))["access_token"]
    monkeypatch.setattr(publishers, "TOKEN_SECONDS", -1)
    late = exchanged(hub_url, issuer.token(hub_url))["access_token"]
    for worthless in (token[:-1] + ("0" if token[-1] != "0" else "1"), late, "hf_jwt_x"):
        with pytest.raises(HfHubHTTPError, match="401"):
            HfApi(endpoint=hub_url, token=worthless).create_tag(OWL, tag="v1")


def test_who_is_not_trusted_reads_what_to_do(hub_url, issuer, tmp_path):
    issuer.claims = {**JOB, "environment": "none"}
    with pytest.raises(CheckFailed) as refused:
        token_of(connect())
    assert str(refused.value) == (
        "no token for this job: owls/owl does not trust it\n"
        "  does owls/owl exist, and does a Trusted Publisher in its settings name this workflow?"
    )


def test_a_job_without_the_permission_reads_which_one(monkeypatch):
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    with pytest.raises(CheckFailed, match="no token for this job: .*id-token: write"):
        token_of(connect())


def test_a_plan_with_the_token_of_another_repository_says_so(hub_url, tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Owl\n")
    plan = make_plan(tmp_path, "owls/third", api=connect())
    told = "\n".join(map(str, plan.problems))
    assert "the job's token is for owls/owl alone" in told
    assert plan.user == "Trusted Publisher", told
