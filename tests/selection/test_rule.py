"""The rule on changes that are made up: who is eligible, superior, tied, and chosen."""

import numpy as np
import pytest
from scipy import stats

from mbrelease.selection.rule import NOTHING, Changes, Rule
from mbrelease.selection.statistics import (
    allowances,
    holm,
    p_not_above,
    simultaneous_margins,
)

ALPHA, ERROR, RESAMPLES = 0.05, 0.01, 4000
BOUND = stats.norm.isf(ALPHA) * ERROR


def changes(*candidates, error=ERROR, seed=0):
    """Of each candidate its changes by metric, all with the same standard error."""
    point = np.asarray(candidates, dtype=float)
    noise = np.random.default_rng(seed).normal(0, error, (RESAMPLES, *point.shape))
    return Changes(point, point + noise - noise.mean(axis=0))


def points(*candidates):
    point = np.asarray(candidates, dtype=float)
    return Changes(point, np.empty((0, *point.shape)))


def verdict_on(given, margins=(), preference=None, alpha=ALPHA):
    rule = Rule.fixed_by(given, margins, alpha, preference)
    return rule.apply(given.point[None])


def names(mask):
    return np.flatnonzero(mask[0]).tolist()


# Guardrails


def test_one_candidate_needs_no_correction():
    """A guardrail passes where its change is more than 1.645 standard errors above -margin."""
    for beyond, passes in ((1.5, False), (1.8, True)):
        verdict = verdict_on(changes([0.1, -0.02 + beyond * ERROR]), [0.02])
        assert names(verdict.eligible) == ([0] if passes else [])
        expected = stats.norm.sf(beyond)
        assert verdict.p_guardrails[0, 0] == pytest.approx(expected, abs=0.01)


def test_several_candidates_are_corrected_by_holm():
    """p of 0.0228, 0.0359 and 0.5: the smallest times 3 is not below 0.05, though it is times 2."""
    beyond = (2.0, 1.8, 0.0)
    three = changes(*([0.1, -0.02 + z * ERROR] for z in beyond))
    verdict = verdict_on(three, [0.02])
    assert names(verdict.eligible) == []
    single = [p_not_above(three.values[:, c, 1], three.point[c, 1], -0.02) for c in range(3)]
    assert verdict.p_guardrails[0] == pytest.approx(holm(np.asarray(single)))
    assert names(verdict_on(three, [0.02], alpha=0.08).eligible) == [0, 1]


def test_a_failing_candidate_does_not_keep_a_clear_one_out():
    verdict = verdict_on(changes([0.1, 0.1], [0.1, -0.5]), [0.02])
    assert names(verdict.eligible) == [0]
    assert verdict.p_guardrails[0].tolist() == pytest.approx([2 / (1 + RESAMPLES), 1])


def test_every_guardrail_must_pass_and_the_worst_counts():
    """No split of alpha: each is tested at 5 %, for all must hold (intersection-union)."""
    verdict = verdict_on(changes([0.1, 0.1, -0.02 + 1.8 * ERROR]), [0.02, 0.02])
    assert names(verdict.eligible) == [0]
    verdict = verdict_on(changes([0.1, 0.1, -0.02 + 1.5 * ERROR]), [0.02, 0.02])
    assert names(verdict.eligible) == []
    assert verdict.winner.tolist() == [NOTHING]


def test_each_guardrail_has_its_own_margin():
    given = changes([0.1, -0.02, -0.02])
    assert names(verdict_on(given, [0.02 + 2 * BOUND, 0.02 + 2 * BOUND]).eligible) == [0]
    assert names(verdict_on(given, [0.02 + 2 * BOUND, 0.02]).eligible) == []
    assert names(verdict_on(given, [0.02, 0.02 + 2 * BOUND]).eligible) == []


def test_without_guardrails_all_are_eligible():
    verdict = verdict_on(changes([0.1], [-0.1]))
    assert names(verdict.eligible) == [0, 1]
    assert verdict.p_guardrails.tolist() == [[0, 0]]


def test_exactly_on_the_margin_is_not_shown_to_be_within_it():
    """Also where nothing varies, so that only the point is known."""
    verdict = verdict_on(changes([0.1, 0.48 - 0.50], [0.1, 0.48 - 0.50 + 1e-9], error=0.0), [0.02])
    assert names(verdict.eligible) == [1]
    assert verdict_on(changes([0.1, -0.02]), [0.02]).p_guardrails[0, 0] == pytest.approx(
        0.5, abs=0.03
    )


def test_p_of_one_guardrail_can_be_asked_for_elsewhere_than_at_its_point():
    given = changes([0.1, 0.0])
    rule = Rule.fixed_by(given, [0.02], ALPHA, None)
    assert rule.p_guardrail(0, 1, 0.02) == rule.p_guardrail(0, 1, 0.02, 0.0)
    p = rule.p_guardrail(0, 1, 0.02, np.asarray([-0.04, -0.02, 0.0, 0.02]))
    assert p == pytest.approx(stats.norm.sf([-2, 0, 2, 4]), abs=0.02)


# Superiority


def test_the_best_of_several_must_lead_the_reference_by_more_than_one_alone():
    lead = 2.0 * ERROR  # p = 0.023 alone
    assert names(verdict_on(changes([lead])).superior) == [0]
    assert names(verdict_on(changes(*[[lead]] * 8)).superior) == []
    assert names(verdict_on(changes(*[[0.0]] * 7, [3.0 * ERROR])).superior) == [7]


def test_superior_is_what_exceeds_the_simultaneous_margin():
    given = changes([0.01], [0.02], [0.03], [-0.1])
    rule = Rule.fixed_by(given, [], ALPHA, None)
    margins = simultaneous_margins(given.values[:, :, 0], given.point[:, 0], ALPHA)
    assert rule.superior_above == pytest.approx(margins)
    # Independent with the same spread: 1 - 0.95^(1/4) of each.
    assert margins == pytest.approx([stats.norm.isf(1 - 0.95**0.25) * ERROR] * 4, rel=0.04)
    assert names(rule.apply(given.point[None]).superior) == [2]


def test_better_is_not_enough_without_the_guardrails_nor_are_they_without_it():
    verdict = verdict_on(changes([0.5, -0.5], [0.0, 0.5]), [0.02])
    assert (names(verdict.eligible), names(verdict.superior)) == ([1], [0])
    assert names(verdict.tied) == []
    assert verdict.winner.tolist() == [NOTHING]


def test_no_candidate_that_is_as_good_as_the_reference_is_chosen():
    """A copy of the reference changes nothing, in no resample."""
    copy = Changes(np.zeros((2, 2)), np.zeros((RESAMPLES, 2, 2)))
    verdict = verdict_on(copy, [0.02])
    assert names(verdict.eligible) == [0, 1]
    assert names(verdict.superior) == []
    assert verdict.winner.tolist() == [NOTHING]


def test_a_change_that_does_not_vary_is_better_if_it_is_above_zero():
    verdict = verdict_on(changes([0.1], [0.0], [-0.1], error=0.0))
    assert names(verdict.superior) == [0]
    assert verdict.winner.tolist() == [0]


# The best and its equals


def test_equals_are_those_that_are_not_told_from_the_best():
    given = changes([0.50], [0.495], [0.40], [0.30])
    rule = Rule.fixed_by(given, [], ALPHA, None)
    assert rule.lead == pytest.approx(allowances(given.values[:, :, 0], given.point[:, 0], ALPHA))
    verdict = rule.apply(given.point[None])
    assert names(verdict.superior) == [0, 1, 2, 3]
    assert names(verdict.tied) == [0, 1]


def test_the_best_may_be_out_of_the_race_and_then_leads_nobody():
    """It is stopped by its guardrail, so the next ones are the best there are."""
    verdict = verdict_on(changes([0.9, -0.5], [0.5, 0.1], [0.495, 0.1], [0.3, 0.1]), [0.02])
    assert names(verdict.eligible) == [1, 2, 3]
    assert names(verdict.tied) == [1, 2]
    assert verdict.winner.tolist() == [1]


def test_a_small_lead_that_is_sure_is_a_lead():
    """What two candidates share cancels between them, however uncertain both are."""
    noise = np.random.default_rng(1).normal(0, 0.1, (RESAMPLES, 1))
    own = np.random.default_rng(2).normal(0, 0.001, (RESAMPLES, 2))
    point = np.asarray([[0.50], [0.49]])
    given = Changes(point, (point[:, 0] + noise + own)[:, :, None])
    assert names(verdict_on(given).tied) == [0]


def test_who_is_led_needs_no_more_than_its_own_rivals_ask_for():
    """All seven lead the eighth by the same noise, its own: hardly a correction.

    They have noise of their own among each other, so a lead over one of them needs more.
    """
    scale = np.asarray([0.01] * 7 + [1.0])
    noise = np.random.default_rng(3).normal(0, scale, (RESAMPLES, 8))
    point = np.asarray([5.0] * 7 + [5.0 - 2.0])
    given = Changes(point[:, None], (point + noise - noise.mean(axis=0))[:, :, None])
    rule = Rule.fixed_by(given, [], ALPHA, None)
    assert rule.lead[7, 0] < 1.8 and rule.lead[0, 7] > 2.1
    assert names(rule.apply(given.point[None]).superior) == list(range(8))
    assert names(rule.apply(given.point[None]).tied) == list(range(7))


def test_identical_copies_are_equals_and_the_tie_break_decides():
    one = changes([0.5, 0.1])
    copies = Changes(np.repeat(one.point, 3, axis=0), np.repeat(one.values, 3, axis=1))
    for preference, winner in ((None, 0), ((0, 1, 2), 0), ((0, -1, -2), 2), ((5, 3, 4), 1)):
        verdict = verdict_on(copies, [0.02], preference)
        assert names(verdict.tied) == [0, 1, 2]
        assert verdict.winner.tolist() == [winner]


@pytest.mark.parametrize(
    ("preference", "winner"),
    [
        (None, 2),  # the best value
        ((0, 1, 2, 3), 1),  # the earliest
        ((0, -1, -2, -3), 2),  # the latest; the very last is no equal
        ((0, 9, 2, 1), 2),  # the fewest parents
    ],
)
def test_of_equals_the_tie_break_takes_one(preference, winner):
    verdict = verdict_on(changes([0.3], [0.495], [0.5], [0.2]), (), preference)
    assert names(verdict.tied) == [1, 2]
    assert verdict.winner.tolist() == [winner]


def test_what_is_not_preferred_is_not_chosen_for_being_better():
    """Whoever has the smallest number wins only among the equals."""
    verdict = verdict_on(changes([0.1], [0.5]), (), (0, 1))
    assert names(verdict.superior) == [0, 1]
    assert verdict.winner.tolist() == [1]


# Resamples and points


def test_the_rule_is_applied_to_each_row_by_itself():
    given = changes([0.05, 0.0], [0.052, 0.01], [0.01, 0.02])
    rule = Rule.fixed_by(given, [0.03], ALPHA, (0, 1, 2))
    rows = given.values[:50]
    together = rule.apply(rows)
    assert together.winner.shape == (50,)
    assert len(set(together.winner.tolist())) > 1
    for place, row in enumerate(rows):
        alone = rule.apply(row[None])
        for field in ("p_guardrails", "eligible", "superior", "tied", "winner"):
            assert (getattr(alone, field)[0] == getattr(together, field)[place]).all()


def test_a_clear_winner_wins_in_every_resample_and_a_close_race_does_not():
    clear = changes([0.5, 0.1], [0.2, 0.1])
    again = Rule.fixed_by(clear, [0.02], ALPHA, None).apply(clear.values)
    assert (again.winner == 0).all()
    close = changes([0.5, 0.1], [0.5, 0.1])
    again = Rule.fixed_by(close, [0.02], ALPHA, None).apply(close.values)
    assert (again.winner == 0).mean() == pytest.approx(0.5, abs=0.05)


def test_of_points_alone_the_values_decide():
    given = points([0.3, -0.01], [0.5, -0.03], [0.4, 0.0], [0.4, 0.1], [-0.1, 0.3])
    verdict = verdict_on(given, [0.02], (0, 1, 2, 3, 4))
    assert names(verdict.eligible) == [0, 2, 3, 4]
    assert names(verdict.superior) == [0, 1, 2, 3]
    assert names(verdict.tied) == [2, 3]  # only what is exactly equal
    assert verdict.winner.tolist() == [2]
    assert verdict_on(given, [0.02], (0, -1, -2, -3, -4)).winner.tolist() == [3]


def test_of_points_alone_on_the_margin_is_within_it():
    """Exact numbers: what is not worse by more than the margin passes, whatever rounding says."""
    given = points([0.1, 0.48 - 0.50], [0.1, 0.93 - 0.95], [0.1, -0.0201])
    assert names(verdict_on(given, [0.02]).eligible) == [0, 1]


def test_of_points_alone_there_is_no_resample_to_apply_it_to():
    given = points([0.1, 0.0], [0.2, 0.0])
    again = Rule.fixed_by(given, [0.02], ALPHA, None).apply(given.values)
    assert again.winner.shape == (0,)
    assert again.tied.shape == (0, 2)


@pytest.mark.parametrize(
    "given", [points([-0.1, 0.1], [0.1, -0.1]), changes([-0.1, 0.1], [0.1, -0.1])]
)
def test_where_nothing_is_left_nothing_is_chosen(given):
    verdict = verdict_on(given, [0.02], (0, 1))
    assert names(verdict.tied) == []
    assert verdict.winner.tolist() == [NOTHING]
