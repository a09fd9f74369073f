"""What a block of Python needs to run: packages, and a GPU."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

EVAL_PACKAGES = ("torch", "transformers", "sentence_transformers")
"""What the extra [eval] brings; the latter two are of no use here without the first."""

_PLACES = frozenset({"to", "cuda", "device"})
_PLACING = frozenset({"device", "device_map"})


@dataclass(frozen=True)
class Needs:
    """What must be there before a block can run."""

    packages: frozenset[str] = frozenset()
    """Those of ``EVAL_PACKAGES`` by the names they are imported by."""
    gpu: bool = False
    """It asks for CUDA by name. Code that takes a GPU where there is one needs none."""
    flash_attention: bool = False
    """It asks for the kernels of the package flash-attn."""

    @property
    def beyond_a_cpu(self) -> str | None:
        """What it needs that not every machine has, in words."""
        if self.flash_attention:
            return "a GPU and the package flash-attn"
        return "a GPU" if self.gpu else None


def needs_of(code: str) -> Needs:
    """What ``code`` needs; nothing where it is no Python."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError, RecursionError):
        return Needs()  # running it will tell
    modules = {name.partition(".")[0] for node in nodes for name in _imports(node)}
    packages = modules.intersection(EVAL_PACKAGES)
    flash = "flash_attn" in modules or any(map(_asks_for_flash_attention, nodes))
    return Needs(
        packages=frozenset({"torch", *packages} if packages else ()),
        gpu=flash or any(map(_asks_for_cuda, nodes)),
        flash_attention=flash,
    )


def _imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module


def _asks_for_cuda(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in _PLACING and _names_cuda(node.value)
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else None
    return name in _PLACES and (name == "cuda" or any(map(_names_cuda, node.args)))


def _names_cuda(node: ast.expr) -> bool:
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, str) and value.partition(":")[0] == "cuda"


def _asks_for_flash_attention(node: ast.AST) -> bool:
    if not isinstance(node, ast.keyword) or node.arg != "attn_implementation":
        return False
    value = node.value.value if isinstance(node.value, ast.Constant) else None
    return isinstance(value, str) and value.startswith("flash_attention")
