"""Which files git would hold as pointers: ``.gitattributes`` and the Hub's size limit."""

from __future__ import annotations

import fnmatch
import re

ATTRIBUTES_PATH = ".gitattributes"
# The Hub takes a larger file only as LFS, whatever its name: a tokenizer.json of 11 MB is LFS.
REGULAR_LIMIT_BYTES = 10 * 1024 * 1024

_LFS = "filter=lfs diff=lfs merge=lfs -text"
_DEFAULT_PATTERNS = """
*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack
*.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors
saved_model/**/* *.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*
"""
DEFAULT_ATTRIBUTES = "".join(f"{pattern} {_LFS}\n" for pattern in _DEFAULT_PATTERNS.split())


def goes_to_lfs(path: str, size_bytes: int, sample: bytes, attributes: str) -> bool:
    """Whether a file is stored as LFS: by pattern, by size, or because it is not text."""
    if size_bytes == 0:
        return False
    return (
        size_bytes > REGULAR_LIMIT_BYTES or b"\0" in sample or matches_attributes(path, attributes)
    )


def matches_attributes(path: str, attributes: str) -> bool:
    """Whether the last matching line of ``attributes`` gives ``path`` to LFS."""
    answer = False
    for line in attributes.splitlines():
        pattern, *settings = line.split() or [""]
        if not pattern or pattern.startswith("#"):
            continue
        if _matches(pattern, path):
            answer = "filter=lfs" in settings
    return answer


def with_lfs_path(attributes: str, path: str) -> str:
    """``attributes`` with a line that gives ``path`` to LFS, as the Hub adds it."""
    begun = attributes if not attributes or attributes.endswith("\n") else attributes + "\n"
    pattern = re.sub(r"([\[\]*?\\])", r"\\\1", path).replace(" ", "[[:space:]]")
    return f"{begun}{pattern} {_LFS}\n"


def _matches(pattern: str, path: str) -> bool:
    pattern = pattern.replace("[[:space:]]", " ")
    literal = re.sub(r"\\(.)", r"\1", pattern)
    if literal == path:
        return True
    subject = path if "/" in pattern else path.rpartition("/")[2]
    return fnmatch.fnmatchcase(subject, pattern.removeprefix("/"))
