"""An order of checkpoints that depends on what they hold and not on how they are called."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Sequence

from mbrelease.averaging.engine import Member
from mbrelease.averaging.reader import Reader
from mbrelease.checkpoints.source import Source

SAMPLED_TENSORS = 32
SAMPLED_ELEMENTS = 512


def by_content(members: Sequence[Member]) -> tuple[Member, ...]:
    """The members in an order of their own: the same whatever their names and places.

    A sum of floats may depend on the order in its last bit. The full hashes would give an order as
    well, but they are known only when everything has been read.
    """
    samples = {member.source: fingerprint(member.source) for member in members}
    count = Counter(samples.values())
    keys = {
        source: (sample, source.weights_sha256 if count[sample] > 1 else "")
        for source, sample in samples.items()
    }
    return tuple(sorted(members, key=lambda member: (keys[member.source], member.weight)))


def fingerprint(source: Source) -> str:
    """Hex sha256 of the first elements of some tensors, the same in every format.

    Raises:
        UserError: a file cannot be read.
    """
    names = sorted(source.stored)
    chosen = names[:: max(1, len(names) // SAMPLED_TENSORS)]
    buffer = memoryview(bytearray(SAMPLED_ELEMENTS * 8))
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        reader = Reader(source, stack)
        for name in chosen:
            elements = min(SAMPLED_ELEMENTS, source.stored[name].elements)
            if elements:
                digest.update(reader.read(name, 0, elements, buffer))
    return digest.hexdigest()
