"""The code of a card runs in a fresh process, without network, and a fault in it stops the card."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mbrelease.cards.snippets import run as running
from mbrelease.cards.snippets.records import Outcomes, known_outcomes, read_outcomes
from mbrelease.cards.snippets.run import MAX_OUTPUT_BYTES, run_card_blocks
from mbrelease.errors import CheckFailed, MissingExtra, UserError


class Notes:
    """Keeps what progress is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.started: list[int] = []

    def start(self, description: str, total: int, unit: str) -> None:
        self.started.append(total)

    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def bare(folder: Path) -> Path:
    """A release that is quickly read, for code that loads no model."""
    (folder / "tokenizer.json").write_text("{}")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    return folder


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    return tmp_path / "project" / "evidence"


@pytest.fixture
def run(bare: Path, evidence: Path) -> Callable[..., Outcomes]:
    def start(code: str, repo: str | None = "org/name", **options: Any) -> Outcomes:
        card = f"---\nlicense: mit\n---\n\nHello\n\n```python\n{code}\n```\n"
        return run_card_blocks(card, bare, repo, evidence=evidence, **options)

    return start


def output(outcomes: Outcomes) -> str | None:
    (outcome,) = outcomes.by_key.values()
    return outcome.output


def stored(evidence: Path) -> Path:
    (file,) = (evidence / "snippets").glob("*.json")
    return file


# How a block ends.


def test_what_a_block_prints_is_kept(run: Callable[..., Outcomes], evidence: Path) -> None:
    code = "import sys\nprint(6 * 7)\nprint('aside', file=sys.stderr)"
    outcomes = run(code)
    assert output(outcomes) == "42"
    assert outcomes.place.file == f"evidence/snippets/{stored(evidence).name}"
    digest = hashlib.sha256(f"{code}\n".encode()).hexdigest()
    block = json.loads(stored(evidence).read_text())["blocks"][digest[:16]]
    assert block["code_sha256"] == digest
    assert (block["output"], block["device"]) == ("42", "cpu")
    assert block["software"]["python"]


@pytest.mark.parametrize(
    ("code", "line", "said"),
    [
        ("x = 1\nx / 0", 9, "ZeroDivisionError: division by zero"),
        ("def f():\n    raise ValueError('no\\nway')\n\nf()", 9, "ValueError: no"),
        ("import json\njson.loads('{')", 9, "JSONDecodeError"),
        ("x = 1\nx = = 2", 9, "SyntaxError: invalid syntax"),
        ("import no_such_module", 8, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit('stop')", 8, "SystemExit: stop"),
        ("import os\nos._exit(3)", 8, "exit code 3"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", 8, "signal 11"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", 8, "was killed"),
        ("import atexit, os\natexit.register(lambda: os._exit(4))", 8, "exit code 4"),
        ("assert False", 8, "AssertionError"),
    ],
)
def test_a_block_that_fails_stops_with_its_line_and_exception(
    run: Callable[..., Outcomes], evidence: Path, code: str, line: int, said: str
) -> None:
    with pytest.raises(CheckFailed) as stopped:
        run(code)
    assert stopped.value.message.startswith(f"README.md line {line}: ")
    assert said in stopped.value.message
    assert "\n" not in stopped.value.message
    assert stopped.value.mend
    assert not (evidence / "snippets").exists()


def test_code_is_a_main_module_that_may_end_early(run: Callable[..., Outcomes]) -> None:
    code = (
        "import inspect, pickle, sys\ndef f(): pass\npickle.dumps(f)\n"
        "print(__name__, inspect.getsource(f))\nsys.exit()\nprint('never')"
    )
    assert output(run(code)) == "__main__ def f(): pass"


def test_prompts_are_told_from_other_mistakes(run: Callable[..., Outcomes]) -> None:
    with pytest.raises(CheckFailed) as stopped:
        run(">>> print(1)\n1")
    assert stopped.value.mend is not None and ">>>" in stopped.value.mend


def test_the_mend_says_whose_code_it_is(bare: Path, evidence: Path) -> None:
    code = "<!-- mbrelease:usage -->\n\n```python\n1 / 0\n```\n\n<!-- /mbrelease:usage -->\n"
    with pytest.raises(CheckFailed, match=r"line 4: ZeroDivisionError") as stopped:
        run_card_blocks(code, bare, None, evidence=evidence)
    assert stopped.value.mend == "mend the code in the template sections/usage.md.j2"


def test_a_block_without_end_is_killed_with_its_children(
    run: Callable[..., Outcomes], tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "while True: pass"
    )
    with pytest.raises(CheckFailed, match="line 8: the code ran longer than 4 seconds"):
        run(code, seconds=4)
    assert not any(_is_running(int(pid)) for pid in pids.read_text().split())


def test_a_child_that_is_left_behind_is_not_waited_for(run: Callable[..., Outcomes]) -> None:
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\nprint('done')"
    )
    start = time.monotonic()
    assert output(run(code)) == "done"
    assert time.monotonic() - start < 60


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # who should bury it may be slow


def test_a_block_that_prints_ten_megabytes_is_stopped(run: Callable[..., Outcomes]) -> None:
    with pytest.raises(CheckFailed, match="prints more than 20,000 bytes"):
        run("print('x' * 10_000_000)\nimport time\ntime.sleep(600)", seconds=60)


def test_output_may_be_as_long_as_allowed(run: Callable[..., Outcomes]) -> None:
    printed = output(run(f"print('x' * {MAX_OUTPUT_BYTES - 1})"))
    assert printed is not None and len(printed) == MAX_OUTPUT_BYTES - 1


def test_much_on_stderr_does_no_harm(run: Callable[..., Outcomes]) -> None:
    assert output(run("import sys\nsys.stderr.write('x' * 3_000_000)\nprint('ok')")) == "ok"


# What a block finds around itself.


@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=5)",
        "from socket import *\nsocket(AF_INET6, SOCK_DGRAM).sendto(b'x', ('2001:db8::1', 9))",
        "import socket\nsocket.getaddrinfo('example.org', 443)",
        "import _socket\n_socket.socket().connect(('192.0.2.1', 80))",
    ],
)
def test_a_block_that_opens_a_connection_is_refused(
    run: Callable[..., Outcomes], code: str
) -> None:
    with pytest.raises(CheckFailed, match="line 9: NetworkRefused: no network") as stopped:
        run(code)
    assert stopped.value.mend is not None and "without a network" in stopped.value.mend


def test_children_are_refused_too(run: Callable[..., Outcomes]) -> None:
    code = (
        "import subprocess, sys\n"
        "child = 'import socket; socket.create_connection((\"192.0.2.1\", 80))'\n"
        "done = subprocess.run([sys.executable, '-c', child], capture_output=True, text=True)\n"
        "print(done.stderr.splitlines()[-1].partition(':')[0])"
    )
    assert output(run(code)) == "sitecustomize.NetworkRefused"


def test_a_server_on_loopback_is_allowed(run: Callable[..., Outcomes]) -> None:
    code = (
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(('localhost', server.getsockname()[1]))\n"
        "client.sendall(b'hi')\nprint(server.accept()[0].recv(2))"
    )
    assert output(run(code)) == "b'hi'"


def test_no_token_and_no_setting_reaches_a_block(
    run: Callable[..., Outcomes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    token = home / ".cache" / "huggingface" / "token"
    token.parent.mkdir(parents=True)
    token.write_text("hf_secret")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hf_secret")
    monkeypatch.setenv("HOME", str(home))
    code = (
        "import os\nfrom huggingface_hub import get_token\n"
        "print(get_token(), [name for name, value in os.environ.items() if 'secret' in value])\n"
        "print(os.environ['HF_HUB_OFFLINE'], os.path.expanduser('~') == os.environ['HOME'])\n"
        f"print(os.environ['HOME'] == {str(home)!r})"
    )
    assert output(run(code)) == "None []\n1 True\nFalse"


def test_the_release_is_found_by_its_repo_id(run: Callable[..., Outcomes]) -> None:
    code = (
        "from huggingface_hub import hf_hub_download, snapshot_download\nimport os\n"
        "print(sorted(os.listdir(snapshot_download('org/name'))), os.listdir('.'))\n"
        "print(open(hf_hub_download('org/name', '1_Pooling/config.json')).read())"
    )
    files = "['1_Pooling', 'config.json', 'model.safetensors', 'tokenizer.json'] []"
    assert output(run(code)) == f"{files}\n{{}}"


def test_another_model_is_not_found(run: Callable[..., Outcomes]) -> None:
    code = (
        "from huggingface_hub import hf_hub_download\nhf_hub_download('org/other', 'config.json')"
    )
    with pytest.raises(CheckFailed, match="line 9: LocalEntryNotFoundError") as stopped:
        run(code)
    assert stopped.value.mend is not None and "no model but this one" in stopped.value.mend


def test_without_a_repo_the_release_is_the_folder_of_the_block(
    run: Callable[..., Outcomes], bare: Path
) -> None:
    before = (bare / "config.json").read_bytes()
    code = "import os\nprint(sorted(os.listdir('.')))\nopen('config.json', 'w').write('spoilt')"
    assert output(run(code, repo=None)).startswith("['1_Pooling', 'config.json'")  # type: ignore[union-attr]
    assert (bare / "config.json").read_bytes() == before


def test_a_block_that_writes_to_linked_weights_is_found_out(
    run: Callable[..., Outcomes], bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mbrelease.cards.snippets.stage.LINKED_BYTES", 100)
    with pytest.raises(CheckFailed, match=r"the code changed .*model\.safetensors"):
        run("open('model.safetensors', 'ab').write(b'x')", repo=None)


def test_sets_and_widths_print_the_same_each_time(run: Callable[..., Outcomes]) -> None:
    code = "import shutil\nprint({'a', 'b', 'c', 'd'}, shutil.get_terminal_size().columns)"
    assert output(run(code)) == output(run(code, again=True))


# What is known is not run again.


@pytest.fixture
def counted(tmp_path: Path) -> tuple[str, Callable[[], int]]:
    """Code that leaves a trace each time it runs."""
    trace = tmp_path / "trace"
    code = f"open({str(trace)!r}, 'a').write('x')\nprint('ran')"
    return code, lambda: trace.stat().st_size if trace.exists() else 0


def test_only_what_is_not_known_is_run(
    run: Callable[..., Outcomes], evidence: Path, counted: tuple[str, Callable[[], int]]
) -> None:
    code, times = counted
    run(code)
    first = stored(evidence).read_bytes()
    progress = Notes()
    assert output(run(code, progress=progress)) == "ran"
    assert (times(), progress.started) == (1, [])
    run(code, again=True)
    assert times() == 2
    assert stored(evidence).read_bytes() == first


def test_the_same_code_twice_on_a_card_is_run_once(
    bare: Path, evidence: Path, counted: tuple[str, Callable[[], int]]
) -> None:
    code, times = counted
    card = f"```python\n{code}\n```\n\n~~~py\n{code}\n~~~\n"
    run_card_blocks(card, bare, None, evidence=evidence)
    assert times() == 1


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "1_Pooling/config.json"])
def test_an_outcome_of_another_model_is_not_used(
    run: Callable[..., Outcomes],
    bare: Path,
    evidence: Path,
    counted: tuple[str, Callable[[], int]],
    file: str,
) -> None:
    code, times = counted
    run(code)
    weights = json.loads(stored(evidence).read_text())["weights_sha256"]
    assert known_outcomes(evidence, weights, bare).by_key
    content = json.loads((bare / file).read_text()) | {"hidden_size": 128}
    (bare / file).write_text(json.dumps(content))
    assert not known_outcomes(evidence, weights, bare).by_key
    run(code)
    assert times() == 2
    assert known_outcomes(evidence, weights, bare).by_key
    # Of a model that is not on disk the weights alone are known.
    assert known_outcomes(evidence, weights, bare / "gone").by_key
    assert not known_outcomes(evidence, "0" * 64).by_key


def test_outcomes_of_two_blocks_stand_beside_each_other(
    run: Callable[..., Outcomes], evidence: Path
) -> None:
    run("print(1)")
    outcomes = run("print(2)")
    assert outcomes.of("print(1)\n") is not None and outcomes.of("print(2)\n") is not None
    assert outcomes.of("print(3)\n") is None
    blocks = json.loads(stored(evidence).read_text())["blocks"]
    assert list(blocks) == sorted(blocks)


@pytest.mark.parametrize("text", ["{", "[]", '{"blocks": {"a": {}}}', '{"blocks": 1}'])
def test_a_malformed_record_is_named(
    run: Callable[..., Outcomes], evidence: Path, text: str
) -> None:
    run("print(1)")
    stored(evidence).write_text(text)
    with pytest.raises(UserError, match=r"evidence/snippets/\w{16}\.json") as wrong:
        run("print(1)")
    assert wrong.value.mend is not None and "delete the file" in wrong.value.mend


# What not every machine has.

GPU_CODE = [
    "model.to('cuda')",
    "model.to('cuda:0', dtype)",
    "model.cuda()",
    "pipeline('fill-mask', device='cuda')",
    "f(device_map='cuda')",
    "torch.device('cuda')",
    "f(attn_implementation='flash_attention_2')",
]


@pytest.mark.parametrize("code", GPU_CODE)
def test_code_for_a_gpu_is_not_run_where_there_is_none(
    run: Callable[..., Outcomes], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(running, "TRACES_OF_A_DRIVER", ())
    progress = Notes()
    (outcome,) = run(code, progress=progress).by_key.values()
    assert outcome.output is None
    assert outcome.not_run is not None and outcome.not_run.startswith("a GPU")
    (note,) = progress.notes
    assert note.startswith("README.md line 8: not run, for it needs a GPU")


def test_a_driver_without_a_gpu_is_seen_by_torch(
    run: Callable[..., Outcomes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "TRACES_OF_A_DRIVER", (Path("/"),))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    progress = Notes()
    (outcome,) = run("import torch\ntorch.ones(1).to('cuda')", progress=progress).by_key.values()
    assert outcome.not_run == "a GPU"
    assert "torch finds no CUDA device" in progress.notes[0]


def test_what_was_not_run_is_tried_again_and_what_was_run_stays(
    run: Callable[..., Outcomes], bare: Path, evidence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from mbrelease.cards.snippets.records import release_identity, write_outcome

    monkeypatch.setattr(running, "TRACES_OF_A_DRIVER", ())
    code = "torch.device('cuda')"
    (outcome,) = run(code).by_key.values()
    progress = Notes()
    run(code, progress=progress)
    assert progress.started == []  # there is still no driver
    monkeypatch.setattr(running, "TRACES_OF_A_DRIVER", (bare,))
    run(code, progress=progress)
    assert progress.started == [1]
    ran = replace(outcome, output="on a GPU", not_run=None, device="cuda")
    write_outcome(evidence, release_identity(bare), ran)
    assert output(run(code)) == "on a GPU"
    assert output(run(code, again=True)) == "on a GPU"
    assert read_outcomes(evidence, release_identity(bare)).by_key == {ran.key: ran}


@pytest.mark.parametrize(
    "code",
    [
        "device = 'cuda' if torch.cuda.is_available() else 'cpu'",
        "model.to(device)",
        "print('cuda')",
        "f(attn_implementation='sdpa')",
        "no python",
    ],
)
def test_code_that_takes_a_gpu_where_there_is_one_needs_none(code: str) -> None:
    from mbrelease.cards.snippets.needs import needs_of

    assert needs_of(code).beyond_a_cpu is None


def test_a_missing_package_is_asked_for(
    run: Callable[..., Outcomes], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = running.importlib.util.find_spec
    monkeypatch.setattr(
        running.importlib.util,
        "find_spec",
        lambda name: None if name == "sentence_transformers" else found(name),
    )
    with pytest.raises(MissingExtra, match=r"imports sentence-transformers, .*\[eval\]"):
        run("from sentence_transformers import SentenceTransformer")


def test_nothing_is_left_in_the_folder_of_temporary_files(
    run: Callable[..., Outcomes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    run("import tempfile\nprint(tempfile.mkdtemp() != '')")
    with pytest.raises(CheckFailed):
        run("import tempfile\ntempfile.mkdtemp()\n1 / 0")
    assert os.listdir(tmp_path / "t") == []
