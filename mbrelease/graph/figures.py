"""The value of a metric for each variant: measured here, or else reported.

Measured is what evidence says of the weights that a variant stands for: those that its decision
chose, or its only weights. Values of different splits, data, settings or machines do not compare;
so those that most variants have are shown plainly, and the others with a mark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from mbrelease.cards.model_record import read_record, record_path
from mbrelease.cards.numbers import metric_text
from mbrelease.cards.reports import Account, Reports
from mbrelease.cards.scores import Column
from mbrelease.errors import UserError, did_you_mean
from mbrelease.evaluation.candidates import NoWeights, released_checkpoint
from mbrelease.evaluation.comparable import Conditions, conditions
from mbrelease.evaluation.evidence import EvidenceRecord
from mbrelease.evaluation.metric_names import split_metric
from mbrelease.evaluation.reported import read_reported
from mbrelease.graph.family import Figure
from mbrelease.registry.project import Project
from mbrelease.selection.decision import read_decision

_SPLITS = ("test", "dev")
_WHOLE = "default"  # the subset of a report that is of all of a task
_Key = tuple[str, Conditions]
"""The split and how it was measured."""


def read_figures(
    project: Project, variants: Sequence[str], metrics: Iterable[str]
) -> dict[str, list[Figure]]:
    """The figures of ``variants`` by their names; those that have none are left out.

    Args:
        project: the registry, with its evidence.
        variants: names, resolved.
        metrics: ``task/metric``, or ``task[subset]/metric`` of reports.

    Raises:
        UserError: no variant has a figure of a metric, or evidence is malformed, or two reports
            contradict each other.
    """
    found: dict[str, list[Figure]] = {}
    for metric in dict.fromkeys(metrics):
        if "/" not in metric:
            raise UserError(
                f"'{metric}' is no metric of a task", mend="write task/metric, such as nli/accuracy"
            )
        measured = _measured(project, variants, metric)
        reported = _reported(project, [v for v in variants if v not in measured], metric)
        if not measured and not reported:
            raise _unknown(project, variants, metric)
        for variant, figure in (measured | reported).items():
            found.setdefault(variant, []).append(figure)
    return found


def _measured(project: Project, variants: Sequence[str], metric: str) -> dict[str, Figure]:
    task, key = split_metric(metric)
    if "[" in task or not any(project.evidence.glob(f"*/{task}.json")):
        return {}
    weights = _known_weights(project)
    records = {
        variant: {
            (record.split, conditions(record.provenance)): record
            for record in _records(project, variant, weights.get(variant), task)
            if key in record.metrics
        }
        for variant in variants
    }
    count = Counter(key for own in records.values() for key in own)
    figures = {}
    for variant, own in records.items():
        if own:
            shown = max(own, key=lambda each: (count[each], _rank(each)))
            record = own[shown]
            figures[variant] = Figure(
                metric,
                metric_text(metric, record.metrics[key]),
                "measured",
                record.split,
                comparable=shown == max(count, key=lambda each: (count[each], _rank(each))),
            )
    return figures


def _rank(key: _Key) -> tuple[bool, Conditions]:
    """Of equals, test is shown, and what newer code measured."""
    return key[0] == _SPLITS[0], key[1]


def _records(project: Project, variant: str, sha256: str | None, task: str) -> list[EvidenceRecord]:
    checkpoint = None
    if sha256 is None:
        try:
            checkpoint = released_checkpoint(project, variant)
        except NoWeights:
            return []
        sha256 = checkpoint.weights_sha256
    return [
        record
        for record in Column(variant, sha256, checkpoint).records(project, task)
        if record.split in _SPLITS
    ]


def _known_weights(project: Project) -> dict[str, str]:
    """The sha256 of the weights of each variant of which a file tells, by its name.

    A decision tells which it chose and with which it compared; the record of a card, which it was
    about and which stood beside them.
    """
    chosen: dict[str, str] = {}
    kept: dict[str, str] = {}
    beside: dict[str, str] = {}
    for variant in project.registry.variants:
        record = read_record(record_path(project.evidence, variant))
        if record is not None:
            kept[variant] = record.weights_sha256
            beside.update(record.beside)
        path = project.decision(variant)
        if path.exists():
            decision = read_decision(path)
            reference = decision.policy.reference
            reference = project.registry.aliases.get(reference, reference)
            beside[reference] = decision.reference.weights_sha256
            if decision.chosen_candidate is not None:
                chosen[variant] = decision.chosen_candidate.weights_sha256
    return beside | kept | chosen


def _reported(project: Project, variants: Iterable[str], metric: str) -> dict[str, Figure]:
    reports = Reports(project)
    found: dict[str, tuple[str, Account]] = {}
    for variant in variants:
        try:
            accounts = reports.accounts(variant, metric, None)
        except UserError as error:
            if "reported twice" not in error.message:
                raise
            raise UserError(error.message, mend="correct one, or ask for another metric") from error
        for source, account in accounts.items():
            found.setdefault(variant, (source.name or source.url or "a report", account))
    # As they were written down, with as many decimals as the one that has most.
    places = max((_decimals(account) for _, account in found.values()), default=0)
    return {
        variant: Figure(metric, f"{float(account.value):.{places}f}", "reported", where)
        for variant, (where, account) in found.items()
    }


def _decimals(account: Account) -> int:
    written = (Decimal(str(report.result.value)) for report in account.reports)
    return max(0, *(-int(value.as_tuple().exponent) for value in written))


def _unknown(project: Project, variants: Iterable[str], metric: str) -> UserError:
    known = [*_known(project, variants)]
    near = did_you_mean(metric, known)
    some = f"there are {', '.join(known[:3])} and {max(0, len(known) - 3):,} more"
    return UserError(
        f"no variant in the graph has a figure of {metric}",
        mend=near or (some if len(known) > 3 else "measure it: mbrelease eval VARIANT"),
    )


def _known(project: Project, variants: Iterable[str]) -> Mapping[str, None]:
    """The metrics that something is known of, or that suites measure."""
    suites = project.registry.suites.values()
    known = [f"{task.name}/{metric}" for suite in suites for task in suite
             for metric in task.shown_metrics]  # fmt: skip
    for variant in variants:
        for result in read_reported(project.evidence, variant):
            subset = "" if result.subset == _WHOLE else f"[{result.subset}]"
            known.append(f"{result.task_name}{subset}/{result.metric.replace('_at_', '@')}")
    return dict.fromkeys(known)
