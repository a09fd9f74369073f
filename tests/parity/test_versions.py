"""Environments with another transformers, built from packages on disk: no index is needed.

What is installed here is a package that is called transformers and does what a test tells it;
test_versions_real.py asks the real ones.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.parity.checks.versions import (
    check_versions,
    compared,
    greatest_difference,
    skip_versions,
)
from mbrelease.parity.verify import verify
from mbrelease.parity.versions import environment, install
from mbrelease.parity.versions.ask import Answer, Question, ask
from mbrelease.parity.versions.environment import python_with, running_version
from mbrelease.parity.versions.requested import requested_versions
from mbrelease.parity.versions.shared import shared_packages
from mbrelease.parity.versions.unavailable import NoSuchVersion, Unavailable

STRANGE = """\
import os
from pathlib import Path
told = Path("behaviour.py")
exec(told.read_text() if told.exists() else "")
"""
BUILD = "from mbrelease.parity.versions.environment import python_with; python_with('4.48.3')"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
QUESTION = Question(folder=Path("."), model_class="Model", max_length=8)


def metadata(name, version):
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def wheel(folder, version, requires=()):
    """A package called transformers, as an index would give it."""
    info = f"transformers-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        "transformers/__init__.py": STRANGE + f"__version__ = '{version}'\n",
        f"{info}/METADATA": metadata("transformers", version) + needs,
        f"{info}/WHEEL": WHEEL,
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"transformers-{version}-py3-none-any.whl", "w") as archive:
        for name, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(name, text)


@pytest.fixture(autouse=True)
def no_index(monkeypatch, tmp_path):
    """pip knows a folder of wheels and nothing else, and there is no uv."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    wheel(tmp_path / "wheels", "4.48.3", ["numpy>=1.17", "filelock"])
    return tmp_path / "wheels"


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """The interpreter of an environment whose transformers does as it is told."""
    folder = tmp_path_factory.mktemp("strange")
    wheel(folder / "wheels", "4.48.3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder / "wheels"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return python_with("4.48.3")


def told(workspace, behaviour):
    workspace.mkdir()
    (workspace / "behaviour.py").write_text(behaviour)
    return workspace


def fake_uv(folder, script):
    """An installer of this name, first on the path."""
    folder.mkdir()
    (folder / "uv").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "uv").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("texts", "versions"),
    [
        (["transformers==4.48.3,4.57.6"], ("4.48.3", "4.57.6")),
        (["4.57.6, 4.48.3", "transformers==4.57.6"], ("4.57.6", "4.48.3")),
        (["5.0.0rc1"], ("5.0.0rc1",)),
        ([], ()),
    ],
)
def test_versions_are_named_after_the_package_or_alone(texts, versions):
    assert requested_versions(texts) == versions


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sentence-transformers==5.0.0", "only transformers can be asked"),
        ("transformers", "'transformers' is no version"),
        ("transformers>=4.48", "'transformers>=4.48' is no version"),
        ("4.48.3,", "'' is no version"),
        ("4.48.3 --index-url x", "is no version"),
        ("4.47.1", "transformers 4.47.1 has no ModernBERT"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(text, said):
    with pytest.raises(UserError, match=said):
        requested_versions([text])


def test_an_environment_has_its_own_transformers_and_shares_torch():
    python = python_with("4.48.3")
    asked = (
        "import importlib.util as u, transformers, filelock, numpy; print(transformers.__version__,"
        "u.find_spec('torch').origin, u.find_spec('mbrelease'), u.find_spec('accelerate'))"
    )
    said = subprocess.run(
        [python, "-I", "-c", asked], capture_output=True, text=True, check=True
    ).stdout.split()
    assert said[0] == "4.48.3"
    shared = python.parents[2] / "shared" / "torch"
    assert said[1] == str(shared / "__init__.py")
    assert shared.is_symlink()
    assert said[2:] == ["None", "None"], "nothing else of the running environment is seen"
    assert not list(python.parents[1].glob("lib/*/site-packages/numpy*")), "fetched again"
    before = python.stat().st_mtime_ns
    assert python_with("4.48.3") == python
    assert python.stat().st_mtime_ns == before


def test_what_is_shared_is_never_removed(no_index):
    """Where a transformers wants another version of it, that one is installed beside."""
    import filelock

    kept = Path(filelock.__file__).read_bytes()
    with zipfile.ZipFile(no_index / "filelock-0.1-py3-none-any.whl", "w") as archive:
        archive.writestr("filelock/__init__.py", "__version__ = '0.1'\n")
        archive.writestr(
            "filelock-0.1.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: filelock\nVersion: 0.1\n",
        )
        archive.writestr(
            "filelock-0.1.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("filelock-0.1.dist-info/RECORD", "filelock/__init__.py,,\n")
    wheel(no_index, "4.48.4", ["filelock==0.1"])
    python = python_with("4.48.4")
    said = subprocess.run(
        [python, "-I", "-c", "import filelock; print(filelock.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "0.1\n"
    assert Path(filelock.__file__).read_bytes() == kept
    assert (python.parents[2] / "shared" / "filelock").exists()


def test_an_environment_is_bound_to_what_it_shares():
    shared = shared_packages()
    assert {"torch", "numpy", "safetensors"} <= shared.versions.keys()
    assert "transformers" not in shared.versions
    assert all(path.exists() for path in shared.links.values())
    other = shared.versions | {"torch": "0"}
    assert type(shared)(other, shared.links).identity != shared.identity
    assert environment._key("4.48.3", shared) != environment._key("4.57.6", shared)


def test_the_running_version_needs_no_environment(own_cache):
    assert python_with(running_version()) == Path(sys.executable)
    assert not (own_cache / "mbrelease").exists()


def test_two_at_once_build_it_once(own_cache, tmp_path, monkeypatch):
    calls = tmp_path / "calls"
    monkeypatch.setenv("PATH", fake_uv(tmp_path / "bin", f"echo call >> {calls}; sleep 0.5"))
    notes = []

    class Notes:
        def start(self, *_): ...
        def advance(self, *_): ...
        def note(self, message):
            notes.append(message)

    threads = [
        threading.Thread(target=python_with, args=("4.48.3",), kwargs={"progress": Notes()})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls.read_text() == "call\n"
    assert sum("another process is installing" in note for note in notes) == 1


def test_one_that_was_killed_while_it_was_built_does_not_count(own_cache, tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    slow = fake_uv(tmp_path / "bin", f"touch {mark}; exec sleep 60")
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD], env=os.environ | {"PATH": slow}, start_new_session=True
    )
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    venvs = own_cache / "mbrelease" / "venvs"
    assert len([entry for entry in venvs.iterdir() if entry.is_dir()]) == 1, "it left its half"
    python = python_with("4.48.3")
    subprocess.run([python, "-I", "-c", "import transformers"], check=True)
    folders = [entry.name for entry in venvs.iterdir() if entry.is_dir()]
    assert folders == [python.parents[2].name], "and the half was swept away"


def test_pip_is_asked_where_uv_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", fake_uv(tmp_path / "bin", "echo 'error: no index' >&2; exit 2"))
    python = python_with("4.48.3")
    subprocess.run([python, "-I", "-c", "import transformers"], check=True)


def test_a_version_that_does_not_exist_is_a_wrong_call(own_cache):
    with pytest.raises(NoSuchVersion) as caught:
        python_with("4.48.4")
    assert str(caught.value) == (
        "the package index has no transformers 4.48.4\n  did you mean '4.48.3'?"
    )
    assert not [entry for entry in (own_cache / "mbrelease" / "venvs").iterdir() if entry.is_dir()]


def test_without_an_index_it_cannot_be_asked(monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(Unavailable, match=r"^no package index can be reached .* 4\.48\.3$"):
        python_with("4.48.3")


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ("  cause: Because there is no version of transformers==4.99.0 and", NoSuchVersion, "4.99"),
        ("error: Failed to fetch: `x`\n  cause: dns error", Unavailable, "no package index can be"),
        (
            "WARNING: x\nERROR: Could not find a version that satisfies the requirement "
            "tokenizers<0.22,>=0.21 (from versions: 0.22.0)\nERROR: No matching distribution",
            Unavailable,
            "could not be installed: ERROR: Could not find a version that .* tokenizers<0.22",
        ),
        ("", Unavailable, "no reason was given"),
    ],
)
def test_the_reason_is_read_from_what_the_installer_says(said, kind, text):
    reason = install._reason(said, "4.99.0")
    assert type(reason) is kind
    with pytest.raises(kind, match=text):
        raise reason


def test_a_cache_that_cannot_be_written_is_a_reason(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(Unavailable, match="cannot write"):
        python_with("4.48.3")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("raise ImportError('numpy is too new')", "cannot be imported here: ImportError: numpy is"),
        ("import os; os.kill(os.getpid(), 9)", "without an answer: it was killed by signal 9"),
        ("import sys; sys.exit('gone')", "it ended without an answer: gone"),
        ("import time; time.sleep(60)", "it took longer than 1 seconds"),
        (
            "import socket; socket.create_connection(('127.0.0.1', 9))",
            "OSError: a question about a folder needs no network",
        ),
    ],
)
def test_a_transformers_that_does_not_work_is_no_fault_of_the_folder(
    strange, tmp_path, behaviour, reason
):
    seconds = 1 if "sleep" in behaviour else 60
    with pytest.raises(Unavailable, match=reason):
        ask(strange, QUESTION, told(tmp_path / "asked", behaviour), seconds=seconds)


def test_nothing_of_ours_is_passed_on(strange, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said = "raise ImportError(sorted(set(os.environ) - {'PATH', 'LANG', 'LC_ALL', 'LC_CTYPE'}))"
    with pytest.raises(Unavailable) as caught:
        ask(strange, QUESTION, told(tmp_path / "asked", said))
    assert "HF_HUB_OFFLINE" in str(caught.value)
    assert "TRANSFORMERS_OFFLINE" in str(caught.value)
    assert "HF_TOKEN" not in str(caught.value)
    assert "PYTHONPATH" not in str(caught.value)


def test_a_version_that_cannot_be_asked_is_skipped_with_its_reason(release, no_index, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(no_index / "none"))
    checkpoint = open_checkpoint(release)
    (result,) = check_versions(checkpoint, ["4.48.3"], publishable=True)
    assert (result.name, result.status) == ("versions.4.48.3", "skip")
    assert result.found == "no package index can be reached to install transformers 4.48.3"


def test_a_head_that_is_not_known_is_skipped(release, edit_json):
    edit_json(release / "config.json", architectures=["ModernBertForMultipleChoice"])
    (result,) = check_versions(open_checkpoint(release), ["4.48.3"], publishable=True)
    assert (result.status, result.found) == ("skip", "no check for ModernBertForMultipleChoice")
    assert [r.name for r in skip_versions(["4.48.3", "4.57.6"], "why")] == [
        "versions.4.48.3",
        "versions.4.57.6",
    ]


def test_the_greatest_difference_is_found_wherever_it_is():
    theirs = np.zeros((200, 3), np.float32)
    mine = theirs.copy()
    mine[150, 2] = -0.25
    assert greatest_difference(mine, theirs) == 0.25
    mine[10, 0] = np.nan
    assert np.isnan(greatest_difference(mine, theirs))
    assert greatest_difference(theirs, theirs) == 0.0


def answer(output, **tokens):
    """What a version said, of one text of three tokens."""
    tokenizer = {"ids": [[1, 7, 2]], "decoded": ["[CLS]a[SEP]"], "size": 9} | tokens
    return Answer(tokenizer, None, np.asarray(output, np.float32), None, 3)


REFERENCE = answer([[1, 2], [3, -4], [5, 6]])


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (answer([[1, 2], [3, -4], [5, 6.001]]), "max |Δ| 0.001 over 3 tokens, of values up to 6"),
        (answer([[1, 2], [3, np.nan], [5, 6]]), "max |Δ| nan over 3 tokens"),
        (answer([[1, 2], [3, -4]]), "output of shape [2, 2], not [3, 2]; the same tokens"),
        (answer(REFERENCE.output, ids=[[1, 8, 2]]), "max |Δ| 0 over 3 tokens, of values up to 6; "),
        (
            answer(REFERENCE.output, ids=[[1, 8, 2]], size=8),
            "other token ids of 1 of 1 texts; a vocabulary of another size",
        ),
        (
            Answer(None, "ValueError: no", None, "KeyError: x", 0),
            "model: KeyError: x; tokenizer: V",
        ),
    ],
)
def test_each_difference_is_a_fault_and_is_named(release, said, found):
    result = compared(open_checkpoint(release), "4.48.3", REFERENCE, said, publishable=True)
    assert result.status == "fail"
    assert found in result.found
    assert result.mend == "it is normalized already: say in the card which transformers it needs"


def test_rounding_is_no_difference(release):
    said = answer(REFERENCE.output + np.float32(9e-5))
    result = compared(open_checkpoint(release), "4.48.3", REFERENCE, said, publishable=True)
    assert (result.status, result.mend) == ("pass", None)


def test_what_a_release_mends_only_warns_in_a_trainers_folder(saved_by_5x, tmp_path):
    folder = shutil.copytree(saved_by_5x, tmp_path / "saved")
    (folder / "trainer_state.json").write_text("{}")
    said = answer(REFERENCE.output + 1)
    result = compared(open_checkpoint(folder), "4.48.3", REFERENCE, said, publishable=False)
    assert (result.status, result.mend) == ("warn", f"mbrelease normalize {folder} -o FOLDER")


def test_versions_are_asked_only_of_what_may_be_loaded(release, edit_json):
    edit_json(release / "config.json", hidden_size=128)
    report = verify(release, versions=["4.48.3"])
    (result,) = [result for result in report.results if result.name == "versions.4.48.3"]
    assert result.status == "skip"
    assert "did not pass, so nothing was loaded" in result.found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--with", "torch==2.0"], "only transformers can be asked"),
        (["--with", "4.48.3", "--headers-only"], "--with loads the model, --headers-only does not"),
    ],
)
def test_a_wrong_call_is_told_before_anything_is_read(release, capfd, arguments, said):
    assert main(["verify", str(release), *arguments]) == 2
    out, err = capfd.readouterr()
    assert (out, said in err) == ("", True)
