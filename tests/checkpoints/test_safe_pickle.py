"""A pickle is read as data: what picklers write comes back, and nothing ever runs."""

from __future__ import annotations

import collections
import contextlib
import copyreg
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbrelease.checkpoints import safe_pickle
from mbrelease.checkpoints.safe_pickle import Opaque, load
from mbrelease.errors import UserError

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(min_size=1),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.tuples(inner, inner, inner, inner)
        | st.tuples(inner)
    ),
    max_leaves=20,
)


def read(data, known=None, persistent=None):
    return load(data, "weights.pt", known or {}, persistent)


def refused(data, known=None):
    with pytest.raises(UserError) as error:
        read(data, known)
    assert error.value.message.startswith("weights.pt cannot be read: ")
    assert "\n" not in error.value.message
    assert error.value.mend
    return error.value.message


@given(PLAIN, st.sampled_from(PROTOCOLS))
def test_plain_data_come_back_as_they_were(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_values_and_many_names_come_back(protocol):
    value = {
        "text": "ü" * 300,
        "bytes": bytes(range(256)) * 2,
        "number": -(1 << 3000),
        "names": [f"layer.{i}" for i in range(1000)],
        "layers": tuple(range(5)),
    }
    assert read(pickle.dumps(value, protocol)) == value
    assert read(pickle.dumps([value, value["names"]], protocol))[1] == value["names"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_list_may_hold_itself(protocol):
    value = []
    value.append((value,))
    found = read(pickle.dumps(value, protocol))
    assert found[0][0] is found


@dataclass
class Metadata:
    step: int


class Items(list):
    pass


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_unknown_is_a_name_and_does_no_harm_beside_the_rest(protocol):
    counted = collections.Counter("aab")
    objects = [Metadata(3), Items([1, 2]), {1}, frozenset([2]), counted, slice(1), Metadata, len]
    found = read(pickle.dumps({"objects": objects, "step": 7}, protocol))
    assert found["step"] == 7
    assert all(isinstance(value, Opaque) for value in found["objects"])
    assert str(found["objects"][0]).endswith("test_safe_pickle.Metadata")
    assert found["objects"][1].name == "Items"


class Step:
    """What a caller knows in the place of Metadata."""

    step = None

    def __setstate__(self, state):
        self.step = int(state["step"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_known_is_called_and_gets_its_state(protocol):
    data = pickle.dumps([Metadata(3), collections.OrderedDict(a=1)], protocol)
    known = {(__name__, "Metadata"): Step, ("collections", "OrderedDict"): dict}
    # Protocol 2 makes a Metadata by copyreg, 3 and later by an opcode.
    step, items = read(data, known)
    assert step.step == 3
    assert items == {"a": 1}


def test_a_persistent_id_is_the_callers():
    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", 3) if value == "here" else None

    out = io.BytesIO()
    Pickler(out, 2).dump(["here"])
    assert read(out.getvalue(), persistent=lambda identity: identity[1]) == [3]
    assert "what is not in it" in refused(out.getvalue())


# What pickles can do, on the way to a file that must not be made


class Run:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce_ex__(self, protocol):
        return self.reduced


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def attacks(path):
    """Name → (pickle, whether Python's own unpickler makes the file of it)."""
    touch = f"open({str(path)!r}, 'w').close()"
    shell = f"touch {path}"
    made = {
        f"{name} protocol {protocol}": (pickle.dumps(value, protocol), True)
        for protocol in PROTOCOLS
        for name, value in {
            "os.system": Run(os.system, (shell,)),
            "exec": Run(exec, (touch,)),
            "subprocess": Run(subprocess.call, (["touch", str(path)],)),
            "in a list's items": Run(list, (), None, iter([Run(os.system, (shell,))])),
            "in a dict's key": {Run(os.system, (shell,)): 1},
        }.items()
    }
    by_hand = {
        "a dotted name": (
            b"\x80\x04" + text("os") + text("path.os.system") + b"\x93" + text(shell) + b"\x85R.",
            True,
        ),
        "getattr": (
            b"\x80\x02cbuiltins\ngetattr\ncos\npath\n" + text("os") + b"\x86R" + b"0"
            b"cbuiltins\neval\n" + text(f"open({str(path)!r}, 'w').close()") + b"\x85R.",
            True,
        ),
        "INST": (b"(" + text(shell) + b"ios\nsystem\n.", True),
        "OBJ": (b"(cos\nsystem\n" + text(shell) + b"o.", True),
        "text of protocol 0": (b"cos\nsystem\n(S'" + shell.encode() + b"'\ntR.", True),
        "NEWOBJ": (
            b"\x80\x02csubprocess\nPopen\n" + text(f"touch {path}") + b"\x85\x81.",
            False,
        ),
        "a state for os": (
            b"\x80\x02cos\nsystem\n}" + text("__setstate__") + b"cos\nsystem\nsb.",
            False,
        ),
        "a __setstate__ that runs": (
            b"\x80\x02cbuiltins\nobject\n)\x81}"
            + text("__setstate__")
            + b"cos\nsystem\nsb"
            + text(shell)
            + b"b.",
            False,
        ),
        "a class made to run": (
            b"\x80\x02cbuiltins\ntype\n" + text("A") + b")}" + text("__setstate__") + b"cos\nsystem"
            b"\ns\x87R)\x81" + text(shell) + b"b.",
            True,
        ),
        "EXT1": (b"\x80\x02\x82\xf0" + text(shell) + b"\x85R.", True),
        "EXT2": (b"\x80\x02\x83\xf0\x00" + text(shell) + b"\x85R.", True),
        "EXT4": (b"\x80\x02\x84\xf0\x00\x00\x00" + text(shell) + b"\x85R.", True),
    }
    return made | by_hand


@pytest.fixture
def registered_extension():
    copyreg.add_extension("os", "system", 0xF0)
    yield
    copyreg.remove_extension("os", "system", 0xF0)


@pytest.mark.usefixtures("registered_extension")
def test_no_attack_runs_anything(tmp_path):
    for name, (data, runs_in_python) in attacks(tmp_path / "made").items():
        path = tmp_path / "made"
        with contextlib.suppress(Exception):
            pickle.loads(data)
        assert path.exists() is runs_in_python, f"{name}: the attack itself does not work"
        path.unlink(missing_ok=True)
        with contextlib.suppress(UserError):
            read(data)
        assert not path.exists(), name


def test_the_name_of_what_would_run_is_what_is_left():
    assert str(read(pickle.dumps(Run(os.system, ("true",)), 2))) == "posix.system"
    assert str(read(b"\x80\x04" + text("os") + text("a\nb" * 99) + b"\x93.")).isprintable()


def test_a_global_is_not_even_imported():
    assert "this" not in sys.modules
    assert str(read(b"\x80\x02cthis\ns\n.")) == "this.s"
    assert "this" not in sys.modules


@dataclass(frozen=True)
class Checked:
    size: int


def test_a_value_of_the_callers_cannot_be_changed_afterwards():
    known = {("torch", "tensor"): lambda: Checked(1)}
    state = b"}" + text("size") + b"K\x09s"
    made = b"\x80\x02ctorch\ntensor\n)R"
    assert read(made + state + b"b.", known) == Checked(1)
    assert read(made + b"N" + state + b"\x86b.", known) == Checked(1)
    assert "items of a value of type Checked" in refused(made + text("size") + b"K\x09s.", known)
    assert "items of a value of type Checked" in refused(made + b"K\x09a.", known)
    assert "calls a value of type Checked" in refused(made + b")R.", known)


def test_the_known_themselves_are_out_of_reach():
    def make(size=1):
        return Checked(size)

    state = b"N}" + text("__defaults__") + b"K\x09\x85s\x86b"
    data = b"\x80\x02ctorch\ntensor\n" + state + b")R."
    assert read(data, {("torch", "tensor"): make}) == Checked(1)
    assert make() == Checked(1)


@pytest.mark.parametrize("error", [TypeError, ZeroDivisionError, AttributeError, AssertionError])
def test_a_known_function_may_refuse_its_arguments(error):
    def make(*_):
        raise error("no")

    said = refused(b"\x80\x02ctorch\ntensor\n)R.", {("torch", "tensor"): make})
    assert said.endswith("torch.tensor with arguments that it cannot have")


def test_a_sentence_of_the_callers_is_kept():
    def make():
        raise UserError("out of its storage")

    with pytest.raises(UserError, match="^out of its storage$"):
        read(b"\x80\x02ctorch\ntensor\n)R.", {("torch", "tensor"): make})


HUGE = struct.pack("<Q", 1 << 62)
LONG_TEXT = text("a" * 1000) + b"q\x00"
ENCODE = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
BOMBS = {
    "a memo index": (b"\x80\x02Nr\xff\xff\xff\xff.", None),
    "a text": (b"\x80\x04\x8d" + HUGE + b".", "too early"),
    "bytes": (b"\x80\x04\x8e" + HUGE + b".", "too early"),
    "a bytearray": (b"\x80\x05\x96" + HUGE + b".", "too early"),
    "a shorter text": (b"\x80\x02X\xff\xff\xff\xff.", "too early"),
    "a number": (b"\x80\x02\x8b\xff\xff\xff\x7f.", "a number of 2147483647 bytes"),
    "a frame": (b"\x80\x04\x95" + HUGE + b"N.", None),
    "a buffer outside": (b"\x80\x05\x97.", "opcode NEXT_BUFFER, which torch never writes"),
    "tuples in tuples": (b"\x80\x02)" + b"\x85" * 1_000_000 + b".", "nested too deep"),
    "a key of tuples": (b"\x80\x02})" + b"\x85" * 1_000_000 + b"Ns.", "nested too deep"),
    "one text encoded often": (b"\x80\x02" + LONG_TEXT + ENCODE * 2000 + b".", "more bytes than"),
    "lists in lists": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", None),
}


@pytest.mark.parametrize(("data", "said"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_takes_no_memory(data, said):
    tracemalloc.start()
    try:
        if said is None:
            read(data)
        else:
            assert said in refused(data)
        assert tracemalloc.get_traced_memory()[1] < 200 * len(data) + 1_000_000
    finally:
        tracemalloc.stop()


def test_the_size_and_the_number_of_opcodes_are_bounded(monkeypatch):
    monkeypatch.setattr(safe_pickle, "MAX_OPCODES", 1000)
    assert "more than 1000 opcodes" in refused(b"\x80\x02" + b"]" * 1000 + b".")
    monkeypatch.setattr(safe_pickle, "MAX_PICKLE_BYTES", 100)
    assert "it has 101 bytes, more than 100" in refused(bytes(101))


BROKEN = {
    "nothing": (b"", "too early"),
    "no end": (b"\x80\x02N", "too early"),
    "half a name": (b"\x80\x02cos\nsys", "too early"),
    "something after the end": (b"\x80\x02N.N.", "2 bytes after its end"),
    "an empty stack": (b"\x80\x02.", "IndexError"),
    "no mark": (b"\x80\x02]u.", "IndexError"),
    "a memo that was never filled": (b"\x80\x02h\x07.", "KeyError"),
    "a key without a value": (b"\x80\x02}(Nu.", "ValueError"),
    "a list as a key": (b"\x80\x02}]Ns.", "TypeError"),
    "items for a number": (b"\x80\x02K\x01Na.", "items of a value of type int"),
    "a call of a number": (b"\x80\x02K\x01)R.", "it calls a value of type int"),
    "a tuple of too few": (b"\x80\x02N\x86.", "a tuple of more than there is"),
    "a global of numbers": (b"\x80\x04K\x01K\x01\x93.", "a global whose name is not text"),
    "text that is none": (b"\x80\x02X\x01\x00\x00\x00\xff.", "UnicodeDecodeError"),
    "half a surrogate pair": (b"\x80\x02X\x03\x00\x00\x00\xed\xa0\x80.", "UnicodeDecodeError"),
    "a protocol to come": (b"\x80\x06N.", "of a protocol after 5"),
    "no opcode": (b"\x80\x02\xff.", "opcode 0xff"),
}


@pytest.mark.parametrize(("data", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_pickle_is_a_sentence(data, said):
    assert said in refused(data)


@given(st.binary(max_size=300))
def test_no_bytes_whatever_bring_a_traceback(data):
    with contextlib.suppress(UserError):
        read(b"\x80\x04" + data)


def test_a_flipped_byte_never_brings_a_traceback():
    value = {"a": [Metadata(1), (1, 2.5, b"x")], "b": collections.OrderedDict(c="d"), "e": None}
    known = {("collections", "OrderedDict"): dict, (__name__, "Metadata"): Step}
    chance = random.Random(0)
    for protocol in PROTOCOLS:
        whole = pickle.dumps(value, protocol)
        for _ in range(300):
            data = bytearray(whole)
            data[chance.randrange(len(data))] = chance.randrange(256)
            with contextlib.suppress(UserError):
                read(bytes(data), known)
