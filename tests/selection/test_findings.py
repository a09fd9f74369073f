"""What curves show: each kind on curves made for it, on noise alone, and on published figures."""

import numpy as np
import pytest

from mbrelease.selection.findings import Curves, find
from mbrelease.selection.statistics import AdditiveScore, bootstrap

RECALL, LOSS, ACCURACY = "find/recall@1", "mlm/loss", "topics/accuracy"
STEPS = (20_000, 30_000, 40_000, 50_000, 60_000, 70_000, 80_000)
RISE_AND_FALL = (0.34, 0.38, 0.42, 0.44, 0.42, 0.40, 0.37)
FALLING = (1.000, 0.996, 0.991, 0.985, 0.980, 0.975, 0.970)


def checkpoints(steps):
    return tuple(f"checkpoint-{step}" for step in steps)


def mean_of(scores):
    return AdditiveScore(
        np.stack([scores, np.ones_like(scores)], axis=1)[None],
        lambda sums: sums[..., 0] / sums[..., 1],
    )


def measured(table, *, n=600, noise=0.3, seed=0, averages=0, steps=STEPS, resamples=1000, **more):
    """Curves with the given true values.

    Examples are hard or easy for all candidates, and each candidate has noise of its own, in the
    loss a tenth of that.
    """
    generator = np.random.default_rng(seed)
    metrics = tuple(table)
    rows = len(next(iter(table.values())))
    hard = generator.standard_normal(n)
    scores = []
    for truth in zip(*table.values(), strict=True):
        for metric, value in zip(metrics, truth, strict=True):
            sign, size = (-1, noise / 10) if metric == LOSS else (1, noise)
            own = size * generator.standard_normal(n)
            scores.append(mean_of(sign * (value + 0.1 * bool(noise) * hard + own)))
    drawn = bootstrap(scores, resamples=resamples, seed=seed)
    names = (*checkpoints(steps), "best:3+last", "last:2", "uniform")[:rows]
    if averages:
        names = (*checkpoints(steps)[: rows - averages], *("best:3+last", "last:2")[:averages])
    return Curves(
        names=names,
        kinds=("checkpoint",) * (rows - averages) + ("average",) * averages,
        steps=(*steps[: rows - averages], *(None,) * averages),
        metrics=metrics,
        point=drawn.point.reshape(rows, len(metrics)),
        values=drawn.values.reshape(-1, rows, len(metrics)),
        **({"alpha": 0.05} | more),
    )


def reported(table, *, averages=0, steps=STEPS, **more):
    rows = len(next(iter(table.values())))
    columns = [np.array(v) * (-1 if m == LOSS else 1) for m, v in table.items()]
    return Curves(
        names=(*checkpoints(steps)[: rows - averages], *("best:3+last", "last:2")[:averages]),
        kinds=("checkpoint",) * (rows - averages) + ("average",) * averages,
        steps=(*steps[: rows - averages], *(None,) * averages),
        metrics=tuple(table),
        point=np.stack(columns, axis=1).astype(float),
        values=np.empty((0, rows, len(table))),
        alpha=0.05,
        **more,
    )


def the(kind, curves):
    found = [one for one in find(curves) if one.kind == kind]
    assert len(found) == 1, [one.sentence for one in find(curves)]
    return found[0]


def kinds(curves):
    return [finding.kind for finding in find(curves)]


def test_a_metric_turns_while_the_loss_improves():
    curves = measured({RECALL: RISE_AND_FALL, LOSS: FALLING}, noise=0.1)
    turned = the("turned", curves)
    assert turned.metrics == [RECALL, LOSS]
    assert turned.candidates == ["checkpoint-50000", "checkpoint-80000"]
    numbers = turned.numbers
    assert (numbers["peak_step"], numbers["last_step"]) == (50_000, 80_000)
    # The values are those of the curves, in the metrics' own direction.
    assert numbers["peak"] == pytest.approx(curves.point[3, 0])
    assert numbers["fall"] == pytest.approx(numbers["peak"] - numbers["last"])
    assert numbers["low"] < 0.07 < numbers["high"] and numbers["low"] > 0
    assert numbers["loss_at_peak"] == pytest.approx(-curves.point[3, 1])
    assert numbers["loss_at_peak"] > numbers["loss_at_last"] > 0
    assert turned.sentence == (
        f"find/recall@1 peaked at step 50,000 ({numbers['peak']:.3f}) and has fallen by "
        f"{numbers['fall']:.3f} (95% interval {numbers['low']:.3f} to {numbers['high']:.3f}) until "
        f"step 80,000, while mlm/loss still improved, from {numbers['loss_at_peak']:.4f} to "
        f"{numbers['loss_at_last']:.4f}; that is more than noise."
    )


def test_the_loss_of_another_domain_turns_too():
    other = tuple(2 - value for value in RISE_AND_FALL)
    curves = reported({LOSS: FALLING, "general/perplexity": other})
    curves = Curves(**{**vars(curves), "point": curves.point * [1, -1]})
    turned = the("turned", curves)
    assert turned.sentence.startswith(
        "general/perplexity was best at step 50,000 (1.56) and has worsened by 0.07 until "
    )
    assert turned.metrics == ["general/perplexity", LOSS]


@pytest.mark.parametrize(
    "table",
    [
        {RECALL: RISE_AND_FALL, LOSS: FALLING[::-1]},  # the loss turned, too
        {RECALL: RISE_AND_FALL, ACCURACY: RISE_AND_FALL},  # there is no loss
        {RECALL: sorted(RISE_AND_FALL), LOSS: FALLING},  # it rises to the end
        {RECALL: (0.44,) * 7, LOSS: FALLING},
    ],
)
@pytest.mark.parametrize("of", [measured, reported])
def test_no_turn_is_said_where_there_is_none(table, of):
    assert "turned" not in kinds(of(table))


def test_a_dip_on_the_way_is_no_turn():
    table = {RECALL: (0.34, 0.38, 0.42, 0.20, 0.42, 0.43, 0.44), LOSS: FALLING}
    assert "turned" not in kinds(measured(table, noise=0.05))


def test_the_last_checkpoint_is_worse_by_more_than_noise():
    found = the("last-not-best", measured({RECALL: RISE_AND_FALL}, noise=0.1))
    numbers = found.numbers
    assert (numbers["best_step"], numbers["last_step"]) == (50_000, 80_000)
    assert numbers["more_than_noise"] == 1
    assert found.sentence == (
        "The last checkpoint, checkpoint-80000, is not the best on find/recall@1: it has "
        f"{numbers['last']:.3f}, and step 50,000 has {numbers['best']:.3f}, "
        f"{numbers['difference']:.3f} better (95% interval {numbers['low']:.3f} to "
        f"{numbers['high']:.3f}); that is more than noise."
    )


def test_the_last_checkpoint_is_worse_by_what_may_be_noise():
    found = the("last-not-best", measured({RECALL: (0.44,) * 7}, seed=1))
    assert found.numbers["more_than_noise"] == 0
    assert found.sentence.endswith("; that may be noise.")


def test_a_loss_is_best_where_it_is_lowest():
    curves = measured({LOSS: FALLING[::-1]}, noise=0.01)
    found = the("last-not-best", curves)
    assert found.candidates == ["checkpoint-20000", "checkpoint-80000"]
    assert found.numbers["best"] == pytest.approx(-curves.point[0, 0])
    assert found.numbers["difference"] == pytest.approx(0.030, abs=0.002)


@pytest.mark.parametrize(
    ("averages", "kind", "start", "end"),
    [
        ((0.48, 0.45), "average-beats", "Averaging beats the best", "; that is more than noise."),
        ((0.40, 0.20), "average-loses", "No average beats the best", "; that is more than noise."),
        ((0.44, 0.44), "average-ties", "No average beats the best", "; that may be noise."),
    ],
)
def test_averages_beat_tie_or_lose(averages, kind, start, end):
    curves = measured({RECALL: (0.40, 0.44, 0.43, *averages)}, noise=0.15, averages=2)
    found = the(kind, curves)
    numbers = found.numbers
    assert found.candidates[1] == "checkpoint-30000"
    assert numbers["n_averages"] == 2 and numbers["n_checkpoints"] == 3
    assert numbers["difference"] == pytest.approx(numbers["average"] - numbers["single"])
    assert numbers["low"] < numbers["difference"] < numbers["high"]
    assert found.sentence.startswith(f"{start} single checkpoint on find/recall@1: the best of 2")
    assert found.sentence.endswith(f" than checkpoint-30000 with {numbers['single']:.3f}{end}")
    worse = "worse" if numbers["difference"] < 0 else "better"
    assert f" {abs(numbers['difference']):.3f} {worse} (95% interval " in found.sentence


def test_an_average_that_is_the_best_checkpoint_is_the_same_as_it():
    curves = reported({RECALL: (0.40, 0.44, 0.44)}, averages=1)
    assert the("average-ties", curves).sentence == (
        "No average beats the best single checkpoint on find/recall@1: best:3+last has 0.440, the "
        "same as checkpoint-30000 with 0.440, by the reported values alone."
    )


def test_a_metric_that_does_not_change_is_flat():
    table = {RECALL: RISE_AND_FALL, ACCURACY: (0.915,) * 7}
    found = the("flat", measured(table, noise=0.1))
    numbers = found.numbers
    assert found.metrics == [ACCURACY]
    assert numbers["lowest"] < 0.915 < numbers["highest"] and 0 < numbers["band"] < 0.02
    assert found.sentence == (
        "topics/accuracy does not change over the 7 checkpoints by more than its noise: it lies "
        f"between {numbers['lowest']:.3f} and {numbers['highest']:.3f}, and 95% bands that hold at "
        f"once reach {numbers['band']:.3f} to either side of the mean."
    )


def test_one_checkpoint_apart_is_not_flat():
    assert "flat" not in kinds(measured({ACCURACY: (0.9, 0.9, 0.9, 0.7, 0.9, 0.9, 0.9)}, noise=0.1))


def test_a_metric_without_variance():
    assert "flat" in kinds(measured({ACCURACY: (0.9,) * 7}, noise=0.0))
    assert "flat" not in kinds(measured({ACCURACY: (*(0.9,) * 6, 0.8)}, noise=0.0))
    found = the("last-not-best", measured({ACCURACY: (*(0.9,) * 6, 0.8)}, noise=0.0))
    assert found.numbers["more_than_noise"] == 1 and found.numbers["low"] == pytest.approx(0.1)


def test_the_decay_and_what_it_brought():
    curves = measured({RECALL: sorted(RISE_AND_FALL)}, noise=0.1, decay_start=55_000)
    found = the("decay", curves)
    numbers = found.numbers
    assert found.candidates == ["checkpoint-50000", "checkpoint-80000"]
    assert (numbers["step"], numbers["n_since"], numbers["more_than_noise"]) == (55_000, 3, 1)
    assert found.sentence == (
        "The learning rate decays after step 55,000; from step 50,000 to step 80,000 find/recall@1 "
        f"has gone from {numbers['before']:.3f} to {numbers['last']:.3f}, "
        f"{numbers['difference']:.3f} better (95% interval {numbers['low']:.3f} to "
        f"{numbers['high']:.3f}); that is more than noise."
    )


@pytest.mark.parametrize(("start", "n_since"), [(80_000, 0), (10_000, 7)])
def test_a_decay_with_nothing_on_one_side(start, n_since):
    found = the("decay", measured({RECALL: RISE_AND_FALL}, decay_start=start))
    assert found.sentence == f"The learning rate decays after step {start:,}."
    assert found.numbers == {"step": start, "n_since": n_since}


def test_science_dapt_by_its_reported_figures():
    """The card's figures at 20k and 50k; after that it says no more than that both declined."""
    steps = (20_000, 50_000, 60_000, 80_000)
    table = {
        RECALL: (0.338, 0.440, 0.425, 0.401),
        LOSS: (0.996, 0.985, 0.982, 0.978),
        "topics/macro_f1": (0.9156, 0.9159, 0.9120, 0.9050),
    }
    found = find(reported(table, steps=steps))
    assert [one.sentence for one in found] == [
        "find/recall@1 peaked at step 50,000 (0.440) and has fallen by 0.039 until step 80,000, "
        "while mlm/loss still improved, from 0.9850 to 0.9780, by the reported values alone.",
        "topics/macro_f1 peaked at step 50,000 (0.916) and has fallen by 0.011 until step 80,000, "
        "while mlm/loss still improved, from 0.9850 to 0.9780, by the reported values alone.",
        "The last checkpoint, checkpoint-80000, is not the best on find/recall@1: it has 0.401, "
        "and step 50,000 has 0.440, 0.039 better, by the reported values alone.",
    ]
    assert not any({"low", "high", "more_than_noise"} & set(one.numbers) for one in found)


def test_two_reported_points_that_rise_show_nothing():
    table = {RECALL: (0.338, 0.440), LOSS: (0.996, 0.985)}
    assert find(reported(table, steps=(20_000, 50_000))) == []


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_a_metric_that_is_not_finite_is_passed_over(spoilt):
    table = {RECALL: RISE_AND_FALL, LOSS: FALLING, ACCURACY: (0.9,) * 7}
    curves = measured(table, noise=0.1)
    curves.values[3, 2, 0] = spoilt
    assert {metric for one in find(curves) for metric in one.metrics} == {ACCURACY}


@pytest.mark.parametrize("n", [0, 1])
def test_one_checkpoint_or_none_is_no_curve(n):
    curves = measured({RECALL: (0.4, 0.4), LOSS: (1.0, 1.0)}, averages=2 - n)
    assert kinds(curves) == (["average-ties"] if n else [])


def test_names_where_there_are_no_steps_and_small_differences():
    curves = reported({RECALL: (0.4401, 0.4400), LOSS: (1.0, 0.9)}, steps=STEPS[:2])
    curves = Curves(**{**vars(curves), "steps": (None, None), "names": ("a", "b")})
    turned, last = find(curves)
    assert turned.sentence.startswith(
        "find/recall@1 peaked at a (0.440) and has fallen by 0.0001 until b, while"
    )
    assert set(turned.numbers) == {"peak", "last", "fall", "loss_at_peak", "loss_at_last"}
    assert last.sentence.startswith("The last checkpoint, b, is not the best")


def test_a_reference_among_the_candidates_is_passed_over():
    curves = measured({RECALL: RISE_AND_FALL, LOSS: FALLING}, noise=0.1)
    without = find(curves)
    more = {
        "names": ("base", *curves.names),
        "kinds": ("reference", *curves.kinds),
        "steps": (None, *curves.steps),
        "point": np.concatenate([curves.point[:1] + 1, curves.point]),
        "values": np.concatenate([curves.values[:, :1] + 1, curves.values], axis=1),
    }
    assert find(Curves(**{**vars(curves), **more})) == without != []


def test_noise_alone_is_seldom_taken_for_something():
    """Two metrics that stand still while the loss falls, and averages as good as checkpoints.

    Each kind is to err in at most 5% of runs; 200 runs tell that within 4.6% (3 SE).
    """
    runs = 200
    said = {"turned": 0, "last": 0, "average": 0}
    table = {
        RECALL: (0.5,) * 9,
        ACCURACY: (0.9,) * 9,
        LOSS: (*(2.0 - step / 10 for step in range(7)), 1.0, 1.0),
    }
    for seed in range(runs):
        found = find(measured(table, n=200, seed=seed, averages=2, resamples=400))
        said["turned"] += any(one.kind == "turned" for one in found)
        said["last"] += any(one.numbers.get("more_than_noise") == 1 for one in found)
        said["average"] += any(one.kind in ("average-beats", "average-loses") for one in found)
    allowed = 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert all(times / runs <= allowed for times in said.values()), said
    # And a fall of five standard errors is seen.
    assert "turned" in kinds(measured(table | {RECALL: (*(0.5,) * 6, 0.4, 0.5, 0.5)}, averages=2))
