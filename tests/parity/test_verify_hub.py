"""`mbrelease verify` of a model on the Hub, and against one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import HfApi, constants, get_session

from mbrelease.checkpoints.hub_folder import FIRST_BYTES, fetch_header, open_hub_folder
from mbrelease.checkpoints.hub_source import HubId
from mbrelease.checkpoints.safetensors_header import read_header
from mbrelease.cli.main import main
from mbrelease.errors import CheckFailed, UserError
from mbrelease.files import sha256_file
from mbrelease.hub.receipt import PlanSummary, PublishedFile, Receipt, write_receipt
from mbrelease.hub.rehearsal.server import running
from mbrelease.parity.verify import verify

TOKEN = "hf_" + "Rehearsal" * 4
REPO = "lab/tiny"
ID = f"{REPO}@main"
WEIGHTS = "model.safetensors"


@pytest.fixture(autouse=True)
def own_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The client reads its settings when it is imported; they are changed where it keeps them."""
    cache = tmp_path / "hub-cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return cache


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with running(tmp_path / "hub") as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        yield url


@pytest.fixture
def publish(url: str, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Upload a folder and give the commit."""

    def send(folder: Path, repo: str = REPO) -> str:
        commit = upload(url, folder, repo)
        capfd.readouterr()  # the client's own bars
        return commit

    return send


def upload(url: str, folder: Path, repo: str = REPO) -> str:
    api = HfApi(endpoint=url, token=TOKEN)
    api.create_repo(repo, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own deprecations
        api.upload_folder(repo_id=repo, folder_path=folder)
    commit = api.model_info(repo).sha
    assert commit
    return commit


@contextmanager
def hooked(hook: Callable[[Any], None]) -> Iterator[None]:
    """The client calls ``hook`` with each request before it is sent."""
    hooks = get_session().event_hooks
    get_session().event_hooks = {**hooks, "request": [*hooks["request"], hook]}
    yield
    get_session().event_hooks = hooks


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """``METHOD path range`` of each request that the client makes."""
    log: list[str] = []

    def note(request: Any) -> None:
        log.append(f"{request.method} {request.url.path} {request.headers.get('range', '')}")

    with hooked(note):
        yield log


def in_cache(cache: Path) -> set[str]:
    return {path.name for path in cache.glob("models--*/snapshots/*/*")}


def test_headers_alone_fetch_no_weights(release, publish, asked, own_hub_cache, capfd):
    (release / "README.md").write_text("a card")
    commit = publish(release)
    asked.clear()
    assert main(["verify", ID, "--headers-only"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert f"\n{REPO}@{commit[:7]}: " in out
    assert "✓ tensors.names" in out
    assert "✓ tensors.size" in out
    assert "as the Hub lists it" in " ".join(out.split())
    names = {"config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert in_cache(own_hub_cache) == names | {"README.md"}
    (header,) = [line for line in asked if WEIGHTS in line]
    assert header == f"GET /{REPO}/resolve/{commit}/{WEIGHTS} bytes=0-{FIRST_BYTES - 1}"


def test_nothing_but_the_report_is_said_where_nobody_watches(release, publish, own_hub_cache):
    """In a log the client's bars would be lines."""
    publish(release)
    call = [sys.executable, "-c", "import sys; from mbrelease.cli.main import main; main()"]
    environment = {**os.environ, "HF_HUB_CACHE": str(own_hub_cache), "TQDM_POSITION": "-1"}
    for options in ([], ["--headers-only"]):
        done = subprocess.run(
            [*call, "verify", REPO, *options], env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, ""), done


def test_what_is_fetched_is_told_in_bytes_once_each(release, publish):
    publish(release)
    told = Told()
    folder = open_hub_folder(HubId(REPO, "main"), weights=True, progress=told)
    assert told.units == {"bytes"} and told.advanced == told.total > 200_000
    size = (folder.path / WEIGHTS).stat().st_size
    again = Told()
    open_hub_folder(HubId(REPO, "main"), weights=True, progress=again)
    assert again.advanced == again.total == told.total > size, "also of what was in the cache"


class Told:
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.total = self.advanced = 0
        self.units: set[str] = set()

    def start(self, description: str, total: int, unit: str) -> None:
        self.total += total
        self.units.add(unit)

    def advance(self, amount: int = 1) -> None:
        self.advanced += amount

    def note(self, message: str) -> None:
        raise AssertionError(message)


def test_a_private_model_without_a_token_asks_for_one(release, publish, url, capfd, monkeypatch):
    HfApi(endpoint=url, token=TOKEN).create_repo(REPO, private=True)
    publish(release)
    for target in (REPO, ID):
        assert main(["verify", target, "--headers-only"]) == 1
        err = capfd.readouterr().err
        assert f"knows no repository {REPO}, or it is private" in err
        assert "set HF_TOKEN, or run 'hf auth login'" in err
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["verify", REPO, "--headers-only"]) == 0


def test_the_header_is_the_files_own(release, publish, url):
    commit = publish(release)
    local = read_header(release / WEIGHTS)
    folder = open_hub_folder(HubId(REPO, "main"), weights=False)
    (remote,) = folder.headers
    assert remote.tensors == local.tensors
    assert (remote.size_bytes, remote.metadata) == (local.size_bytes, local.metadata)
    assert folder.hub_commit == commit
    assert not remote.path.exists()


def test_a_header_longer_than_the_first_request_and_a_server_without_ranges(
    release, publish, url, asked
):
    from safetensors.numpy import save_file

    tensors = {f"{'x' * 100}{index}": np.zeros(1, "<f4") for index in range(900)}
    save_file(tensors, release / WEIGHTS)
    commit = publish(release)
    pinned, place = HubId(REPO, commit), release / WEIGHTS
    asked.clear()
    assert fetch_header(pinned, WEIGHTS, url, place) == read_header(place)
    assert asked[0].split()[2] == f"bytes=0-{FIRST_BYTES - 1}"
    assert len(asked) == 2

    def forget_range(request: Any) -> None:
        request.headers.pop("range", None)

    with hooked(forget_range):
        assert fetch_header(pinned, WEIGHTS, url, place) == read_header(place)


def test_a_file_on_the_hub_that_was_cut_short_is_told_from_its_header(release, publish):
    data = (release / WEIGHTS).read_bytes()
    (release / WEIGHTS).write_bytes(data[:-1000])
    publish(release)
    report = verify(open_hub_folder(HubId(REPO, "main"), weights=False), load=False)
    assert [result.name for result in report.failures] == ["tensors.header"]
    assert "truncated" in report.failures[0].found


def test_numerics_need_the_file_itself(release, publish, own_hub_cache, capfd):
    publish(release)
    assert main(["verify", ID, "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    results = {result["name"]: result for result in report["results"]}
    assert report["path"].startswith(f"{REPO}@")
    assert results["tensors.finite"]["status"] == "pass"
    assert results["loading.auto_model"]["status"] == "pass"
    assert results["files.hashes"]["found"].endswith("; as in the Hub's list")
    assert results["files.hashes"]["details"]["files"][WEIGHTS] == {
        "size_bytes": (release / WEIGHTS).stat().st_size,
        "sha256": sha256_file(release / WEIGHTS),
    }
    assert WEIGHTS in in_cache(own_hub_cache)


def test_against_a_model_on_the_hub(release, released, publish, edit_json, asked, capfd):
    publish(released)
    edit_json(release / "config.json", global_rope_theta=1e6, rope_parameters=...)
    content = json.loads((release / "tokenizer.json").read_text())
    content["added_tokens"][4]["lstrip"] = False
    (release / "tokenizer.json").write_text(json.dumps(content))
    asked.clear()
    call = ["verify", str(release), "--against", f"hf://{REPO}", "--headers-only"]
    assert main([*call, "--relation", "averaging"]) == 1
    out = " ".join(capfd.readouterr().out.split())
    assert "global_rope_theta 1e+06 (parent 20000)" in out
    assert "✗ tokenizer.mask" in out
    assert not [line for line in asked if WEIGHTS in line], "the parent is compared by its JSON"
    publish(release, "lab/other")
    assert main(["verify", "lab/other@main", "--against", ID, "--headers-only"]) == 1
    assert "✗ config.parent" in capfd.readouterr().out


def test_what_lies_beside_the_weights_is_told_from_the_list_alone(
    release, publish, own_hub_cache, capfd
):
    for name in ("optimizer.pt", "trainer_state.json", "checkpoint-5/scheduler.safetensors"):
        (release / name).parent.mkdir(exist_ok=True)
        (release / name).write_text("{}")
    publish(release)
    assert main(["verify", ID, "--headers-only"]) == 1
    out, err = capfd.readouterr()
    assert err.endswith("fails files.pickles, files.leftovers\n")
    assert "checkpoint-5/scheduler.safetensors, trainer_state.json" in " ".join(out.split())
    assert "optimizer.pt" not in in_cache(own_hub_cache)


@pytest.mark.parametrize("content", ["[]", "{"])
def test_a_faulty_record_is_named_by_the_model_and_not_by_the_cache(
    content, release, publish, own_hub_cache, capfd
):
    (release / "averaging.json").write_text(content)
    publish(release)
    assert main(["verify", ID, "--headers-only", "--json"]) == 1
    results = json.loads(capfd.readouterr().out)["results"]
    (found,) = (one["found"] for one in results if one["name"] == "files.hashes")
    assert found.startswith(f"averaging.json of {REPO}@") and str(own_hub_cache) not in found


def test_a_receipt_of_that_commit_is_held_against_it(
    release, publish, url, tmp_path, monkeypatch, capfd
):
    commit = publish(release)
    monkeypatch.chdir(tmp_path)
    Path("registry.yaml").write_text("version: 1\nfamily: Tiny\nvariants:\n  tiny: {}\n")
    file = PublishedFile(sha256="a" * 64, size_bytes=1, blob_id="b")
    receipt = Receipt(
        repo_id=REPO, endpoint=url, revision="main", commit=commit, parent_commit=None,
        pull_request=None, tag=None, files={WEIGHTS: file}, published="2024-01-01T00:00:00Z",
        summary=PlanSummary(added=[], changed=[], unchanged=[], remote_only=[]),
        published_by=None, mbrelease="0",
    )  # fmt: skip
    path = write_receipt(tmp_path / "receipts", receipt)
    assert main(["verify", ID, "--headers-only"]) == 1
    assert f"aaaaaaaaaaaa in the receipt {path.name}" in " ".join(capfd.readouterr().out.split())


def test_shards_are_read_from_their_headers(release, publish, capfd):
    from safetensors.numpy import load_file, save_file

    weights = load_file(release / WEIGHTS)
    (release / WEIGHTS).unlink()
    names = sorted(weights)
    files = {f"model-0000{i}-of-00002.safetensors": names[i - 1 :: 2] for i in (1, 2)}
    for file, held in files.items():
        save_file({name: weights[name] for name in held}, release / file, {"format": "pt"})
    weight_map = {name: file for file, held in files.items() for name in held}
    index = {"metadata": {}, "weight_map": weight_map}
    (release / "model.safetensors.index.json").write_text(json.dumps(index))
    publish(release)
    assert main(["verify", ID, "--headers-only"]) == 0
    assert "2 files as the index says" in capfd.readouterr().out
    weight_map[names[0]] = "optimizer.safetensors"
    (release / "model.safetensors.index.json").write_text(json.dumps(index))
    publish(release)
    with pytest.raises(UserError, match=r"lists optimizer.safetensors, which is missing"):
        open_hub_folder(HubId(REPO, "main"), weights=False)


@pytest.fixture
def go_offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """As with HF_HUB_OFFLINE=1."""
    return lambda: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_offline_is_the_cache_or_one_clear_line(release, publish, go_offline, capfd):
    publish(release)
    go_offline()
    assert main(["verify", ID]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(
        f"error: HF_HUB_OFFLINE is set, and the cache does not hold all that is needed of {ID}"
    )
    assert len(err.splitlines()) == 2


def test_offline_after_headers_the_weights_are_asked_for_in_one_line(
    release, publish, go_offline, capfd
):
    commit = publish(release)
    assert main(["verify", ID, "--headers-only"]) == 0
    go_offline()
    capfd.readouterr()
    for call in (["verify", ID], ["verify", ID, "--headers-only"]):
        assert main(call) == 1
        out, err = capfd.readouterr()
        assert out == ""
        assert "error: HF_HUB_OFFLINE is set, " in err
        assert f"{REPO}@{commit[:7]}" in err


def test_a_second_time_needs_no_network(release, tmp_path, go_offline, monkeypatch, capfd):
    with running(tmp_path / "hub") as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        commit = upload(url, release)
        assert main(["verify", f"{REPO}@{commit}", "--against", ID]) == 0
    capfd.readouterr()
    # The server is down now.
    assert main(["verify", f"{REPO}@{commit}"]) == 0
    assert f"\n{REPO}@{commit[:7]}: " in capfd.readouterr().out
    go_offline()
    assert main(["verify", f"{REPO}@{commit}", "--headers-only"]) == 0


def test_a_server_that_is_down_is_two_lines(monkeypatch, capfd):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert main(["verify", ID]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: cannot reach http://127.0.0.1:9, ")
    assert len(err.splitlines()) == 2


def test_what_is_no_such_model_is_a_sentence(release, publish, tmp_path, monkeypatch, capfd):
    publish(release)
    monkeypatch.chdir(tmp_path)
    for target, said in (
        ("lab/nobody@main", "knows no repository lab/nobody"),
        (f"{REPO}@v9", f"{REPO} has no revision 'v9'"),
        ("hf://tiny", "names no model on the Hub"),
        ("lab/nobody", "there is no folder lab/nobody here, and "),
        ("a/b/c", "a/b/c does not exist"),
    ):
        assert main(["verify", target]) in (1, 2)
        out, err = capfd.readouterr()
        assert said in err
        assert (out, len(err.splitlines())) == ("", 2)


def test_a_model_without_safetensors_says_how_to_convert_it(release, publish):
    (release / WEIGHTS).rename(release / "pytorch_model.bin")
    publish(release)
    with pytest.raises(UserError, match=rf"holds no safetensors\n.*mbrelease convert {REPO}@"):
        open_hub_folder(HubId(REPO, "main"), weights=False)


def test_another_model_on_the_hub_is_named(release, publish, edit_json, capfd):
    edit_json(release / "config.json", model_type="bert")
    commit = publish(release)
    assert main(["verify", ID, "--headers-only"]) == 2
    assert f"config.json of {REPO}@{commit[:7]}: a 'bert', not a ModernBERT" in (
        capfd.readouterr().err
    )


def test_a_tied_decoder_that_was_not_fetched_is_not_judged(release, publish):
    from safetensors.numpy import load_file, save_file

    weights = load_file(release / WEIGHTS)
    weights["decoder.weight"] = weights["model.embeddings.tok_embeddings.weight"]
    save_file(weights, release / WEIGHTS, {"format": "pt"})
    publish(release)
    report = verify(open_hub_folder(HubId(REPO, "main"), weights=False), load=False)
    (tied,) = [result for result in report.results if result.name == "tensors.tied"]
    assert tied.status == "skip"


def test_a_folder_goes_before_a_model_of_its_name(release, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(release, tmp_path / ID)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert main(["verify", ID, "--headers-only"]) == 0
    assert f"\n{ID}: " in capfd.readouterr().out


def test_a_list_that_the_server_does_not_keep_is_a_sentence(release, publish, url):
    publish(release)

    def lose(request: Any) -> None:
        if request.url.path.endswith("tokenizer.json"):
            request.url = request.url.copy_with(path=request.url.path + ".lost")

    with hooked(lose), pytest.raises(CheckFailed, match="lists tokenizer.json of lab/tiny@"):
        open_hub_folder(HubId(REPO, "main"), weights=False)
