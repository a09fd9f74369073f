"""What the Hub's client would draw bars of, told to our own progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mbrelease.progress import Progress


@contextmanager
def bar_of_file(progress: Progress, size_bytes: int) -> Iterator[type]:
    """A class for the client's ``tqdm_class``, while one file is fetched.

    When the block ends ``progress`` has advanced by ``size_bytes``, also where the file was in the
    cache and no bar was made.
    """
    told = 0

    def tell(amount: int) -> None:
        nonlocal told
        told += amount
        progress.advance(amount)

    class Bar:
        """As much of a bar as the client uses; nothing is drawn."""

        def __init__(self, *args: Any, total: float | None = None, **options: Any) -> None:
            self.total, self.n, self.disable = total, 0, False

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def update(self, amount: float | None = 1) -> None:
            """More bytes have come, or, after a cut, some that had come are lost."""
            self.n += int(amount or 0)
            tell(int(amount or 0))

        def _ignore(self, *args: Any, **options: Any) -> None:
            """What would change how it looks."""

        refresh = close = set_description = set_description_str = set_postfix_str = _ignore

    yield Bar
    progress.advance(size_bytes - told)
