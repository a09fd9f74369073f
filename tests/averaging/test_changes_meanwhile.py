"""What others do to inputs and output while an average is made: nothing is lost or mislabelled."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mbrelease.averaging.average import average_checkpoints
from mbrelease.averaging.convert import convert_checkpoint
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.files import resumable_folder
from mbrelease.progress import Silent


class Meanwhile(Silent):
    """Does something when the first bytes have been read."""

    def __init__(self, act):
        self.act = act

    def advance(self, amount=1):
        act, self.act = self.act, lambda: None
        act()


@pytest.fixture
def members(make_checkpoint):
    rng = np.random.default_rng(0)
    folders = [make_checkpoint(n, {"w": rng.standard_normal(200_000)}) for n in (1, 2)]
    return [(open_checkpoint(folder), Fraction(1, 2)) for folder in folders]


def replaced(file: Path, by: Path) -> None:
    shutil.copyfile(by, file.with_name("new"))
    file.with_name("new").replace(file)


def rewritten(file: Path, by: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(by.read_bytes())


@pytest.mark.parametrize("change", [replaced, rewritten])
def test_an_input_that_changes_leaves_no_output(members, tmp_path, change):
    """Else its hash would be that of bytes which are not in the average."""
    first, second = (member.weight_files[0] for member, _ in members)
    bar = Meanwhile(lambda: change(second, first))
    with pytest.raises(UserError, match="checkpoint-2 changed while it was read"):
        average_checkpoints(members, tmp_path / "out", recipe="uniform", progress=bar)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run"]


@pytest.mark.parametrize("command", ["average", "convert"])
def test_what_came_to_lie_at_the_output_is_not_replaced(members, tmp_path, command):
    output = tmp_path / "out"

    def put():
        output.mkdir()
        (output / "thesis.txt").write_text("mine")

    with pytest.raises(UserError, match="something"):
        if command == "average":
            average_checkpoints(members, output, recipe="uniform", progress=Meanwhile(put))
        else:
            convert_checkpoint(members[0][0], output, progress=Meanwhile(put))
    assert (output / "thesis.txt").read_text() == "mine"
    assert not (tmp_path / ".out.partial").exists()


def test_nothing_is_removed_through_a_link(members, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "thesis.txt").write_text("mine")
    (tmp_path / ".out.partial").symlink_to(elsewhere)
    with pytest.raises(UserError, match="cannot write"):
        average_checkpoints(members, tmp_path / "out", recipe="uniform")
    assert (elsewhere / "thesis.txt").read_text() == "mine"
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused_before_a_byte_is_read(members, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def fail():
        raise AssertionError("read")

    with pytest.raises(UserError, match=r"no folder can take the place of \."):
        average_checkpoints(members, Path(), recipe="uniform", progress=Meanwhile(fail))
    assert not any(Path().iterdir())


def test_a_mount_point_is_refused():
    """Containers mount their outputs: the folder itself cannot be renamed away."""
    with (
        pytest.raises(UserError, match="no folder can take the place of /proc"),
        resumable_folder(Path("/proc"), "state"),
    ):
        raise AssertionError("yielded")
