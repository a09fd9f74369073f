"""Write the tables of the known family members for docs/verify.md; a test compares them.

python docs/generate_family.py prints the section.
"""

from __future__ import annotations

from collections.abc import Iterable

from mbrelease.parity.checks.shapes import check_shapes, last_waves
from mbrelease.parity.family import (
    IDS,
    MEMBERS,
    SIZES,
    THETAS,
    Member,
    differing,
)

# One letter a group of fields, in the order in which they are said.
LETTERS = {
    **dict.fromkeys(SIZES, "S"),
    **dict.fromkeys(("vocab_size", *IDS), "V"),
    "max_position_embeddings": "C",
    THETAS[0]: "G",
    THETAS[1]: "L",
    "hidden_activation": "A",
    "classifier_pooling": "P",
}
MEANING = (
    "S sizes, V vocabulary and ids of special tokens, C context, G theta of full attention,\n"
    "L theta of sliding attention, A activation, P pooling of a classifier"
)
HEAD = """## Known members of the family

What is known of each, from the sources named below the table; `config.family` says which of them
a folder is, or is nearest to. A dash is a figure that no source states, and is never compared.
All have full attention every 3 layers, a window of 128 tokens, and no biases but the decoder's,
where that is known.
"""


def section() -> str:
    """The whole section, in Markdown."""
    parts = [HEAD, members(), sources(), MATRIX_HEAD, matrix(), SHAPES_HEAD, shapes()]
    return "\n".join(parts)


def members() -> str:
    """A row a member: its sizes, vocabulary, context, thetas and activation."""
    columns = {
        "layers": SIZES[0],
        "hidden": SIZES[1],
        "intermediate": SIZES[2],
        "heads": SIZES[3],
        "vocabulary": "vocab_size",
        "context": "max_position_embeddings",
        "full theta": THETAS[0],
        "sliding theta": THETAS[1],
        "activation": "hidden_activation",
    }
    rows = [
        [f"`{member.name}`", *(_cell(member, key) for key in columns.values())]
        for member in MEMBERS
    ]
    return _table(["member", *columns], rows)


def sources() -> str:
    """A line for each set of sources, with the members that rest on it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for member in MEMBERS:
        found.setdefault(member.sources, []).append(f"`{member.name}`")
    lines = [f"- {', '.join(names)}: {'; '.join(said)}." for said, names in found.items()]
    return "\n".join(lines) + "\n"


MATRIX_HEAD = f"""### What differs between members

Each against each, by the fields that are known of both; a dot where nothing that is known differs.
Columns are the rows' numbers.
{MEANING}.
"""


def letters(one: Member, other: Member) -> str:
    """The groups of fields in which two members differ."""
    keys = differing(one.fields, other.fields)
    found = {LETTERS.get(key, key) for key in keys}
    return "".join(letter for letter in dict.fromkeys(LETTERS.values()) if letter in found) + (
        "".join(f" {key}" for key in keys if key not in LETTERS)
    )


def matrix() -> str:
    """Each member against each."""
    rows = [
        [f"{number} `{one.name}`", *(letters(one, other) or "·" for other in MEMBERS)]
        for number, one in enumerate(MEMBERS, start=1)
    ]
    return _table(["", *(str(number) for number in range(1, len(MEMBERS) + 1))], rows)


SHAPES_HEAD = """### Shapes

The rules of appendix B of the paper, and how full the last wave of blocks is on each GPU, averaged
over the four weights of a layer (SMs as sold; `--sm-table die` counts those of full dies). The
paper names no bound for waves, so base and large are the measure of `shapes.waves`. It is a rule
of thumb: some wider layers than theirs would fill the last waves better.
"""


def shapes() -> str:
    """A row a size: the two rules, and the last wave on each GPU."""
    rows, seen = [], set()
    for member in MEMBERS:
        size = tuple(member.fields.get(key) for key in SIZES)
        if None in size or size in seen:
            continue
        seen.add(size)
        config = member.config()
        cores, tiles, _ = (check.status == "pass" for check in check_shapes(config))
        waves = [f"{share:.2f}" for share in last_waves(config).values()]
        rows.append([f"`{member.name}`", _mark(cores), _mark(tiles), *waves])
    return _table(["first of its size", "64", "128 × 256", *last_waves(MEMBERS[0].config())], rows)


def _mark(good: bool) -> str:
    return "✓" if good else "!"


def _cell(member: Member, key: str) -> str:
    value = member.fields.get(key)
    if value is None:
        return "–"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    print(section(), end="")
