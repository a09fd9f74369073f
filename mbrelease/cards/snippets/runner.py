"""Run one block in this process, and report how it ended; a program of its own.

It is given a JSON file: ``code``, the ``line`` of the card that it begins at, what it ``needs``
beyond a CPU, and where the ``report`` goes. It imports nothing of mbrelease, and nothing heavy
before the block does.
"""

from __future__ import annotations

import importlib.util
import json
import linecache
import sys
import types
from pathlib import Path
from typing import Any

CARD = "README.md"
_LONGEST = 300


def main(request: Path) -> int:
    """Run the block that ``request`` describes; the exit code is 0 if it ended well."""
    asked = json.loads(request.read_text(encoding="utf-8"))
    report = Path(asked["report"])
    if not getattr(sys.modules.get("sitecustomize"), "REFUSES_NETWORK", False):
        return _tell(report, {"error": "the guard of the network was not loaded", "line": None})
    if lacking := _lacking(asked["needs"]):
        _tell(report, {"lacking": lacking})
        return 0
    try:
        _run(asked["code"], asked["line"])
    except SystemExit as stop:
        if stop.code in (None, 0):
            return 0
        return _tell(report, {"error": f"SystemExit: {stop.code}", "line": _line_of(stop)})
    except BaseException as error:
        # Whatever stops the block is the answer.
        return _tell(report, {"error": _words(error), "line": _line_of(error)})
    return 0


def _run(code: str, line: int) -> None:
    """As ``python FILE`` would; a traceback shows the lines of the card."""
    text = "\n" * (line - 1) + code
    linecache.cache[CARD] = (len(text), None, text.splitlines(keepends=True), CARD)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = [CARD]
    exec(compile(text, CARD, "exec"), module.__dict__)  # noqa: S102  (what this file is for)


def _lacking(needs: dict[str, bool]) -> str | None:
    """What is not there, in words."""
    if needs["gpu"]:
        import torch

        if not torch.cuda.is_available():
            return "torch finds no CUDA device"
    if needs["flash_attention"] and importlib.util.find_spec("flash_attn") is None:
        return "the package flash-attn is not installed"
    return None


def _words(error: BaseException) -> str:
    """The last line of a traceback, on one line."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {said}"[:_LONGEST] if said else type(error).__name__


def _line_of(error: BaseException) -> int | None:
    """The line of the card at which it was raised."""
    found = error.lineno if isinstance(error, SyntaxError) and error.filename == CARD else None
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == CARD:
            found = traceback.tb_lineno
        traceback = traceback.tb_next
    return found


def _tell(report: Path, content: dict[str, Any]) -> int:
    # No file of anybody's: the folder is gone when the block has ended.
    report.write_text(json.dumps(content), encoding="utf-8")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
