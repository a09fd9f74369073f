import os
import shutil
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.embedding_cache import cached, embedding_key, model_identity
from mbrelease.evaluation.encoder import Encoder

VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)


class Compute:
    """Counts how often embeddings are computed."""

    def __init__(self, vectors=VECTORS):
        self.vectors, self.times = vectors, 0

    def __call__(self):
        self.times += 1
        return self.vectors, 2


def get(key, compute, still_true=lambda: True):
    return cached(key, compute, still_true=still_true)


@pytest.fixture
def folder(own_cache):
    return own_cache / "mbrelease" / "embeddings"


def test_embeddings_are_computed_once_and_read_back_bit_for_bit(folder):
    compute = Compute()
    for _ in range(3):
        vectors, truncated = get("k", compute)
        assert vectors.tobytes() == VECTORS.tobytes()
        assert truncated == 2
    assert compute.times == 1
    assert np.load(folder / "k.npy").shape == (3, 4)
    vectors[:] = 0  # changes no file
    assert get("k", compute)[0][1, 0] == 4


@pytest.mark.parametrize("damage", ["cut", "bit", "count", "empty"])
def test_a_damaged_file_is_computed_again(folder, damage):
    compute = Compute()
    get("k", compute)
    content = bytearray((folder / "k.npy").read_bytes())
    if damage == "cut":
        del content[-50:]
    elif damage == "empty":
        content.clear()
    else:
        content[140 if damage == "bit" else -35] ^= 1
    (folder / "k.npy").write_bytes(content)
    vectors, truncated = get("k", compute)
    assert (vectors.tobytes(), truncated, compute.times) == (VECTORS.tobytes(), 2, 2)
    get("k", compute)
    assert compute.times == 2


def test_what_was_not_used_for_longest_goes_first(folder, monkeypatch):
    monkeypatch.setenv("MBRELEASE_EMBEDDINGS_GB", "1e-5")  # 10 kB
    big = Compute(np.ones((25, 32), dtype=np.float32))  # 3.4 kB
    for age, key in enumerate("abc"):
        get(key, big)
        os.utime(folder / f"{key}.npy", (1000 + age, 1000 + age))
    assert sorted(path.stem for path in folder.glob("*.npy")) == ["b", "c"]
    get("b", big)  # used again
    get("d", big)
    assert sorted(path.stem for path in folder.glob("*.npy")) == ["b", "d"]


def test_what_is_larger_than_the_cache_is_not_kept_and_0_keeps_nothing(folder, monkeypatch):
    for limit in ("1e-9", "0"):
        monkeypatch.setenv("MBRELEASE_EMBEDDINGS_GB", limit)
        assert get("k", Compute())[0].tobytes() == VECTORS.tobytes()
        assert not list(folder.glob("*.npy"))


@pytest.mark.parametrize("limit", ["ten", "-1", "nan", "inf"])
def test_a_limit_that_is_none_is_told(monkeypatch, limit):
    monkeypatch.setenv("MBRELEASE_EMBEDDINGS_GB", limit)
    with pytest.raises(UserError, match="is no number of gigabytes"):
        get("k", Compute())


def test_a_checkpoint_that_changed_meanwhile_leaves_nothing(folder):
    get("k", Compute(), still_true=lambda: False)
    assert not list(folder.glob("*.npy"))


def test_a_failure_leaves_nothing_and_the_next_one_computes(folder):
    def fail():
        raise UserError("NaN")

    with pytest.raises(UserError, match="NaN"):
        get("k", fail)
    assert get("k", Compute())[1] == 2


def test_a_cache_that_cannot_be_written_is_done_without(own_cache):
    (own_cache / "mbrelease").mkdir()
    (own_cache / "mbrelease" / "embeddings").write_text("a file where the folder would be")
    assert get("k", Compute())[0].tobytes() == VECTORS.tobytes()


def test_what_killed_writers_left_is_swept(folder):
    get("k", Compute())
    old, young = folder / ".a.npy.x.tmp", folder / ".b.npy.x.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    get("l", Compute())
    assert not old.exists()
    assert young.exists()


def test_two_processes_compute_once_between_them(folder, tmp_path):
    script = textwrap.dedent("""
        import sys, time
        import numpy as np
        from mbrelease.evaluation.embedding_cache import cached

        def compute():
            with open(sys.argv[1], "a") as file:
                file.write("computed\\n")
            time.sleep(0.5)
            return np.full((2, 2), 7, dtype=np.float32), 0

        assert cached("k", compute, still_true=lambda: True)[0][1, 1] == 7
    """)
    log = tmp_path / "log"
    command = [sys.executable, "-c", script, str(log)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert log.read_text() == "computed\n"
    assert [path.name for path in folder.glob("*.lock")] == []


def test_a_killed_process_blocks_nobody(folder, tmp_path):
    script = (
        "import sys, time\n"
        "from mbrelease.evaluation.embedding_cache import cached\n"
        "def compute():\n"
        "    print('started', flush=True)\n"
        "    time.sleep(60)\n"
        "cached('k', compute, still_true=lambda: True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"started\n"
    process.kill()
    process.wait()
    process.stdout.close()
    started = time.monotonic()
    assert get("k", Compute())[1] == 2
    assert time.monotonic() - started < 5


def test_everything_that_changes_a_vector_is_in_the_key(saved_by_5x):
    model = model_identity(open_checkpoint(saved_by_5x))

    fp32 = Backend()

    def key(model=model, backend=fp32, texts=("a", "bc"), max_length=8, pooling="mean"):
        return embedding_key(model, backend, texts, max_length=max_length, pooling=pooling)

    keys = [
        key(),
        key(model="other"),
        key(backend=Backend(dtype="bfloat16")),
        key(texts=("ab", "c")),
        key(texts=("bc", "a")),
        key(max_length=9),
        key(pooling="cls"),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]


def test_a_model_overwritten_after_it_was_read_leaves_nothing(saved_by_5x, tmp_path, folder):
    model = shutil.copytree(saved_by_5x, tmp_path / "model")
    encoder = Encoder(open_checkpoint(model), Backend())
    encoder.embed(["the owl"], max_length=16, pooling="mean")
    tensors = load_file(model / "model.safetensors")
    tensors["model.final_norm.weight"] *= 2
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    encoder.embed(["the mouse"], max_length=16, pooling="mean")
    assert len(list(folder.glob("*.npy"))) == 1
    fresh = Encoder(open_checkpoint(model), Backend())
    for text in ("the owl", "the mouse"):
        new, _ = fresh.embed([text], max_length=16, pooling="mean")
        assert not np.allclose(new, encoder.embed([text], max_length=16, pooling="mean")[0])


def test_tasks_and_seeds_share_embeddings(saved_by_5x, folder):
    texts = ["the owl", "the mouse"]
    one, _ = Encoder(open_checkpoint(saved_by_5x), Backend()).embed(
        texts, max_length=16, pooling="mean"
    )
    encoder = Encoder(open_checkpoint(saved_by_5x), Backend())
    two, _ = encoder.embed(texts, max_length=16, pooling="mean")
    assert one.tobytes() == two.tobytes()
    assert "model" not in vars(encoder)  # not even loaded
