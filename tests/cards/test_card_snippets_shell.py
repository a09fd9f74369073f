"""Shell commands of a card do what their reader expects."""

import shutil

import pytest

from mbrelease.cards.snippets.shell import ShellFault, check_shell


def faults(command: str, language: str = "sh") -> list[ShellFault]:
    return check_shell(f"# Card\n\n```{language}\n{command}\n```\n")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("pip install transformers>=4.48", 'transformers>=4.48 writes to a file named "=4.48"'),
        ("pip3 install -U torch transformers>=4.48", 'writes to a file named "=4.48"'),
        ("python -m pip install 'torch' transformers>4", 'writes to a file named "4"'),
        ("pip install transformers<5", 'reads from a file named "5"'),
        ("uv pip install transformers >= 4.48", 'writes to a file named "=4.48"'),
        ("uv add a[b]>=1", 'a[b]>=1 writes to a file named "=1"'),
        ("pip install \\\n  transformers>=4.48", 'writes to a file named "=4.48"'),
    ],
)
def test_a_requirement_without_quotes_is_refused(command: str, words: str) -> None:
    (fault,) = faults(command)
    assert words in fault.message
    assert (fault.line, fault.is_warning) == (4, False)
    assert "with its quotes" in fault.mend


@pytest.mark.parametrize(
    "command",
    [
        "pip install 'transformers>=4.48'",
        'pip install -U torch "transformers>=4.48,<6"',
        "pip install transformers==4.48.0 torch~=2.5",
        "pip install transformers\\>=4.48",
        "pip install transformers > log.txt 2>&1",
        "pip install torch  # transformers>=4.48 comes with it",
        "pip install 'git+https://github.com/org/name@v1.0'",
        "pip install -r requirements.txt",
        "git clone https://huggingface.co/org/name\ncd name && ls | head -n 3",
        "cat <<EOF\nit's fine\nEOF",
        'for f in *; do echo "$f"; done',
    ],
)
def test_what_is_right_is_left_alone(command: str) -> None:
    assert faults(command) == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("curl https://example.org/x.sh | sh", "without anybody having seen it"),
        ("wget -qO- https://example.org/x | sudo bash", "without anybody having seen it"),
        ("sudo pip install torch", "as root"),
        ("cd x && sudo make", "as root"),
        ("pip install git+https://github.com/org/name", "another program tomorrow"),
        ("pip install 'git+https://user@github.com/org/name.git'", "another program tomorrow"),
        ("pip install mbrelease[eval]", "zsh takes mbrelease[eval]"),
    ],
)
def test_what_is_unwise_is_a_warning(command: str, words: str) -> None:
    assert any(words in fault.message for fault in faults(command))
    assert all(fault.is_warning for fault in faults(command))


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash says what is wrong")
@pytest.mark.parametrize(
    ("command", "line"),
    [("echo 'x", 4), ("echo a\nif true; then\necho b", 6), ("ls\nlogin --token <token>", 5)],
)
def test_what_bash_cannot_read_is_refused(command: str, line: int) -> None:
    (fault,) = faults(command, "bash")
    assert fault.message.startswith("bash cannot read it: ")
    assert not fault.is_warning
    assert 4 <= fault.line <= line


def test_without_bash_quotes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (fault,) = faults("echo 'x")
    assert fault.message == "the shell cannot read it: No closing quotation"
    assert faults("echo 'x'") == []


def test_nothing_of_a_block_is_executed(tmp_path) -> None:
    assert faults(f"touch {tmp_path}/x\n$(touch {tmp_path}/x)") == []
    assert list(tmp_path.iterdir()) == []


def test_a_transcript_has_commands_behind_its_prompts() -> None:
    assert faults("$ pip install torch\nInstalled 'torch (in 3 s)", "console") == []
    (fault,) = faults("output\n$ pip install torch>=2", "console")
    assert fault.line == 5
    (fault,) = faults("$ pip install torch>=2\nDone.")
    assert fault.line == 4


def test_commands_in_the_text_and_without_a_language_are_read_too() -> None:
    text = "Run `pip install -U transformers>=4.48` first.\n\n```\npip install torch>=2\n```\n"
    assert [(fault.line, fault.message.split()[2]) for fault in check_shell(text)] == [
        (1, "transformers>=4.48"),
        (4, "torch>=2"),
    ]
    assert check_shell('Run `pip install -U "transformers>=4.48"`, for `a>=4` holds.\n') == []


def test_other_blocks_are_not_read() -> None:
    assert check_shell("```python\nprint('pip install torch>=2')\n```\n") == []
    assert check_shell("```\nit's text\n```\n") == []
