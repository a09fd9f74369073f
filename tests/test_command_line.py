"""What holds for every command."""

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from mbrelease import __version__
from mbrelease.cli.main import COMMANDS, cli, main

HEAVY = ("torch", "transformers", "huggingface_hub", "pyarrow", "pydantic", "rich", "numpy")


def imported_by(code: str) -> set[str]:
    """The heavy modules that are loaded after ``code`` ran in a fresh interpreter."""
    probe = f"import sys\n{code}\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy():
    assert imported_by("from mbrelease.cli.main import main\nmain(['--help'])") == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_no_framework(command):
    found = imported_by(f"from mbrelease.cli.main import main\nmain([{command!r}, '--help'])")
    assert not found & {"torch", "transformers", "huggingface_hub"}


@pytest.mark.parametrize("room", ["selection.policy", "cards.card", "averaging.average"])
def test_a_room_for_laptops_imports_no_framework(room):
    assert not imported_by(f"import mbrelease.{room}") & {"torch", "transformers"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_of_commands_is_true(command):
    found = cli.get_command(click.Context(cli, **cli.context_settings), command)
    assert found.help


def test_the_version_is_said():
    result = CliRunner().invoke(cli, ["--version"])
    assert result.output.strip() == f"mbrelease, version {__version__}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["relase"], "no command 'relase'; did you mean 'release'?"),
        (["select"], "Missing argument 'VARIANT'"),
        (["select", "x", "--nope"], "No such option"),
    ],
)
def test_a_wrong_call_exits_2_and_says_what(capsys, arguments, said):
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def shell(line: str, cwd, **environment: str) -> subprocess.CompletedProcess[str]:
    (cwd / "registry.yaml").write_text("version: 1\nfamily: Owls\nvariants: {owl: {}}\n")
    line = line.replace("mbrelease", f"{sys.executable} -m mbrelease.cli.main")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=cwd, capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip


@pytest.mark.parametrize("what", ["registry list", "registry list --json", "--help"])
def test_a_reader_that_leaves_is_no_failed_check(tmp_path, what):
    # The sleep lets `true` go before anything is written.
    done = shell(f"(sleep 0.3; mbrelease {what}) | true", tmp_path)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("closed", ["1>&-", "2>&-"])
def test_a_closed_stream_is_no_failure(tmp_path, closed):
    done = shell(f"mbrelease registry list {closed}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_behind_stdout_is_a_sentence(tmp_path):
    done = shell("mbrelease registry list >/dev/full", tmp_path)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr


def test_a_terminal_without_the_letters_is_no_failure(tmp_path):
    done = shell("mbrelease registry list", tmp_path, PYTHONIOENCODING="latin-1")
    assert done.returncode == 0 and "\\u2013" in done.stdout


def test_a_name_no_file_can_have_is_a_sentence(tmp_path):
    done = shell(f"mbrelease eval {'x' * 300}", tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 2


def test_no_arguments_are_answered_by_the_help(capsys):
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("Usage: mbrelease")


def test_no_registry_is_said_with_the_mend(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["select", "x"]) == 2
    assert "--registry" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["cause", "context", "text"])
def test_an_interrupt_that_a_library_wrapped_is_an_interrupt(monkeypatch, capsys, how):
    def interrupted(**_: object) -> None:
        if how == "text":
            raise RuntimeError("Error building model: KeyboardInterrupt: ")
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            raise ValueError("schema") from (interrupt if how == "cause" else None)

    monkeypatch.setattr(cli, "main", interrupted)
    assert main([]) == 130
    assert capsys.readouterr().err.startswith("error: interrupted")


def test_another_error_of_a_library_is_none(monkeypatch):
    def broken(**_: object) -> None:
        raise ValueError("schema")

    monkeypatch.setattr(cli, "main", broken)
    with pytest.raises(ValueError, match="schema"):
        main([])
