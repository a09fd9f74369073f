"""Ctrl-C after a commit was asked for: what is there, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Stopped(KeyboardInterrupt):
    """A push was interrupted when a commit was on its way, or there.

    Args:
        commit: that is there; ``None`` where its answer had not come.
        rest: what was still to do, in a few words each.
    """

    def __init__(self, commit: str | None, rest: Sequence[str] = ()) -> None:
        super().__init__(commit)
        self.commit = commit
        self.rest = tuple(rest)

    def sentence(self, then: Sequence[str] = ()) -> str:
        """What a person is to know; ``then`` would have come after ``rest``."""
        again = "run the same command again"
        if self.commit is None:
            return f"it is not known whether the commit arrived: {again}, it looks first"
        left = ", ".join([*self.rest, *then])
        told = f"published: the commit {self.commit} stands"
        return f"{told}; left to do: {left}\n  {again}: it finishes this" if left else told


@contextmanager
def telling_what_is_left(commit: str | None, rest: Sequence[str] = ()) -> Iterator[None]:
    """Raise ``Stopped`` where the block is interrupted; ``rest`` may become less on the way."""
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt as stop:
        raise Stopped(commit, rest) from stop
