"""Read a pickle as data: nothing is imported, looked up or called but what the caller lists.

A pickle is a program for a small stack machine
(https://docs.python.org/3/library/pickletools.html). Python's own unpickler runs it on live
objects: it reaches attributes, sets state on whatever lies on the stack, and its memo and buffers
are as large as the file says. This is a machine for the part of the language that picklers write
since protocol 2, on plain data. A global is its name and stays a name when it is called, unless
the caller knows it.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mbrelease.errors import UserError

MAX_PICKLE_BYTES = 256 << 20
MAX_OPCODES = 1 << 24
"""Each makes at most one small object, so this bounds memory as well as time."""
MAX_INTEGER_BYTES = 1024
MAX_TUPLE_DEPTH = 64
MAX_NESTED_ITEMS = 100_000
"""Python hashes nested tuples by recursion in C, without a limit of its own, and one that holds
another twice is hashed twice as long."""

Known = Mapping[tuple[str, str], Callable[..., Any]]


@dataclass(frozen=True, eq=False)
class Opaque:
    """A global, or an object made of one, that nobody knows: its name, and nothing more.

    Whatever the pickle does with it (call, state, items) leaves it as it is.
    """

    module: str
    name: str

    def __str__(self) -> str:
        """As in an import, fit for one line."""
        return printable(f"{self.module}.{self.name}")


class _Fault(Exception):
    """What is wrong with the pickle."""


def load(
    data: bytes,
    place: str,
    known: Known,
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """The value that ``data`` stands for, made of plain data, ``Opaque`` and what ``known`` gives.

    Args:
        data: the pickle, of protocol 2 or later.
        place: what is read, for messages.
        known: what may be called, by module and name as they are written. It is called with the
            pickle's arguments, which may be anything; an exception means that they are wrong. If
            it is a class with ``__setstate__``, that gets the state of its objects.
        persistent: makes a value of a persistent id.

    Lists and dicts may be nested to any depth and contain themselves: do not walk them by
    recursion. Text and bytes are never more than the pickle holds.

    Raises:
        UserError: the pickle is damaged, too large, does what no pickler writes, or a function
            of the caller refused its arguments.
    """
    try:
        if len(data) > MAX_PICKLE_BYTES:
            raise _Fault(f"it has {len(data)} bytes, more than {MAX_PICKLE_BYTES}")
        return _Machine(data, known, persistent).run()
    except _Fault as error:
        raise _refused(place, str(error)) from error
    except (ArithmeticError, LookupError, TypeError, ValueError, struct.error) as error:
        raise _refused(place, f"its opcodes do not fit ({type(error).__name__})") from error
    except (MemoryError, RecursionError) as error:
        raise _refused(place, "it is too large or nested too deep") from error


def printable(text: str) -> str:
    """A name out of an untrusted file, fit for one line of a message."""
    short = text if len(text) <= 80 else text[:79] + "…"
    return "".join(c if c.isprintable() else "�" for c in short)


def _refused(place: str, fault: str) -> UserError:
    return UserError(
        f"{place} cannot be read: {fault}", mend="copy the file again, or save it again"
    )


class _Machine:
    """The stack machine; each method ``op_…`` is the opcode that pickletools calls so."""

    def __init__(self, data: bytes, known: Known, persistent: Callable[[Any], Any] | None) -> None:
        self._data = data
        self._position = 0
        self._stack: list[Any] = []
        self._below_marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._known = known
        self._classes = tuple(c for c in known.values() if isinstance(c, type))
        self._persistent = persistent
        self._nested: dict[int, tuple[int, int, tuple[Any, ...]]] = {}
        """Of tuples in tuples, by id; the tuple itself is kept so that its id stays its own."""
        self._bytes_left = len(data)
        """That _codecs.encode may still make: what is encoded stands in the pickle, once."""

    def run(self) -> Any:
        """Read opcode by opcode until STOP."""
        data = self._data
        for _ in range(MAX_OPCODES):
            if self._position >= len(data):
                raise _Fault("it ends too early")
            code = data[self._position]
            self._position += 1
            if code == _STOP:
                break
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise _Fault(f"opcode {_NAMES.get(code, hex(code))}, which torch never writes")
            operation(self)
        else:
            raise _Fault(f"more than {MAX_OPCODES} opcodes")
        if self._position != len(data):
            raise _Fault(f"{len(data) - self._position} bytes after its end")
        return self._stack.pop()

    # The bytes

    def _take(self, count: int) -> bytes:
        start, self._position = self._position, self._position + count
        if self._position > len(self._data):
            raise _Fault("it ends too early")
        return self._data[start : self._position]

    def _unsigned(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def _line(self) -> str:
        end = self._data.find(b"\n", self._position)
        if end < 0:
            raise _Fault("it ends too early")
        line = self._take(end - self._position).decode()
        self._position += 1
        return line

    def op_proto(self) -> None:
        if self._take(1)[0] > 5:
            raise _Fault("it is of a protocol after 5")

    def op_frame(self) -> None:
        self._take(8)  # how much to buffer

    # Plain values

    def op_none(self) -> None:
        self._stack.append(None)

    def op_newtrue(self) -> None:
        self._stack.append(True)

    def op_newfalse(self) -> None:
        self._stack.append(False)

    def op_binint(self) -> None:
        self._stack.append(int.from_bytes(self._take(4), "little", signed=True))

    def op_binint1(self) -> None:
        self._stack.append(self._take(1)[0])

    def op_binint2(self) -> None:
        self._stack.append(self._unsigned(2))

    def op_long1(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._take(1)[0]), "little", signed=True))

    def op_long4(self) -> None:
        width = self._unsigned(4)
        if width > MAX_INTEGER_BYTES:
            raise _Fault(f"a number of {width} bytes")
        self._stack.append(int.from_bytes(self._take(width), "little", signed=True))

    def op_binfloat(self) -> None:
        self._stack.append(struct.unpack(">d", self._take(8))[0])

    def op_short_binunicode(self) -> None:
        self._stack.append(self._take(self._take(1)[0]).decode())

    def op_binunicode(self) -> None:
        self._stack.append(self._take(self._unsigned(4)).decode())

    def op_binunicode8(self) -> None:
        self._stack.append(self._take(self._unsigned(8)).decode())

    def op_short_binbytes(self) -> None:
        self._stack.append(self._take(self._take(1)[0]))

    def op_binbytes(self) -> None:
        self._stack.append(self._take(self._unsigned(4)))

    def op_binbytes8(self) -> None:
        self._stack.append(self._take(self._unsigned(8)))

    op_bytearray8 = op_binbytes8

    # The stack and the memo

    def op_mark(self) -> None:
        self._below_marks.append(self._stack)
        self._stack = []

    def _down_to_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below_marks.pop()
        return items

    def op_pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._down_to_mark()

    def op_pop_mark(self) -> None:
        self._down_to_mark()

    def op_binput(self) -> None:
        self._memo[self._take(1)[0]] = self._stack[-1]

    def op_long_binput(self) -> None:
        self._memo[self._unsigned(4)] = self._stack[-1]

    def op_memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def op_binget(self) -> None:
        self._stack.append(self._memo[self._take(1)[0]])

    def op_long_binget(self) -> None:
        self._stack.append(self._memo[self._unsigned(4)])

    # Containers

    def op_empty_list(self) -> None:
        self._stack.append([])

    def op_empty_dict(self) -> None:
        self._stack.append({})

    def op_empty_set(self) -> None:
        self._stack.append(Opaque("builtins", "set"))

    def op_frozenset(self) -> None:
        self._down_to_mark()
        self._stack.append(Opaque("builtins", "frozenset"))

    def op_empty_tuple(self) -> None:
        self._stack.append(())

    def op_tuple1(self) -> None:
        self._last_as_tuple(1)

    def op_tuple2(self) -> None:
        self._last_as_tuple(2)

    def op_tuple3(self) -> None:
        self._last_as_tuple(3)

    def op_tuple(self) -> None:
        self._push_tuple(tuple(self._down_to_mark()))

    def _last_as_tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise _Fault("a tuple of more than there is")
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._push_tuple(items)

    def _push_tuple(self, items: tuple[Any, ...]) -> None:
        within = [
            self._nested.get(id(item), (1, len(item)))[:2] for item in items if type(item) is tuple
        ]
        if within:
            depth = 1 + max(depth for depth, _ in within)
            size = len(items) + sum(size for _, size in within)
            if depth > MAX_TUPLE_DEPTH or size > MAX_NESTED_ITEMS:
                raise _Fault("tuples nested too deep")
            self._nested[id(items)] = (depth, size, items)
        self._stack.append(items)

    def op_append(self) -> None:
        item = self._stack.pop()
        self._extend([item])

    def op_appends(self) -> None:
        self._extend(self._down_to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Opaque):
            raise _Fault(f"it sets items of a value of type {type(target).__name__}")

    def op_setitem(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._update([key, value])

    def op_setitems(self) -> None:
        self._update(self._down_to_mark())

    def _update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, dict):
            target.update(zip(items[::2], items[1::2], strict=True))
        elif not isinstance(target, Opaque):
            raise _Fault(f"it sets items of a value of type {type(target).__name__}")

    def op_additems(self) -> None:
        self._down_to_mark()
        if not isinstance(self._stack[-1], Opaque):
            raise _Fault("it adds items to what is no set")

    # Names, and what is made of them

    def op_global(self) -> None:
        module = self._line()
        self._stack.append(Opaque(module, self._line()))

    def op_stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise _Fault("a global whose name is not text")
        self._stack.append(Opaque(module, name))

    def op_binpersid(self) -> None:
        if self._persistent is None:
            raise _Fault("it refers to what is not in it")
        self._stack.append(self._persistent(self._stack.pop()))

    def op_reduce(self) -> None:
        arguments = self._stack.pop()
        self._call(arguments, {})

    op_newobj = op_reduce

    def op_newobj_ex(self) -> None:
        keywords, arguments = self._stack.pop(), self._stack.pop()
        self._call(arguments, keywords)

    def _call(self, arguments: Any, keywords: Any) -> None:
        function = self._stack.pop()
        if not isinstance(function, Opaque) or not isinstance(arguments, tuple):
            raise _Fault(f"it calls a value of type {type(function).__name__}")
        if (function.module, function.name) == ("_codecs", "encode"):
            self._stack.append(self._encoded(*arguments))
        elif known := self._known.get((function.module, function.name)):
            self._stack.append(self._result(known, function, arguments, keywords))
        else:
            self._stack.append(function)

    def _result(self, known: Callable[..., Any], name: Opaque, given: Any, keywords: Any) -> Any:
        try:
            return known(*given, **keywords)
        except (UserError, MemoryError, RecursionError):
            raise
        except Exception as error:
            raise _Fault(f"{name} with arguments that it cannot have") from error

    def _encoded(self, text: Any, encoding: Any) -> bytes:
        """Bytes as protocol 2 writes them, which has no opcode for them."""
        if not isinstance(text, str) or encoding != "latin1":
            raise _Fault("bytes in an encoding that no pickler writes")
        self._bytes_left -= len(text)
        if self._bytes_left < 0:
            raise _Fault("more bytes than it holds")
        return text.encode("latin-1")

    def op_build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        setstate = getattr(type(target), "__setstate__", None)
        if isinstance(target, self._classes) and setstate is not None:
            try:
                setstate(target, state)
            except (UserError, MemoryError, RecursionError):
                raise
            except Exception as error:
                raise _Fault(f"a {type(target).__name__} in a state it cannot have") from error


_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
_STOP = ord(".")
_OPERATIONS: dict[int, Callable[[_Machine], None]] = {
    code: getattr(_Machine, f"op_{name.lower()}")
    for code, name in _NAMES.items()
    if hasattr(_Machine, f"op_{name.lower()}")
}
