"""Recipes of other distributions: found by entry point, checked, and never a traceback."""

import json
import os
import subprocess
import sys
import textwrap
from fractions import Fraction

import numpy as np
import pytest

from mbrelease.averaging.recipes import RecipeInput, parse_recipe
from mbrelease.errors import UserError

THEIR = """
import re
from fractions import Fraction
from mbrelease.averaging.recipes import RecipeKind

def build(match):
    every = int(match[1])

    def weigh(candidates):
        chosen = range(len(candidates) - 1, -1, -every)
        return [Fraction(n in chosen, len(chosen)) for n in range(len(candidates))]

    return weigh

KIND = RecipeKind("their:K", re.compile("their:(.*)"), needs_scores=False, build=build)
"""
CANDIDATES = [RecipeInput(f"checkpoint-{n}", n, None) for n in range(4)]


def install(site, name, code, *, entry_points=None):
    """A distribution of one module, as an installer leaves it in the folder ``site``."""
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(textwrap.dedent(code))
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    text = entry_points or f"[mbrelease.recipes]\n{module} = {module}:KIND\n"
    (info / "entry_points.txt").write_text(text)


def kind(build, *, syntax="odd:K", pattern="odd:.*"):
    """A module whose recipe is built by the expression ``build`` of ``match``."""
    return f"""
        import re
        from decimal import Decimal
        from fractions import Fraction
        import numpy as np
        from mbrelease.averaging.recipes import RecipeKind
        from mbrelease.errors import UserError

        def build(match):
            return {build}

        KIND = RecipeKind("{syntax}", re.compile("{pattern}"), needs_scores=True, build=build)
    """


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_an_installed_recipe_weighs(site):
    install(site, "their-recipes", THEIR)
    recipe = parse_recipe("their:2")
    assert (recipe.text, recipe.needs_scores) == ("their:2", False)
    assert recipe.weights(CANDIDATES) == [0, Fraction(1, 2), 0, Fraction(1, 2)]


def test_an_installed_recipe_is_proposed(site):
    install(site, "their-recipes", THEIR)
    with pytest.raises(UserError) as caught:
        parse_recipe("thier:5")
    assert caught.value.mend == "did you mean 'their:5'?"
    with pytest.raises(UserError) as caught:
        parse_recipe("")
    assert caught.value.mend.endswith(", greedy, their:K")


def test_ours_win_and_load_nothing(site):
    install(site, "loud-recipes", "raise SystemExit('imported')")
    assert parse_recipe("last:2").weights(CANDIDATES)[-1] == Fraction(1, 2)
    assert "loud_recipes" not in sys.modules


def run_average(make_checkpoint, site, recipe):
    for step in (10, 20, 30, 40):
        folder = make_checkpoint(step, {"w": np.zeros(3, dtype="f4")})
    command = [sys.executable, "-m", "mbrelease.cli.main", "average", str(folder.parent)]
    return subprocess.run(
        [*command, "--recipe", recipe, "--show-weights", "--json"],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )


def test_the_command_takes_an_installed_recipe(make_checkpoint, site):
    install(site, "their-recipes", THEIR)
    result = run_average(make_checkpoint, site, "their:3")
    assert (result.returncode, result.stderr) == (0, "")
    members = json.loads(result.stdout)["members"]
    assert [member["weight"] for member in members] == ["1/2", "0", "0", "1/2"]


def test_a_broken_recipe_is_a_sentence_of_the_command(make_checkpoint, site):
    install(site, "their-recipes", "import nowhere_to_be_found")
    result = run_average(make_checkpoint, site, "their:3")
    assert result.returncode == 2
    assert "no recipe 'their:3'; the recipe 'their_recipes' of 'their-recipes' cannot be used" in (
        result.stderr
    )
    assert "No module named 'nowhere_to_be_found'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("KIND = 'their:K'", "TypeError: a str is not a RecipeKind"),
        ("OTHER = 1", "AttributeError: module 'their_recipes' has no attribute 'KIND'"),
        ("def (", "SyntaxError: invalid syntax"),
        ("raise SystemExit", "SystemExit"),
        ("raise ValueError('one\\ntwo')", "ValueError: one"),
        (THEIR.replace('re.compile("their:(.*)")', '"their:(.*)"'), "has no attribute 'fullmatch'"),
        (THEIR.replace('"their:K"', "3"), "TypeError: sequence item 0"),
        (THEIR.replace("their:", "last:"), "ValueError: 'last:K' is read as last:K of mbrelease"),
        (THEIR.replace("build=build", "build=build, searches=True"), "only mbrelease's own"),
    ],
)
def test_broken_and_clashing_recipes_name_their_distribution(site, code, said):
    install(site, "their-recipes", code)
    install(site, "good-recipes", THEIR.replace("their:", "good:"))
    with pytest.raises(UserError) as caught:
        parse_recipe("their:2")
    message = caught.value.message
    assert message.startswith("no recipe 'their:2'; the recipe 'their_recipes' of 'their-recipes'")
    assert said in message
    assert "\n" not in message
    # The others go on.
    assert sum(parse_recipe("good:2").weights(CANDIDATES)) == 1


def test_broken_entry_points_name_their_distribution(site):
    install(site, "their-recipes", THEIR, entry_points="[mbrelease.recipes]\nno equals sign\n")
    install(site, "unrelated", "", entry_points="[elsewhere]\nno equals sign\n")
    with pytest.raises(UserError) as caught:
        parse_recipe("their:2")
    assert "; the recipes of 'their-recipes' cannot be used: " in caught.value.message
    assert "unrelated" not in caught.value.message


def test_a_distribution_without_metadata_is_named_by_its_place(site):
    install(site, "their-recipes", "raise ValueError")
    (site / "their_recipes-1.0.dist-info" / "METADATA").unlink()
    with pytest.raises(UserError, match=f"a distribution without a name in {site}"):
        parse_recipe("their:2")


def test_two_distributions_with_one_recipe(site):
    install(site, "their-recipes", THEIR)
    install(site, "more-recipes", THEIR)
    with pytest.raises(UserError, match="recipe 'their:2' is declared by '.*' and '.*'") as caught:
        parse_recipe("their:2")
    assert "'their-recipes'" in caught.value.message and "'more-recipes'" in caught.value.message
    assert caught.value.mend == "uninstall all but one"


def test_of_two_copies_of_a_distribution_the_first_on_the_path_counts(site, tmp_path, monkeypatch):
    install(site, "their-recipes", THEIR)
    first = tmp_path / "first"
    first.mkdir()
    install(first, "their-recipes", THEIR)
    monkeypatch.syspath_prepend(first)
    assert len(parse_recipe("their:2").weights(CANDIDATES)) == 4


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("[0, 1, 0, 0]", "0 1 0 0"),
        ("(0.5, 0.25, 0.25, 0)", "1/2 1/4 1/4 0"),
        ("np.float32([0.5, 0.5, 0, 0])", "1/2 1/2 0 0"),
        ("np.array([0, 0, 0, 1])", "0 0 0 1"),
        # Ten tenths are not quite 1 in floats; meant are tenths, to 24 bits.
        (
            "[0.1, 0.2, 0.3, 0.4]",
            "1677722/16777216 3355443/16777216 5033165/16777216 3355443/8388608",
        ),
    ],
)
def test_what_they_return_may_be_any_kind_of_number(site, weights, expected):
    install(site, "odd-recipes", kind(f"lambda candidates: {weights}"))
    returned = parse_recipe("odd:1").weights(CANDIDATES)
    assert sum(returned) == 1
    near = [Fraction(weight) for weight in expected.split()]
    assert all(abs(a - b) <= Fraction(1, 1 << 24) for a, b in zip(returned, near, strict=True))
    assert all(type(weight) is Fraction for weight in returned)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        ("lambda candidates: [1]", "ValueError: 1 weights for 4 checkpoints"),
        ("lambda candidates: [2, -1, 0, 0]", "ValueError: a negative weight, -1"),
        ("lambda candidates: [0, 0, 0, 0]", "ValueError: the weights sum to 0.0, not 1"),
        ("lambda candidates: [1, 1, 1, 1]", "ValueError: the weights sum to 4.0, not 1"),
        # Fractions have no rounding to forgive.
        ("lambda candidates: [1, Fraction(1, 10**12), 0, 0]", "the weights sum to 1.000000000001"),
        ("lambda candidates: [0.3, 0.3, 0.3, 0]", "ValueError: the weights sum to 0.8"),
        ("lambda candidates: [float('nan'), 1, 0, 0]", "ValueError: cannot convert NaN"),
        ("lambda candidates: [float('inf'), 1, 0, 0]", "OverflowError: cannot convert Infinity"),
        ("lambda candidates: ['1', 0, 0, 0]", "TypeError: a weight is a str, not a number"),
        ("lambda candidates: [Decimal(1), 0, 0, 0]", "TypeError: a weight is a Decimal"),
        ("lambda candidates: None", "TypeError: 'NoneType' object is not iterable"),
        ("lambda candidates: candidates[9]", "IndexError: "),
        ("lambda candidates: (1 / 0 for _ in candidates)", "ZeroDivisionError"),
        ("lambda candidates: exit()", "SystemExit"),
        ("lambda candidates: candidates.pop()", "'tuple' object has no attribute 'pop'"),
        ("None", "TypeError: 'NoneType' object is not callable"),
    ],
)
def test_what_they_return_is_checked(site, build, said):
    install(site, "odd-recipes", kind(build))
    with pytest.raises(UserError) as caught:
        parse_recipe("odd:1").weights(CANDIDATES)
    assert caught.value.message.startswith("recipe 'odd:1' of 'odd-recipes' failed: ")
    assert said in caught.value.message
    assert "the fault is in 'odd-recipes'" in caught.value.mend


def test_their_parameters_fail_as_sentences(site):
    install(site, "their-recipes", THEIR)
    with pytest.raises(UserError) as caught:
        parse_recipe("their:two")
    assert "recipe 'their:two' of 'their-recipes' failed: ValueError: invalid literal" in str(
        caught.value
    )


def test_their_own_sentences_stay(site):
    install(site, "odd-recipes", kind("(_ for _ in ()).throw(UserError('K is odd', mend='even'))"))
    with pytest.raises(UserError) as caught:
        parse_recipe("odd:1")
    assert (caught.value.message, caught.value.mend) == ("K is odd", "even")
