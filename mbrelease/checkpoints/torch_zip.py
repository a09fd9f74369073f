"""The zip that ``torch.save`` writes: where its members lie, and the small ones' content.

Its members are stored as they are: ``<name>/data.pkl`` is a pickle of the objects,
``<name>/data/<key>`` are the bytes of one storage each, ``<name>/byteorder`` says ``little``. See
https://docs.pytorch.org/docs/stable/notes/serialization.html. Read are the zip's directory and the
local header before each member asked for.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

from mbrelease.checkpoints.safe_pickle import MAX_PICKLE_BYTES, printable
from mbrelease.checkpoints.source import Segment
from mbrelease.errors import UserError

MAX_DIRECTORY_BYTES = 8 << 20
"""Some 70,000 storages."""
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
ENCRYPTED_FLAG, DESCRIPTOR_FLAG, UTF8_FLAG = 1, 1 << 3, 1 << 11
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
GIT_LFS_START = b"version https://git-lfs"
SAVE_AGAIN = "save it again: torch.save(torch.load(path, weights_only=True), path)"


class TorchZip:
    """One zip of torch.save, which may be a part of a larger file.

    Raises:
        UserError: it is damaged, or of another kind.
    """

    def __init__(self, path: Path, file: IO[bytes], start: int, size_bytes: int) -> None:
        self._path = path
        self._start = start
        self._size_bytes = size_bytes
        self._window = _Window(file, start, size_bytes)
        self._members = self._directory()
        self._folder = self._the_folder()
        self._check_byteorder()

    def pickle(self) -> bytes:
        """The content of data.pkl, which matches its checksum."""
        name = f"{self._folder}/data.pkl"
        info = self._members[name]
        if info.file_size > MAX_PICKLE_BYTES:
            raise self.damaged(f"its data.pkl has {info.file_size} bytes")
        data = self._content(name)
        # torch writes 0 where it is told not to compute checksums.
        if info.CRC not in (0, zlib.crc32(data)):
            raise self.damaged("its data.pkl does not match its checksum")
        return data

    def storage(self, key: str) -> Segment:
        """Where the bytes of a storage lie in the file."""
        name = f"{self._folder}/data/{key}"
        if name not in self._members:
            raise self.damaged(f"no '{printable(name)}' in its directory")
        start = self._start + self._data_start(name)
        return Segment(self._path, start, self._members[name].file_size)

    def damaged(self, fault: str) -> UserError:
        """The sentence for ``fault`` in this file."""
        return UserError(
            f"{self._path} is no whole file of torch.save: {fault}",
            mend="copy the file again, or save it again",
        )

    def _directory(self) -> dict[str, zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(cast(IO[bytes], self._window)) as archive:
                members = archive.infolist()
        except OSError:
            raise
        except Exception as error:  # zipfile lets through what a damaged directory makes of it
            raise self._no_zip(error) from error
        by_name = {member.filename: member for member in members}
        if len(by_name) != len(members):
            raise self.damaged("a name occurs twice in its directory")
        # zipfile looks for the last zip in the file; torch for one that is the file.
        if members and min(member.header_offset for member in members) != 0:
            raise self.damaged("its first member is not at its start")
        return by_name

    def _no_zip(self, error: Exception) -> UserError:
        head = self._window.at(0, 32)
        if head.startswith(LEGACY_START):
            return UserError(
                f"{self._path} is in the format of PyTorch before 1.6", mend=SAVE_AGAIN
            )
        if head.startswith(GIT_LFS_START):
            return UserError(
                f"{self._path} is a pointer of git LFS, not the file", mend="run: git lfs pull"
            )
        if not head.startswith(b"PK"):
            return UserError(
                f"{self._path} is no file of torch.save",
                mend="give a file that torch.save wrote (PyTorch 1.6 or later)",
            )
        return self.damaged(f"its directory cannot be read ({printable(str(error))})")

    def _the_folder(self) -> str:
        """The one folder in which everything lies; torch names it after the file."""
        found = [re.fullmatch(r"([^/]+)/data\.pkl", name) for name in self._members]
        folders = [match[1] for match in found if match]
        if len(folders) != 1:
            raise UserError(
                f"{self._path} is a zip, but no file of torch.save: no data.pkl, or several",
                mend="give a file that torch.save wrote",
            )
        folder = folders[0]
        program = (f"{folder}/constants.pkl", f"{folder}/code/")
        if any(name.startswith(program) for name in self._members):
            raise UserError(
                f"{self._path} is a TorchScript program, not a checkpoint",
                mend="save its weights: torch.save(torch.jit.load(path).state_dict(), out)",
            )
        return folder

    def _check_byteorder(self) -> None:
        name = f"{self._folder}/byteorder"
        if name not in self._members:
            return  # before PyTorch 2.1, of which little-endian machines are the rule
        if self._members[name].file_size > 16 or self._content(name) != b"little":
            raise UserError(
                f"{self._path} was written on a big-endian machine, or its byteorder is damaged",
                mend="save it again on a little-endian machine",
            )

    def _content(self, name: str) -> bytes:
        return self._window.at(self._data_start(name), self._members[name].file_size)

    def _data_start(self, name: str) -> int:
        """Where the content of a member begins in the zip; it lies wholly inside."""
        info = self._members[name]
        header = self._window.at(info.header_offset, LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size:
            raise self.damaged(f"it ends before '{printable(name)}'")
        signature, _, flags, method, *_, name_size, extra_size = LOCAL_HEADER.unpack(header)
        name_start = info.header_offset + LOCAL_HEADER.size
        encoding = "utf-8" if info.flag_bits & UTF8_FLAG else "cp437"
        stored_name = self._window.at(name_start, name_size)
        if signature != b"PK\x03\x04" or stored_name != name.encode(encoding):
            raise self.damaged(f"no '{printable(name)}' where its directory says")
        if method or info.compress_type or info.compress_size != info.file_size:
            raise UserError(
                f"{self._path} is compressed, which torch.save never does", mend=SAVE_AGAIN
            )
        if (flags | info.flag_bits) & ENCRYPTED_FLAG:
            raise UserError(f"{self._path} is encrypted", mend="decrypt it first")
        start: int = name_start + name_size + extra_size
        end = start + info.file_size
        if end > self._size_bytes:
            raise self.damaged(f"it ends within '{printable(name)}'")
        # The lengths above have no checksum; a wrong one would shift every value unseen.
        if flags & DESCRIPTOR_FLAG and self._window.at(end, 4) != b"PK\x07\x08":
            raise self.damaged(f"'{printable(name)}' does not end where it should")
        return start


class _Window(io.RawIOBase):
    """A part of a file as if it were a file; it refuses to read much at once."""

    def __init__(self, file: IO[bytes], start: int, size_bytes: int) -> None:
        self._descriptor = file.fileno()
        self._start = start
        self._size_bytes = size_bytes
        self._position = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError("before the start of the file")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size_bytes - self._position)
        count = left if size < 0 else min(size, left)
        if count > MAX_DIRECTORY_BYTES:
            raise ValueError(f"a directory of {count} bytes")
        data = self.at(self._position, count)
        self._position += len(data)
        return data

    def at(self, offset: int, count: int) -> bytes:
        """The bytes from ``offset``, fewer at the end of the window and none outside."""
        if not 0 <= offset < self._size_bytes:
            return b""
        count = min(count, self._size_bytes - offset)
        return os.pread(self._descriptor, count, self._start + offset)
