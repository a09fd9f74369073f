import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest
import torch

from mbrelease.errors import MissingExtra, UserError
from mbrelease.evaluation import backend
from mbrelease.evaluation.backend import Backend, choose_backend


@pytest.fixture
def gpu(monkeypatch):
    """The machine seems to have a GPU of some compute capability."""

    def pretend(capability, *, name="a GPU"):
        monkeypatch.setattr(backend, "_nvidia_driver_present", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)

    return pretend


@pytest.fixture
def processor(monkeypatch):
    """The machine seems to have a processor of some abilities and no GPU."""

    def pretend(*flags):
        monkeypatch.setattr(backend, "_nvidia_driver_present", lambda: False)
        monkeypatch.setattr(backend, "_cpu_flags", lambda: frozenset(flags))

    return pretend


def test_on_a_cpu_auto_is_float32_whatever_the_processor(processor):
    for flags in [(), ("avx512_bf16", "amx_bf16")]:
        processor(*flags)
        assert choose_backend() == Backend("sdpa", "float32", "cpu")


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_bfloat16_on_a_cpu_that_has_it(processor, flag):
    processor("avx2", flag)
    assert choose_backend(dtype="bfloat16", attn="eager") == Backend("eager", "bfloat16", "cpu")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"dtype": "bfloat16"}, "this processor has no bfloat16 .*\n  use --dtype float32"),
        ({"attn": "fa2-varlen"}, "'fa2-varlen' needs a CUDA device\n  use --attn sdpa"),
        ({"attn": "flash_attention_2", "device": "cpu"}, "'flash_attention_2' needs a CUDA"),
    ],
)
def test_what_a_cpu_cannot_do(processor, asked, message):
    processor("avx2")
    with pytest.raises(UserError, match=message):
        choose_backend(**asked)


def test_a_cuda_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device is available\n  use --device cpu"):
        choose_backend("cuda")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, Backend("fa2-varlen", "bfloat16", "cuda")),
        ({"dtype": "float32"}, Backend("sdpa", "float32", "cuda")),
        ({"attn": "sdpa"}, Backend("sdpa", "bfloat16", "cuda")),
        ({"attn": "eager", "dtype": "float32"}, Backend("eager", "float32", "cuda")),
        ({"device": "cpu"}, Backend("sdpa", "float32", "cpu")),
    ],
)
def test_on_a_gpu_auto_is_flash_attention_in_bfloat16(gpu, asked, found):
    gpu((8, 0))
    assert choose_backend(**asked) == found


def test_an_old_gpu_runs_sdpa_in_float32(gpu):
    gpu((7, 5))
    assert choose_backend() == Backend("sdpa", "float32", "cuda")


@pytest.mark.parametrize(
    ("capability", "asked", "message"),
    [
        ((7, 5), {"dtype": "bfloat16"}, "Tesla T4 has no bfloat16"),
        ((7, 5), {"attn": "fa2-varlen"}, "Tesla T4 is too old for attention 'fa2-varlen'"),
        ((8, 0), {"attn": "fa2-varlen", "dtype": "float32"}, "'fa2-varlen' has no float32"),
    ],
)
def test_what_a_gpu_cannot_do(gpu, capability, asked, message):
    gpu(capability, name="Tesla T4")
    with pytest.raises(UserError, match=message):
        choose_backend(**asked)


def test_the_package_is_used_where_it_is_installed(gpu, monkeypatch):
    gpu((9, 0))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'mbrelease\[fa2\]'"):
        choose_backend(attn="flash_attention_2")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: ModuleSpec(name, None))
    found = choose_backend(attn="flash_attention_2")
    assert found == Backend("flash_attention_2", "bfloat16", "cuda")


def test_a_torch_whose_kernel_takes_no_window(gpu, monkeypatch):
    gpu((8, 0))
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", lambda query, key: None)
    assert choose_backend() == Backend("sdpa", "bfloat16", "cuda")
    with pytest.raises(UserError, match="no variable-length attention with windows\n  upgrade"):
        choose_backend(attn="fa2-varlen")


@pytest.mark.parametrize("trace", range(len(backend.TRACES_OF_A_DRIVER)))
def test_torch_is_asked_where_there_is_any_trace_of_a_driver(monkeypatch, tmp_path, trace):
    traces = [tmp_path / path.name for path in backend.TRACES_OF_A_DRIVER]
    monkeypatch.setattr(backend, "TRACES_OF_A_DRIVER", traces)
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(asked.append(1)))
    assert choose_backend().device == "cpu" and not asked
    traces[trace].touch()
    assert choose_backend().device == "cpu" and asked


def test_a_backend_without_a_gpu_costs_no_import_of_torch():
    code = (
        "import sys; from mbrelease.evaluation import backend\n"
        "backend._nvidia_driver_present = lambda: False\n"
        "backend.choose_backend(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
