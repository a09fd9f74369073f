"""A push as the world gets it: real programs, an empty cache, no token, nothing but HF_ENDPOINT."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mbrelease.files import sha256_bytes, sha256_file
from mbrelease.hub.rehearsal.server import running

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

REPO, TAG = "rehearsal/owl", "v1.0"
TOKEN = "hf_" + "Rehearsal" * 4
TEXTS = ["the owl hunts mice", "how to bake the bread in an oven", "the"]
README = "---\nlicense: apache-2.0\nlanguage: [en]\n---\n\n# Owl\n\nA tiny model.\n"
PROGRAMS = Path(sys.executable).parent

LOAD = """
import json, sys
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForMaskedLM.from_pretrained(sys.argv[1]).eval()
masked = tokenizer("the [MASK] hunts", return_tensors="pt")
with torch.no_grad():
    logits = model(**masked).logits
print(json.dumps([type(model).__name__, masked["input_ids"].tolist(), logits.tolist()]))
"""

# As `mbrelease card` writes it.
EMBED = """
import json, sys
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

encoder = Transformer(sys.argv[1])
pooling = Pooling(encoder.get_embedding_dimension(), pooling_mode="mean")
model = SentenceTransformer(modules=[encoder, pooling])
print(json.dumps(model.encode(sys.argv[2:]).tolist()))
"""

SNAPSHOT = """
import sys
from huggingface_hub import snapshot_download

print(snapshot_download(sys.argv[1], revision=sys.argv[2]))
print(snapshot_download(sys.argv[1], revision=sys.argv[2], local_files_only=True))
"""


@dataclass(frozen=True)
class Published:
    """A release that was pushed, where it is served, and what the receipt says of it."""

    url: str
    folder: Path
    receipt: dict[str, Any]

    @property
    def weights(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def sha256s(self) -> dict[str, str]:
        """Of every file, as the receipt tells them."""
        return {path: file["sha256"] for path, file in self.receipt["files"].items()}

    def resolve(self, path: str, revision: str = "main") -> str:
        return f"{self.url}/{REPO}/resolve/{revision}/{path}"


def environment(home: Path, url: str, **more: str) -> dict[str, str]:
    """Of someone who has nothing at home, and knows the Hub's address."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    own = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home / "huggingface"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "NO_COLOR": "1",
    }
    return inherited | own | more


def run(command: list[str], given: dict[str, str]) -> str:
    """What the program prints."""
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def published(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """The tiny release, pushed by the command to a rehearsal Hub that goes on to serve it."""
    work = tmp_path_factory.mktemp("clients")
    folder = Path(shutil.copytree(released, work / "owl"))
    (folder / "README.md").write_text(README)
    (folder / "figures").mkdir()
    (folder / "figures" / "curve.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with running(work / "hub") as url:
        given = environment(work, url, HF_TOKEN=TOKEN)
        command = [str(PROGRAMS / "mbrelease"), "push", str(folder), "--to", REPO, "--tag", TAG]
        done = subprocess.run(
            [*command, "--json"], cwd=work, env=given, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        yield Published(url, folder, json.loads(done.stdout)["receipt"])


@pytest.fixture
def stranger(published: Published, tmp_path: Path) -> dict[str, str]:
    """The environment of someone with an empty cache and no token."""
    return environment(tmp_path, published.url)


def test_transformers_loads_it_by_its_name_and_computes_the_same(
    published: Published, stranger: dict[str, str]
) -> None:
    name, ids, logits = json.loads(run([sys.executable, "-c", LOAD, REPO], stranger))
    assert name == "ModernBertForMaskedLM"
    tokenizer = transformers.AutoTokenizer.from_pretrained(published.folder)
    masked = tokenizer("the [MASK] hunts", return_tensors="pt")
    assert ids == masked["input_ids"].tolist() and tokenizer.mask_token_id in ids[0]
    model = transformers.AutoModelForMaskedLM.from_pretrained(published.folder).eval()
    with torch.no_grad():
        expected = model(**masked).logits
    torch.testing.assert_close(torch.tensor(logits), expected, atol=1e-5, rtol=1e-4)


def test_sentence_transformers_embeds_with_it_as_the_card_says(
    published: Published, stranger: dict[str, str]
) -> None:
    pytest.importorskip("sentence_transformers")
    rows = json.loads(run([sys.executable, "-c", EMBED, REPO, *TEXTS], stranger))
    tokenizer = transformers.AutoTokenizer.from_pretrained(published.folder)
    model = transformers.AutoModel.from_pretrained(published.folder).eval()
    expected = []
    for text in TEXTS:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        expected.append(states[0].mean(0))
    torch.testing.assert_close(torch.tensor(rows), torch.stack(expected), atol=1e-4, rtol=1e-3)


def test_a_snapshot_of_the_tag_is_what_the_receipt_says(
    published: Published, stranger: dict[str, str]
) -> None:
    """And is found in the cache afterwards, under the commit's id."""
    said = run([sys.executable, "-c", SNAPSHOT, REPO, TAG], stranger)
    first, from_cache = map(Path, said.splitlines())
    assert first == from_cache and first.name == published.receipt["commit"]
    assert hashes(first) == published.sha256s


def test_hf_downloads_verifies_and_lists_it(
    published: Published, stranger: dict[str, str], tmp_path: Path
) -> None:
    hf = str(PROGRAMS / "hf")
    local = tmp_path / "owl"
    run([hf, "download", REPO, "--revision", TAG, "--local-dir", str(local), "-q"], stranger)
    assert hashes(local) == published.sha256s
    # Its own comparison of what came with the hashes that the Hub tells.
    run([hf, "cache", "verify", REPO, "--revision", TAG, "--local-dir", str(local)], stranger)
    tags = json.loads(run([hf, "repos", "tag", "list", REPO, "--json"], stranger))
    assert TAG in json.dumps(tags)
    info = json.loads(run([hf, "models", "info", REPO, "--json"], stranger))
    assert (info["id"], info["sha"]) == (REPO, published.receipt["commit"])


def test_any_range_of_the_weights_comes_by_plain_http(published: Published) -> None:
    weights = published.weights.read_bytes()
    middle, end = len(weights) // 2, len(weights)
    wanted = {
        f"bytes={middle}-{middle + 9999}": (middle, middle + 10_000),
        "bytes=0-0": (0, 1),
        "bytes=-17": (end - 17, end),
        f"bytes={end - 5}-{end + 5}": (end - 5, end),
    }
    for asked, (start, stop) in wanted.items():
        status, told, body = ranged(published.resolve("model.safetensors"), asked)
        assert (status, told) == (206, f"bytes {start}-{stop - 1}/{end}"), asked
        assert body == weights[start:stop], asked


def test_two_ranges_tell_the_tensors_without_a_download(published: Published) -> None:
    """As programs do that show or load parts of a model that is far away."""
    from safetensors import safe_open

    url = published.resolve("model.safetensors", published.receipt["commit"])
    (length,) = struct.unpack("<Q", ranged(url, "bytes=0-7")[2])
    header = json.loads(ranged(url, f"bytes=8-{7 + length}")[2])
    header.pop("__metadata__", None)
    with safe_open(published.weights, framework="pt") as weights:
        assert sorted(header) == sorted(weights.keys())
        name = sorted(header)[-1]
        start, stop = (8 + length + offset for offset in header[name]["data_offsets"])
        _, _, raw = ranged(url, f"bytes={start}-{stop - 1}")
        tensor = weights.get_tensor(name)
        assert raw == tensor.numpy().tobytes() and header[name]["shape"] == list(tensor.shape)


def test_pieces_that_are_fetched_at_once_make_the_file(published: Published) -> None:
    """As download managers do."""
    size, url = published.weights.stat().st_size, published.resolve("model.safetensors", TAG)
    step = size // 7 + 1
    with ThreadPoolExecutor(7) as pool:
        asked = [f"bytes={start}-{start + step - 1}" for start in range(0, size, step)]
        pieces = [body for _, _, body in pool.map(lambda each: ranged(url, each), asked)]
    assert len(pieces) == 7
    assert sha256_bytes(b"".join(pieces)) == published.sha256s["model.safetensors"]


def ranged(url: str, asked: str) -> tuple[int, str, bytes]:
    """Status, Content-Range and body of a GET of a part."""
    request = urllib.request.Request(url, headers={"Range": asked})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, answer.headers["Content-Range"], answer.read()


def hashes(folder: Path) -> dict[str, str]:
    """Of every file that was published in ``folder``, and not what the Hub or a client added."""
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cache" not in path.parts and path.name != ".gitattributes"
    }
