"""The streaming mean: exact, the same bytes whatever the tiles, and picky about its input."""

import json
import os
import shlex
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbrelease.averaging.average import average_checkpoints
from mbrelease.averaging.compatibility import SHOWN_DIFFERENCES
from mbrelease.averaging.engine import Member, Work, write_tensors
from mbrelease.averaging.recipes import RecipeInput, parse_recipe
from mbrelease.averaging.tiles import plan_files
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.safetensors_header import read_header
from mbrelease.checkpoints.safetensors_layout import TensorSpec
from mbrelease.cli.main import main
from mbrelease.errors import CheckFailed, UserError

RANDOM = np.random.default_rng(0)


def normal(*shape: int, dtype: str = "float32") -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(dtype)


def bf16(*shape: int) -> np.ndarray:
    return (normal(*shape).view(np.uint32) >> 16).astype(np.uint16)


def shares(folders: list[Path], weights: str | None = None) -> list:
    parts = [Fraction(w) for w in weights.split()] if weights else None
    parts = parts or [Fraction(1, len(folders))] * len(folders)
    return [(open_checkpoint(f), w) for f, w in zip(folders, parts, strict=True)]


def tensor(folder: Path, name: str, dtype: str) -> np.ndarray:
    info = read_header(folder / "model.safetensors").tensors[name]
    data = (folder / "model.safetensors").read_bytes()[info.start : info.end]
    return np.frombuffer(data, dtype).reshape(info.shape)


@pytest.mark.parametrize("weights", [None, "1/6 1/3 1/2", "1/7 2/7 4/7"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_element_is_the_correctly_rounded_mean(make_checkpoint, tmp_path, dtype, weights):
    arrays = [normal(40, 25, dtype=dtype) for _ in range(3)]
    members = shares([make_checkpoint(n, {"w": a}) for n, a in enumerate(arrays, 1)], weights)
    average_checkpoints(members, tmp_path / "out", recipe="test")
    result = tensor(tmp_path / "out", "w", dtype)
    for index in np.ndindex(result.shape):
        exact = sum(
            w * Fraction(float(a[index])) for (_, w), a in zip(members, arrays, strict=True)
        )
        got = result[index]
        error = abs(Fraction(float(got)) - exact)
        for neighbour in (np.nextafter(got, np.inf), np.nextafter(got, -np.inf)):
            assert error <= abs(Fraction(float(neighbour.astype(dtype))) - exact)


def test_the_mean_of_bf16_is_the_nearest(make_checkpoint, tmp_path):
    arrays = [bf16(1000) for _ in range(3)]
    folders = [make_checkpoint(n, {"w": a}, bf16=True) for n, a in enumerate(arrays, 1)]
    average_checkpoints(shares(folders), tmp_path / "out", recipe="test")
    result = tensor(tmp_path / "out", "w", "<u2")
    exact = [
        sum(Fraction(float((np.uint32(a[i]) << 16).view(np.float32))) for a in arrays) / 3
        for i in range(1000)
    ]
    for i, bits in enumerate(result):
        # Beside zero stands the smallest number of the other sign.
        around = [int(bits), int(bits) + 1, int(bits) - 1 if bits & 0x7FFF else 0x8001]
        errors = [
            abs(Fraction(float(np.uint32(b << 16).view(np.float32))) - exact[i]) for b in around
        ]
        assert errors[0] == min(errors)


@pytest.mark.parametrize("copies", [1, 2, 3, 5, 7, 10, 12])
def test_copies_of_one_model_give_that_model_bit_for_bit(make_checkpoint, tmp_path, copies):
    special = np.array([0.0, -0.0, 1e-45, -3.4e38, 3.4e38, 1e-38], dtype=np.float32)
    model = {
        "f32": normal(1000),
        "special": special,
        "f64": normal(1000, dtype="float64"),
        "f64.special": np.array([0.0, -0.0, 1e308, 5e-324]),
        "f16": normal(1000, dtype="float16"),
        "bf16": bf16(1000),
        "ids": np.arange(10),
        "mask": np.array([True, False]),
        "empty": normal(0, 4),
        "scalar": np.array(2.5, dtype=np.float32),
    }
    folders = [make_checkpoint(n, model, bf16=True) for n in range(1, copies + 1)]
    average_checkpoints(shares(folders), tmp_path / "out", recipe="test")
    for name, array in model.items():
        result = tensor(tmp_path / "out", name, array.dtype.str)
        assert result.shape == array.shape
        assert result.tobytes() == array.tobytes(), name


def test_weights_too_fine_for_exact_sums_are_refused(make_checkpoint, tmp_path):
    """Recipes round them; a caller of the library is told."""
    folders = [make_checkpoint(n, {"w": normal(50)}) for n in range(1, 4)]
    weights = f"{10**20 - 3}/{10**21} 3/{10**21} 9/10"
    with pytest.raises(ValueError, match="exact sums"):
        average_checkpoints(shares(folders, weights), tmp_path / "out", recipe="test")


@pytest.mark.parametrize("recipe", ["ema:0.9", "wsm:cosine", "weights:0.123456789,1/3,0.001"])
def test_copies_stay_whatever_the_weights(make_checkpoint, tmp_path, recipe):
    model = {"w": normal(5000), "d": normal(50, dtype="float64")}
    folders = [make_checkpoint(n, model) for n in range(1, 4)]
    candidates = [RecipeInput(folder.name, None, None) for folder in folders]
    weights = parse_recipe(recipe).weights(candidates)
    members = [(open_checkpoint(f), w) for f, w in zip(folders, weights, strict=True)]
    average_checkpoints(members, tmp_path / "out", recipe=recipe)
    assert tensor(tmp_path / "out", "w", "<f4").tobytes() == model["w"].tobytes()
    assert tensor(tmp_path / "out", "d", "<f8").tobytes() == model["d"].tobytes()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tile=st.integers(1, 3000), threads=st.integers(1, 4))
def test_the_bytes_depend_on_neither_tiles_nor_threads(
    tmp_path_factory, make_checkpoint, tile, threads
):
    root = f"run-{tmp_path_factory.mktemp('x').name}"
    rng = np.random.default_rng(1)
    folders = []
    for n in range(1, 4):
        tensors = {
            "a": rng.standard_normal(777).astype("f4"),
            "b": rng.standard_normal((13, 17)).astype("f2"),
            "c": rng.standard_normal(301),
        }
        folders.append(make_checkpoint(n, tensors, root=root))
    members = tuple(Member(source, weight) for source, weight in shares(folders))
    specs = {n: TensorSpec(t.dtype, t.shape) for n, t in members[0].source.stored.items()}
    written = []
    for tile_elements, workers in ((10_000, 1), (tile, threads)):
        output = folders[0].parent / f"tiles-{len(written)}"
        output.mkdir()
        files = tuple(plan_files(specs, {}, None))
        work = Work(members, files, output, tile_elements=tile_elements)
        write_tensors(work, threads=workers)
        written.append((output / "model.safetensors").read_bytes())
    assert written[0] == written[1]


def test_sharded_inputs_mix_with_whole_ones(make_checkpoint, tmp_path):
    models = [{"a": normal(9), "b": normal(4, 4), "c": normal(3)} for _ in range(3)]
    whole = [make_checkpoint(n, model) for n, model in enumerate(models, 1)]
    mixed = [make_checkpoint(n, model, shards=n, root="mixed") for n, model in enumerate(models, 1)]
    average_checkpoints(shares(whole), tmp_path / "one", recipe="test")
    average_checkpoints(shares(mixed), tmp_path / "two", recipe="test")
    for name in "abc":
        one, two = (tensor(tmp_path / o, name, "<f4") for o in ("one", "two"))
        assert one.tobytes() == two.tobytes()


def test_the_order_and_names_of_inputs_decide_no_byte_of_the_weights(make_checkpoint, tmp_path):
    models = [{"w": normal(100)} for _ in range(3)]
    first = [make_checkpoint(n, model) for n, model in enumerate(models, 1)]
    second = [make_checkpoint(9 - n, model, root="other") for n, model in enumerate(models, 1)]
    one = average_checkpoints(shares(first), tmp_path / "one", recipe="uniform")
    two = average_checkpoints(shares(second), tmp_path / "two", recipe="uniform")
    assert one.weights_sha256 == two.weights_sha256


def test_the_output_says_how_it_was_made(make_checkpoint, tmp_path):
    folders = [make_checkpoint(n, {"w": normal(10)}) for n in (10, 20, 30)]
    members = shares(folders, "0 1/4 3/4")
    average_checkpoints(members, tmp_path / "out", recipe="test:2")
    metadata = read_header(tmp_path / "out" / "model.safetensors").metadata
    assert metadata["format"] == "pt"
    assert metadata["mbrelease_recipe"] == "test:2"
    parents = json.loads(metadata["mbrelease_parents"])
    expected = {c.weights_sha256: str(w) for c, w in members[1:]}
    assert {parent["sha256"]: parent["weight"] for parent in parents} == expected
    record = json.loads((tmp_path / "out" / "averaging.json").read_text())
    assert [(m["name"], m["step"], m["weight"]) for m in record["members"]] == [
        ("checkpoint-20", 20, "1/4"),
        ("checkpoint-30", 30, "3/4"),
    ]
    assert record["parents"] == parents
    found = sorted(entry.name for entry in (tmp_path / "out").iterdir())
    assert found == [
        "averaging.json",
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_all_differences_are_reported_at_once(make_checkpoint, tmp_path):
    base = {"a": normal(4, 4), "b": normal(3), "c": normal(2)}
    config = {"model_type": "modernbert", "vocab_size": 64, "hidden_size": 8}
    folders = [
        make_checkpoint(1, base, config=config),
        make_checkpoint(2, {"a": normal(4, 5), "b": normal(3)}, config=config),
        make_checkpoint(
            3, {**base, "b": normal(3, dtype="float16"), "d": normal(1)}, config=config
        ),
        make_checkpoint(4, base, config=config | {"hidden_activation": "silu"}),
        make_checkpoint(5, base, config=config | {"global_rope_theta": 10000.0}),
        make_checkpoint(6, base, config=config, tokenizer='{"other": 1}'),
    ]
    with pytest.raises(CheckFailed) as caught:
        average_checkpoints(shares(folders), tmp_path / "out", recipe="test")
    message = caught.value.message
    for said in [
        "checkpoint-2: tensor a has shape [4, 5], not [4, 4]",
        "checkpoint-2: tensor c is missing",
        "checkpoint-3: tensor b is F16, not F32",
        "checkpoint-3: tensor d is extra",
        "checkpoint-4: config hidden_activation is silu, not gelu",
        "checkpoint-5: config global_rope_theta is 10000.0, not 160000.0",
        "checkpoint-6: tokenizer.json is another one",
    ]:
        assert said in message
    assert not (tmp_path / "out").exists()


def test_configs_of_two_generations_are_one_model(make_checkpoint, tmp_path):
    old = {"model_type": "modernbert", "num_hidden_layers": 2, "global_rope_theta": 10000.0}
    new = {
        "model_type": "modernbert",
        "num_hidden_layers": 2,
        "layer_types": ["full_attention", "sliding_attention"],
        "rope_parameters": {
            "full_attention": {"rope_theta": 10000.0, "rope_type": "default"},
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
        },
    }
    folders = [
        make_checkpoint(1, {"w": normal(3)}, config=old),
        make_checkpoint(2, {"w": normal(3)}, config=new),
    ]
    result = average_checkpoints(shares(folders), tmp_path / "out", recipe="test")
    assert result.config == open_checkpoint(folders[1]).config
    assert result.raw_config["global_rope_theta"] == 10000.0
    assert result.raw_config["rope_parameters"] == new["rope_parameters"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_inf_are_named(make_checkpoint, tmp_path, value, dtype):
    good, bad = normal(5000, dtype=dtype), normal(5000, dtype=dtype)
    bad[4321] = value
    folders = [make_checkpoint(1, {"head.w": good}), make_checkpoint(2, {"head.w": bad})]
    with pytest.raises(CheckFailed) as caught:
        average_checkpoints(shares(folders), tmp_path / "out", recipe="test")
    assert caught.value.message == (f"tensor head.w of {folders[1]} holds {value} (element 4321)")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run"]


def test_infinities_that_cancel_are_still_named(make_checkpoint, tmp_path):
    up, down = np.full(3, np.inf, "float32"), np.full(3, -np.inf, "float32")
    folders = [make_checkpoint(1, {"w": up}), make_checkpoint(2, {"w": down})]
    with pytest.raises(CheckFailed, match=r"tensor w of .* holds"):
        average_checkpoints(shares(folders), tmp_path / "out", recipe="test")


def test_a_bf16_nan_is_named(make_checkpoint, tmp_path):
    bad = bf16(10)
    bad[3] = 0x7FC0
    folders = [
        make_checkpoint(1, {"w": bf16(10)}, bf16=True),
        make_checkpoint(2, {"w": bad}, bf16=True),
    ]
    with pytest.raises(CheckFailed, match="checkpoint-2 holds nan"):
        average_checkpoints(shares(folders), tmp_path / "out", recipe="test")


def test_integers_that_differ_are_refused(make_checkpoint, tmp_path):
    folders = [
        make_checkpoint(1, {"ids": np.array([1, 2, 3])}),
        make_checkpoint(2, {"ids": np.array([1, 2, 4])}),
    ]
    with pytest.raises(CheckFailed, match=r"tensor ids \(I64\) differs between"):
        average_checkpoints(shares(folders), tmp_path / "out", recipe="test")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [0, 7, 20, 100, 395])
def test_a_truncated_input_leaves_no_output(make_checkpoint, tmp_path, kept):
    folders = [make_checkpoint(n, {"w": normal(100)}) for n in (1, 2)]
    file = folders[1] / "model.safetensors"
    os.truncate(file, kept)
    with pytest.raises(UserError, match="not a whole safetensors file"):
        average_checkpoints(shares(folders), tmp_path / "out", recipe="test")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run"]


@pytest.mark.parametrize("call", ["average", "convert"])
@pytest.mark.parametrize("what", ["twice", "empty"])
def test_a_tensor_in_two_shards_or_none_at_all_is_refused(
    make_checkpoint, tmp_path, capsys, call, what
):
    """The hash of one shard would wait for ever for the bytes that were read from the other."""
    folder = make_checkpoint(1, {"a": normal(50), "b": normal(60)}, shards=2)
    one, two = sorted(folder.glob("*.safetensors"))
    empty = (2).to_bytes(8, "little") + b"{}"
    one.write_bytes(two.read_bytes() if what == "twice" else empty)
    two.write_bytes(one.read_bytes())
    more = ["--max-shard-size", "1KB"] if what == "empty" else []
    assert main([call, str(folder), "-o", str(tmp_path / "out"), *more]) == 2
    said = capsys.readouterr().err
    assert ("tensor b lies in 2 of the files" if what == "twice" else "holds no tensors") in said
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run"]


def test_an_input_cut_short_while_it_is_read_leaves_no_output(make_checkpoint, tmp_path):
    members = shares([make_checkpoint(n, {"w": normal(10_000)}) for n in (1, 2)])
    assert members[1][0].headers  # read and kept: the file is cut after that
    os.truncate(members[1][0].weight_files[0], 20_000)
    with pytest.raises(UserError, match="cut short while it was read"):
        average_checkpoints(members, tmp_path / "out", recipe="test")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run"]


HEADER_EDITS = st.sampled_from(
    [
        (b'"F32"', b'"F33"'), (b'"F32"', b'"F16"'), (b'"I64"', b'"I32"'), (b'"ids"', b'"a"'),
        (b"[20]", b"[21]"), (b"[20]", b"[-20]"), (b"[20]", b"[2e1]"), (b"[20]", b"[[20]]"),
        (b"[20]", b"[4,5]"), (b"[0,80]", b"[0,81]"), (b"[80,112]", b"[40,72]"),
        (b"[80,112]", b"[84,116]"), (b"[0,80]", b"[80,0]"), (b"[0,80]", b"[0,99999999999]"),
        (b'"data_offsets"', b'"data_offset"'), (b"{", b"["), (b"}", b""), (b'"dtype"', b'"shape"'),
        (b"[20]", b"[9223372036854775807,2]"), (b'"a"', b'"__metadata__"'), (b'"a"', b'"\\ud800"'),
    ]
)  # fmt: skip
MUTATIONS = st.one_of(
    st.tuples(st.just("edit"), HEADER_EDITS, st.booleans()),
    st.tuples(
        st.just("bytes"),
        st.lists(st.tuples(st.integers(0, 260), st.integers(0, 255)), min_size=1, max_size=4),
    ),
    st.tuples(st.just("cut"), st.integers(0, 260)),
    st.tuples(st.just("length"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("append"), st.binary(min_size=1, max_size=40)),
)


def mutated(whole: bytes, mutation: tuple) -> bytes:
    """A safetensors file with something wrong in it, or nothing that matters."""
    kind, what = mutation[0], mutation[1]
    if kind == "cut":
        return whole[:what]
    if kind == "append":
        return whole + what
    if kind == "length":
        return what.to_bytes(8, "little") + whole[8:]
    if kind == "edit":
        length = int.from_bytes(whole[:8], "little")
        header = whole[8 : 8 + length].replace(b" ", b"").replace(*what, 1)
        data = whole[8 + length :]
        return len(header).to_bytes(8, "little") + header + (data if mutation[2] else data[:-1])
    data = bytearray(whole)
    for position, value in what:
        data[position % len(data)] = value
    return bytes(data)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(mutation=MUTATIONS)
def test_mutated_files_never_crash_and_never_leave_half_an_output(
    tmp_path_factory, make_checkpoint, mutation
):
    root = f"run-{tmp_path_factory.mktemp('x').name}"
    tensors = {"a": np.arange(20, dtype="float32"), "ids": np.arange(4)}
    good, bad = (make_checkpoint(n, tensors, root=root) for n in (1, 2))
    file = bad / "model.safetensors"
    file.write_bytes(mutated(file.read_bytes(), mutation))
    output = good.parent / "out"
    try:
        average_checkpoints(shares([good, bad]), output, recipe="test")
    except UserError as error:
        assert str(error).count("\n") <= SHOWN_DIFFERENCES + 2
        assert not output.exists()
        assert sorted(entry.name for entry in good.parent.iterdir()) == [good.name, bad.name]
    else:
        result = read_header(output / "model.safetensors")
        assert result.tensors.keys() == tensors.keys()


def test_most_mutations_are_refused(make_checkpoint, tmp_path):
    """The one above would pass if nothing were ever wrong."""
    good = make_checkpoint(1, {"a": np.arange(20, dtype="float32"), "ids": np.arange(4)})
    whole = (good / "model.safetensors").read_bytes()
    bad = make_checkpoint(2, {"a": np.arange(20, dtype="float32"), "ids": np.arange(4)})
    for mutation in [("cut", 100), ("append", b"x"), ("length", 10**9), ("length", 3)]:
        (bad / "model.safetensors").write_bytes(mutated(whole, mutation))
        with pytest.raises(UserError, match="not a whole safetensors file"):
            average_checkpoints(shares([good, bad]), tmp_path / "out", recipe="test")


def test_a_disk_without_room_leaves_no_output(make_checkpoint, tmp_path):
    """A limit on file sizes stands for the full disk: both stop a write half-way."""
    folders = [make_checkpoint(n, {"w": normal(100_000)}) for n in (1, 2)]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
            "from mbrelease.cli.main import main; main()",
            *["average", *map(str, folders), "-o", str(tmp_path / "out")],
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "cannot write" in done.stderr and "Traceback" not in done.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run"]


def test_memory_stays_small(make_checkpoint, tmp_path):
    """Four files of 40 MB are averaged in less memory than one of them takes."""
    big = {"w": np.zeros((10_000, 1000), dtype=np.float32)}
    folders = [make_checkpoint(n, big) for n in range(1, 5)]
    script = (
        "import sys\n"
        "from mbrelease.cli.main import run\n"
        "code = run(sys.argv[1:])\n"
        "peak = next(l for l in open('/proc/self/status') if l.startswith('VmHWM'))\n"
        "print(code, peak.split()[1], 'torch' in sys.modules, file=sys.stderr)\n"
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    arguments = ["average", *map(str, folders), "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    code, peak_kb, torch = done.stderr.split()[-3:]
    assert (code, torch) == ("0", "False")
    assert int(peak_kb) < 100_000


IN_A_SMALL_DISK = "mount -t tmpfs -o size={size} none {folder} && exec {python} -c {script} {rest}"
WITHOUT_LOOKING = (
    "import mbrelease.averaging.write_model as m; m._check_space = lambda *_: None; "
    "import sys; from mbrelease.cli.main import main; sys.exit(main(sys.argv[1:]))"
)
LOOKING = "import sys; from mbrelease.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize(
    ("script", "said"),
    [(LOOKING, "is too full: 2 MB are needed"), (WITHOUT_LOOKING, "the disk is full")],
    ids=["seen before", "met half-way"],
)
def test_a_full_disk_is_one_clear_line(make_checkpoint, tmp_path, script, said):
    """A real one of 1 MB; looked at before, and met half-way when something else filled it."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    folders = [make_checkpoint(n, {"w": normal(500_000)}) for n in (1, 2)]
    disk = tmp_path / "disk"
    disk.mkdir()
    command = IN_A_SMALL_DISK.format(
        size="1m", folder=disk, python=sys.executable, script=shlex.quote(script),
        rest=shlex.join(["average", *map(str, folders), "-o", str(disk / "out")]),
    )  # fmt: skip
    listing = f"; code=$?; ls -A {disk}; exit $code"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"({command}){listing}"], capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") <= 2
    assert done.stdout == "", "something was left behind"
