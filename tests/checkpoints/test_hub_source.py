"""Checkpoints on the Hub: pinned to a commit, fetched late, and from the cache where they are."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import HfApi, constants, get_session

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.hub_source import HubId, open_hub, parse_hub_id
from mbrelease.checkpoints.sources import discover_sources
from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub.rehearsal.server import running

TOKEN = "hf_" + "Rehearsal" * 4
MAIN = HubId("lab/tiny", "main")


@pytest.fixture(autouse=True)
def own_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The client reads its settings when it is imported; they are changed where it keeps them."""
    cache = tmp_path / "hub-cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return cache


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running(tmp_path / "hub") as url:
        yield url


@contextmanager
def hooked(hook: Callable[[Any], None]) -> Iterator[None]:
    """The client calls ``hook`` with each request before it is sent."""
    hooks = get_session().event_hooks
    get_session().event_hooks = {**hooks, "request": [*hooks["request"], hook]}
    yield
    get_session().event_hooks = hooks


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """``METHOD /path`` of each request that the client makes."""
    log: list[str] = []
    with hooked(lambda request: log.append(f"{request.method} {request.url.path}")):
        yield log


Publish = Callable[..., str]


@pytest.fixture
def publish(url: str) -> Publish:
    """Upload a folder to ``lab/tiny`` and give the commit."""

    return lambda folder, revision="main", private=False: upload(url, folder, revision, private)


def upload(url: str, folder: Path, revision: str = "main", private: bool = False) -> str:
    api = HfApi(endpoint=url, token=TOKEN)
    api.create_repo(MAIN.repo_id, private=private, exist_ok=True)
    if revision != "main":
        api.create_branch(MAIN.repo_id, branch=revision)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own deprecations
        api.upload_folder(repo_id=MAIN.repo_id, folder_path=folder, revision=revision)
    commit = api.model_info(MAIN.repo_id, revision=revision).sha
    assert commit
    return commit


@pytest.fixture
def model(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> Path:
    """A checkpoint with what a trainer leaves beside it."""
    folder = make_checkpoint(tmp_path / "model")
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "optimizer.pt").write_bytes(b"moments")
    (folder / "training_args.bin").write_bytes(b"arguments")
    state = {"global_step": 7, "max_steps": 9, "log_history": [{"step": 7, "eval_loss": 1.5}]}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    return folder


def weights_asked(asked: list[str]) -> list[str]:
    return [line for line in asked if "safetensors" in line or ".bin" in line]


def in_cache(cache: Path) -> set[str]:
    return {path.name for path in cache.glob("models--*/snapshots/*/*")}


def test_a_model_is_what_its_folder_is(url, publish, model):
    commit = publish(model)
    found, local = open_hub(MAIN, url), open_checkpoint(model)
    assert found.revision == commit
    assert found.name == f"lab/tiny@{commit[:7]}"
    assert found.step is None
    assert found.config == local.config
    assert found.tokenizer_sha256 == local.tokenizer_sha256
    assert found.weights_sha256 == local.weights_sha256
    assert found.stored.keys() == local.stored.keys()
    assert [stream.head for stream in found.hash_streams] == [
        stream.head for stream in local.hash_streams
    ]
    assert found.trainer_state == local.trainer_state
    assert found.trainer_state.eval_loss == 1.5
    assert found.companion("vocab.txt") is None


def test_weights_are_fetched_when_a_tensor_is_wanted_and_not_before(
    url, publish, model, asked, own_hub_cache
):
    publish(model)
    asked.clear()
    found = open_hub(MAIN, url)
    _ = found.config, found.tokenizer_sha256, found.name, found.step
    assert not weights_asked(asked)
    assert in_cache(own_hub_cache) == {"config.json", "tokenizer.json"}
    _ = found.stored
    assert weights_asked(asked)
    # Never the trainer's own state.
    assert in_cache(own_hub_cache) == {"config.json", "tokenizer.json", "model.safetensors"}


def test_a_second_time_comes_from_the_cache_with_the_server_down(
    tmp_path, model, caplog, asked, monkeypatch
):
    with running(tmp_path / "other") as url:
        upload(url, model)
        first = open_hub(MAIN, url)
        digest = first.weights_sha256
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    asked.clear()
    again = open_hub(HubId(MAIN.repo_id, first.revision), url)
    assert again.weights_sha256 == digest
    assert not asked
    # A branch is where it was last; the client says so.
    assert open_hub(MAIN, url).weights_sha256 == digest
    assert "Could not reach the Hub" in caplog.text
    with pytest.raises(CheckFailed, match=r"cannot reach http://127(.|\n)*HF_ENDPOINT"):
        open_hub(HubId(MAIN.repo_id, "v1"), url)


@pytest.fixture
def go_offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """As with HF_HUB_OFFLINE=1."""
    return lambda: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_offline_is_the_cache_or_a_sentence(url, publish, model, go_offline):
    commit = publish(model)
    digest = open_hub(MAIN, url).weights_sha256
    go_offline()
    found = open_hub(MAIN, url)
    assert (found.revision, found.weights_sha256) == (commit, digest)
    with pytest.raises(CheckFailed, match=r"HF_HUB_OFFLINE(.|\n)*--revision v2"):
        open_hub(HubId(MAIN.repo_id, "v2"), url)
    with pytest.raises(CheckFailed, match=r"HF_HUB_OFFLINE is set.*lab/tiny@" + commit[:7]):
        _ = found.tokenizer_sha256


def test_offline_a_list_of_files_tells_what_the_model_does_not_have(
    url, publish, model, go_offline
):
    import torch

    publish(as_bin(model, {"a": torch.zeros(2)}))
    HfApi(endpoint=url).snapshot_download(MAIN.repo_id)  # as `hf download` does
    go_offline()
    found = open_hub(MAIN, url)
    assert set(found.stored) == {"a"}  # not: is there a model.safetensors?
    assert found.companion("tokenizer_config.json") is None


def test_a_branch_that_moved_is_another_commit(url, publish, model, make_checkpoint, tmp_path):
    before = publish(model)
    first = open_hub(MAIN, url)
    assert first.revision == before
    after = publish(make_checkpoint(tmp_path / "next", tensor="b"))
    second = open_hub(MAIN, url)
    assert (second.revision, set(second.stored)) == (after, {"b"})
    assert set(first.stored) == {"a"}  # fetched only now, and still of its own commit


@pytest.mark.parametrize(
    ("revision", "step"),
    [
        ("v1.0", None),
        ("step1000", 1000),
        ("checkpoint-300", 300),
        ("runs/checkpoint-300", 300),
        ("stage1-step1000-tokens4B", 1000),
        ("footstep9", None),
    ],
)
def test_a_revision_may_name_the_step(url, publish, model, revision, step):
    commit = publish(model, revision=revision)
    found = open_hub(HubId(MAIN.repo_id, revision), url)
    assert (found.revision, found.step) == (commit, step)


def test_short_commits_and_tags(url, publish, model):
    commit = publish(model)
    HfApi(endpoint=url, token=TOKEN).create_tag(MAIN.repo_id, tag="v1", revision=commit)
    for revision in ("v1", commit[:7], commit[:12], commit):
        assert open_hub(HubId(MAIN.repo_id, revision), url).revision == commit


def test_short_commits_are_found_where_the_hub_knows_full_ones_alone(url, publish, model):
    commit = publish(model)

    def forget_short_ones(request: Any) -> None:
        request.url = request.url.copy_with(
            path=request.url.path.replace(f"/revision/{commit[:7]}", "/revision/unknown")
        )

    with hooked(forget_short_ones):
        assert open_hub(HubId(MAIN.repo_id, commit[:7]), url).revision == commit


def as_bin(model: Path, tensors: object) -> Path:
    import torch

    (model / "model.safetensors").unlink()
    torch.save(tensors, model / "pytorch_model.bin")
    return model


def test_where_there_is_no_safetensors_the_bin_is_read(url, publish, model, own_hub_cache):
    import torch

    publish(as_bin(model, {"a": torch.arange(3.0)}), revision="step5")
    found = open_hub(HubId(MAIN.repo_id, "step5"), url)
    assert (found.stored["a"].shape, found.step) == ((3,), 5)
    assert in_cache(own_hub_cache) == {"config.json", "pytorch_model.bin"}


def test_safetensors_goes_before_bin(url, publish, model, own_hub_cache):
    (model / "pytorch_model.bin").write_bytes(b"not even a zip")
    publish(model)
    assert set(open_hub(MAIN, url).stored) == {"a"}
    assert "pytorch_model.bin" not in in_cache(own_hub_cache)


def shards(model: Path, weight_map: dict[str, str]) -> Path:
    from safetensors.numpy import save_file

    (model / "model.safetensors").unlink()
    for name, file in weight_map.items():
        if file.startswith("model-"):
            save_file({name: np.zeros(2, "<f4")}, model / file)
    index = {"metadata": {}, "weight_map": weight_map}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    return model


def test_all_shards_come(url, publish, model):
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    publish(shards(model, names))
    found, local = open_hub(MAIN, url), open_checkpoint(model)
    assert set(found.stored) == {"a", "b"}
    assert found.weights_sha256 == local.weights_sha256


@pytest.mark.parametrize("name", ["optimizer.pt", "training_args.bin", "../../elsewhere"])
def test_an_index_cannot_make_us_fetch_something_else(url, publish, model, name, own_hub_cache):
    publish(shards(model, {"a": "model-00001-of-00002.safetensors", "b": name}))
    found = open_hub(MAIN, url)
    with pytest.raises(UserError, match=rf"lists {Path(name).name}, which is missing"):
        _ = found.stored
    assert in_cache(own_hub_cache) == {
        "config.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
    }


def test_without_weights_or_config_there_is_a_sentence(url, publish, model):
    (model / "model.safetensors").unlink()
    publish(model)
    with pytest.raises(UserError, match=r"lab/tiny@\w{7} holds no weights(.|\n)*/tree/"):
        _ = open_hub(MAIN, url).stored
    publish(model, revision="bare")
    HfApi(endpoint=url, token=TOKEN).delete_file("config.json", MAIN.repo_id, revision="bare")
    with pytest.raises(UserError, match="lab/tiny@bare has no config.json"):
        open_hub(HubId(MAIN.repo_id, "bare"), url)


def test_a_missing_tokenizer_is_told_by_the_models_name(url, publish, make_checkpoint, tmp_path):
    publish(make_checkpoint(tmp_path / "plain"))
    with pytest.raises(UserError, match=r"^lab/tiny@\w{7} has no tokenizer.json$"):
        _ = open_hub(MAIN, url).tokenizer_sha256


def test_what_the_hub_does_not_know(url, publish, model):
    publish(model)
    with pytest.raises(CheckFailed, match=r"knows no repository lab/nobody(.|\n)*hf auth login"):
        open_hub(HubId("lab/nobody", "main"), url)
    for revision in ("v9", "abcdef1", "0" * 40, "a/b"):
        with pytest.raises(CheckFailed, match=f"lab/tiny has no revision '{revision}'"):
            open_hub(HubId(MAIN.repo_id, revision), url)


def test_a_private_model_needs_the_token_which_is_never_shown(
    url, publish, model, monkeypatch, caplog, capfd
):
    publish(model, private=True)
    capfd.readouterr()
    with pytest.raises(CheckFailed, match="or it is private"):
        open_hub(MAIN, url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    found = open_hub(MAIN, url)
    assert found.weights_sha256 == open_checkpoint(model).weights_sha256
    with pytest.raises(CheckFailed) as told:
        open_hub(HubId(MAIN.repo_id, "v9"), url)
    said = capfd.readouterr()
    assert said == ("", "")  # no bars either: this is no terminal
    assert TOKEN not in f"{found!r} {told.value} {caplog.text}"


def test_an_endpoint_is_shown_without_its_password(url, publish, model):
    publish(model)
    with pytest.raises(CheckFailed) as told:
        open_hub(HubId("lab/nobody", "main"), url.replace("//", "//ann:secret@"))
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "GatedRepo", r"lab/tiny is gated(.|\n)*ask for access at http://127"),
        (401, None, "does not accept the token"),
        (403, None, "no right to read lab/tiny"),
        (418, None, "answered 418 for lab/tiny@main"),
    ],
)
def test_refusals_are_sentences(answering_url, status, code, said):
    with pytest.raises(CheckFailed, match=said):
        open_hub(MAIN, answering_url(status, code))


@pytest.mark.parametrize("body", ["<html>", "{}", "[]", "null", '{"id": "lab/tiny"}'])
def test_a_server_that_is_no_hub_is_a_sentence(answering_url, body):
    with pytest.raises(CheckFailed, match=r"answered what no Hub answers(.|\n)*HF_ENDPOINT"):
        open_hub(MAIN, answering_url(200, None, body))


@pytest.fixture
def answering_url() -> Iterator[Callable[..., str]]:
    """A server that answers everything in one way; the rehearsal Hub gates nothing."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    servers: list[tuple[HTTPServer, threading.Thread]] = []

    def start(status: int, code: str | None, body: str = "") -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                if code:
                    self.send_header("X-Error-Code", code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("target", "repo_id", "revision"),
    [
        ("lab/tiny@main", "lab/tiny", "main"),
        ("lab/tiny@refs/pr/1", "lab/tiny", "refs/pr/1"),
        ("hf://lab/tiny", "lab/tiny", "main"),
        ("hf://lab/tiny@v1.0", "lab/tiny", "v1.0"),
        ("answerdotai/ModernBERT-base@8949b90", "answerdotai/ModernBERT-base", "8949b90"),
    ],
)
def test_how_a_model_is_written(target, repo_id, revision):
    assert parse_hub_id(target) == HubId(repo_id, revision)


@pytest.mark.parametrize("target", ["lab/tiny", "runs/a/b@c", "./x@y", "../x/y@main", "tiny@main"])
def test_what_is_no_model(target):
    assert parse_hub_id(target) is None


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("hf://tiny", "names no model"),
        ("hf://datasets/lab/x", "names no model"),
        ("lab/tiny@", "'' is no revision"),
        ("lab/tiny@../../x", "is no revision"),
        ("lab/tiny@/etc", "is no revision"),
        ("hf://lab/tiny@a b", "'a b' is no revision"),
    ],
)
def test_a_model_written_wrongly_is_a_sentence(target, said):
    with pytest.raises(UserError, match=said):
        parse_hub_id(target)


def test_an_endpoint_that_is_no_url_is_a_sentence():
    with pytest.raises(UserError, match="'ftp://hub' is not the address of a Hub"):
        open_hub(MAIN, "ftp://hub")


def test_models_and_folders_are_discovered_together(url, publish, model, tmp_path, monkeypatch):
    publish(model, revision="step20")
    monkeypatch.setenv("HF_ENDPOINT", url)
    run = tmp_path / "run"
    for step in (10, 30):
        (run / f"checkpoint-{step}").mkdir(parents=True)
        for name in ("config.json", "model.safetensors"):
            (run / f"checkpoint-{step}" / name).write_bytes((model / name).read_bytes())
    found = discover_sources([str(run), "hf://lab/tiny@step20"])
    assert [source.step for source in found] == [10, 20, 30]
    with pytest.raises(UserError, match="is given twice"):
        discover_sources(["lab/tiny@step20", f"lab/tiny@{found[1].revision}"])


def test_a_folder_goes_before_a_model_of_its_name(tmp_path, make_checkpoint, monkeypatch):
    make_checkpoint(tmp_path / "lab" / "tiny@main")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (found,) = discover_sources(["lab/tiny@main"])
    assert found.path == Path("lab/tiny@main")


def test_no_model_is_fetched_that_was_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"lab/tiny does not exist\n.*lab/tiny@main"):
        discover_sources(["lab/tiny"])
