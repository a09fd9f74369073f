"""Whatever is edited in whatever order, everything else stays byte for byte, and all is valid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mbrelease.registry.edit import (
    add_variant,
    remove_alias,
    remove_value,
    remove_variant,
    rename_variant,
    set_alias,
    set_value,
)
from mbrelease.registry.load import load_project

# Each entry is written in a way of its own, with {name} for its name and {parent} for its parent.
SHAPES = [
    "  {name}: {{parents: [{{variant: {parent}, relation: merging}}]}}  # {mark}\n",
    "  # above {mark}\n  {name}:\n    parents:\n      - variant: '{parent}'  # {mark}\n"
    "        relation: merging\n    # below {mark}\n",
    '\n  "{name}":   # {mark}\n    parents:\n    - {{relation: merging, variant: "{parent}"}}\n'
    "    card:\n      summary: |\n        # no comment, {mark}\n\n",
    "  {name}:\n    parents: [\n      # {mark}\n      {{variant: {parent}, relation: merging}},\n"
    "    ]\n    license: 'a ''{mark}'''\n",
]


@dataclass
class Model:
    """What the registry should say, and the text that each variant should have."""

    texts: dict[str, str]
    parents: dict[str, str]
    aliases: dict[str, str]


def start(shapes: list[int], newline: str) -> tuple[str, Model]:
    names = ["root", *(f"v{number}" for number in range(len(shapes)))]
    model = Model({"root": "  root: {}  # all\n"}, {}, {"first": "root"})
    for number, shape in enumerate(shapes):
        name, parent = names[number + 1], names[number // 2]
        model.parents[name] = parent
        model.texts[name] = SHAPES[shape].format(name=name, parent=parent, mark=f"m-{number}")
    text = "# family\nversion: 1\nfamily: 'x'  # y\naliases: {first: root}  # names\nvariants:\n"
    text += "".join(model.texts.values())
    return text.replace("\n", newline), model


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["rename", "remove", "alias", "unalias", "set", "unset", "add"]),
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), STEPS, st.sampled_from(["\n", "\r\n"]))
def test_only_what_is_edited_changes(tmp_path_factory, shapes, steps, newline):
    path: Path = tmp_path_factory.mktemp("edits") / "registry.yaml"
    text, model = start(shapes, newline)
    path.write_bytes(text.encode())
    touched: set[str] = set()
    for number, (kind, pick) in enumerate(steps):
        apply(path, model, touched, kind, pick, f"n{number}")
    after = path.read_bytes().decode()
    registry = load_project(path).registry
    assert list(registry.variants) == list(model.texts)
    assert registry.aliases == model.aliases
    for name, entry in registry.variants.items():
        expected = [model.parents[name]] if name in model.parents else []
        assert [parent.variant for parent in entry.parents] == expected
    assert after.startswith(
        f"# family{newline}version: 1{newline}family: 'x'  # y{newline}aliases:"
    )
    place = 0
    for name, own in model.texts.items():
        if name not in touched:
            place = after.index(own.replace("\n", newline).strip("\r\n"), place)
    assert newline == "\n" or "\n" not in after.replace("\r\n", "")


def apply(path, model, touched, kind, pick, new):
    """One edit, to the file and to the model, if it can be made."""
    names, aliases = list(model.texts), list(model.aliases)
    if not names:
        return
    name = names[pick % len(names)]
    if kind == "add":
        add_variant(path, new, {"parents": [{"variant": name, "relation": "merging"}]})
        model.texts[new], model.parents[new] = "", name
        touched.add(new)
    elif kind == "alias":
        set_alias(path, f"{new}-alias", name)
        model.aliases[f"{new}-alias"] = name
    elif kind == "unalias" and aliases:
        remove_alias(path, aliases[pick % len(aliases)])
        del model.aliases[aliases[pick % len(aliases)]]
    elif kind == "set":
        set_value(path, name, "training.tokens", pick)
        touched.add(name)
    elif kind == "unset" and model.texts[name]:
        set_value(path, name, "training.tokens", pick)
        remove_value(path, name, "training")
    elif kind == "remove":
        if name in [*model.parents.values(), *model.aliases.values()]:
            return
        remove_variant(path, name)
        del model.texts[name]
        model.parents.pop(name, None)
    elif kind == "rename":
        rename_variant(path, name, new)
        model.aliases = {a: new if v == name else v for a, v in model.aliases.items()}
        for child in [child for child, parent in model.parents.items() if parent == name]:
            model.parents[child] = new
            model.texts[child] = renamed(model.texts[child], name, new)
        model.texts = {new if n == name else n: t for n, t in model.texts.items()}
        model.texts[new] = renamed(model.texts[new], name, new)
        if name in model.parents:
            model.parents[new] = model.parents.pop(name)
        if name in touched:
            touched.add(new)


def renamed(text: str, old: str, new: str) -> str:
    for left, right in (("  ", ":"), ('"', '"'), ("'", "'"), ("variant: ", ",")):
        text = text.replace(f"{left}{old}{right}", f"{left}{new}{right}")
    return text
