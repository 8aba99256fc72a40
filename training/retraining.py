"""★ Retraining as one page: what a worker does with runs it has claimed. Takes a list, returns one outcome for each.

Bytes first, row second, pointer last: a crash leaves an orphaned file or an unplaced version, never a dead pointer.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from uuid import UUID

from django.db import transaction

from registry import lifecycle
from registry.reports import Verdict
from training import (
    candidates,
    cases,
    chunks,
    clock,
    evaluation,
    judging,
    outcomes,
    packing,
    publishing,
    records,
)
from training.heartbeat import Pulse
from training.judging import Judged
from training.models import RetrainingPolicy, Snapshot, TrainingRun
from training.outcomes import Outcome
from training.packing import Sealed
from training.policy_terms import RunDetails
from training.trainers.base import Refused

logger = logging.getLogger(__name__)
ACTOR = "retraining"
State, Action = TrainingRun.State, RetrainingPolicy.Action
FEW = 50
"""Runs of a slice that are told of one by one, while they go on and when they end."""
NEXT_STEPS = {
    "overtaken": "Retrain it again, or promote the version by hand.",
    "held": "Read the gate report, then promote the version by hand or leave it.",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """A slice of a claimed chunk: the runs to carry out together, and the signs of life they give."""

    claim: chunks.Claim
    pulse: Pulse
    snapshot: Snapshot
    runs: Sequence[TrainingRun]

    def step(self, phase: str, percent: int) -> None:
        """Show the phase of the runs of a small slice. Raises LeaseLost where another worker may have them.

        Of a large one nobody could follow it: all of its runs end together within seconds.
        """
        self.pulse.check()
        if len(self.runs) > FEW:
            return
        outcomes.note_phase(self.claim, [run.pk for run in self.runs], phase=phase, percent=percent)


def retrain(work: Work) -> list[Outcome]:
    """Carry the runs of one slice out and commit them together; return how each ended. Raises LeaseLost."""
    began = monotonic()
    work.step("reading", 5)
    ready, refused = cases.load(work.runs, work.snapshot, now=clock.now())
    work.step("fitting", 20)
    fields, unfit = candidates.line_up(ready)
    work.step("comparing", 60)
    judged = judging.judge(fields)
    work.step("packing", 80)
    sealed = packing.seal(judged, at=clock.now())
    sound = [each for each in sealed if packing.refusal_of(each) is None]
    stopped = [
        *(_refused(refusal) for refusal in refused),
        *(_refused(_unfit(case, reason)) for case, reason in unfit),
        *(_refused(_unfit(each.judged.field.case, reason)) for each in sealed if (reason := packing.refusal_of(each))),
    ]
    work.step("committing", 95)
    seconds = (monotonic() - began) / len(work.runs)
    return _commit(work, sound, stopped, seconds=seconds)


def _unfit(case: cases.Case, reason: Refused) -> cases.Refusal:
    return cases.Refusal(run=case.run, refused=reason, details=_details(case))


def _refused(refusal: cases.Refusal) -> Outcome:
    reason = refusal.refused
    return Outcome(
        run_id=refusal.run.pk,
        state=State.FAILED,
        code=reason.code,
        sentence=reason.sentence,
        next_step=reason.next_step,
        details=refusal.details,
        log=(("error", reason.sentence),),
    )


def _commit(work: Work, sealed: Sequence[Sealed], refused: Sequence[Outcome], *, seconds: float) -> list[Outcome]:
    """Write versions, pointers, forecasts and run rows in one transaction, for the runs that are still ours."""
    stored = _stored(sealed)
    at = clock.now()
    # Forecast before the transaction: nothing is computed while rows are locked.
    fresh = records.refreshed([each.judged for each in sealed if _stays(each)], at=at)
    with transaction.atomic():
        ours = outcomes.held(work.claim, [run.pk for run in work.runs])
        kept = [each for each in sealed if _run_of(each.judged) in ours]
        registrations = [records.registration(each, stored[_run_of(each.judged)]) for each in kept]
        lifecycle.register(registrations, actor=ACTOR, cause="retrain", at=at)
        publishing.publish(records.forecasts(kept, at=at))
        publishing.publish([row for judged, row in fresh if _run_of(judged) in ours])
        ended = [*_place(kept, at=at), *(outcome for outcome in refused if outcome.run_id in ours)]
        ended = [replace(each, details=replace(each.details, seconds=round(seconds, 3))) for each in ended]
        outcomes.close(ended, at=at)
    _tell(ended)
    return ended


def _stored(sealed: Sequence[Sealed]) -> dict[UUID, lifecycle.Stored]:
    """Store the bytes of all, those of one format in few objects; return where each run's lie."""
    kept: dict[UUID, lifecycle.Stored] = {}
    for some in evaluation.grouped(sealed, key=lambda each: each.format):
        found = lifecycle.store_artifacts([each.content for each in some], format=some[0].format)
        kept.update({_run_of(each.judged): stored for each, stored in zip(some, found, strict=True)})
    return kept


def _run_of(judged: Judged) -> UUID:
    return judged.field.case.run.pk


def _place(kept: Sequence[Sealed], *, at: datetime) -> list[Outcome]:
    """Move the pointers as verdict and policy say. A candidate that was overtaken stays registered, unplaced."""
    groups: dict[str, list[Sealed]] = {"promote": [], "nominate": [], "reject": [], "register": []}
    for each in kept:
        groups[_fate(each)].append(each)
    overtaken = _moved(groups["promote"], lifecycle.promote, at=at) | _moved(
        groups["nominate"], lifecycle.nominate, at=at
    )
    _moved(groups["reject"], lifecycle.reject, at=at)
    return [_ended(each, fate, overtaken) for fate, members in groups.items() for each in members]


def _stays(sealed: Sealed) -> bool:
    """Return whether the champion stays, and so publishes from the newest observations."""
    return _fate(sealed) != "promote"


def _fate(sealed: Sealed) -> str:
    """Return what follows from verdict and policy: promote, nominate, reject, or register only."""
    policy, verdict = sealed.judged.field.case.policy, sealed.judged.report.verdict
    if verdict is Verdict.FAILED:
        return "reject"
    if policy.action == Action.REGISTER:
        return "register"
    automatic = policy.action == Action.PROMOTE and policy.promote_mode == RetrainingPolicy.PromoteMode.AUTOMATIC
    return "promote" if automatic and verdict is Verdict.PASSED else "nominate"


def _moved(members: Sequence[Sealed], move: Callable[..., lifecycle.Placed | None], *, at: datetime) -> set[object]:
    """Move one pointer for each member; return the ids of the versions that were overtaken."""
    overtaken: set[object] = set()
    for cause in sorted({each.judged.cause for each in members}):
        moves = [_move(each, nominates=move is lifecycle.nominate) for each in members if each.judged.cause == cause]
        placed = move(moves, actor=ACTOR, cause=cause, at=at)
        overtaken |= set(placed.overtaken) if placed else set()
    return overtaken


def _move(sealed: Sealed, *, nominates: bool) -> lifecycle.Move:
    run, judged = sealed.judged.field.case.run, sealed.judged
    champion = judged.champion.pk if judged.champion else None
    return lifecycle.Move(
        registered_model_id=run.registered_model_id,
        version_id=run.pk,
        expected_id=run.registered_model.challenger_id if nominates else champion,
        report=judged.report,
        reason=judged.report.reason,
    )


def _ended(sealed: Sealed, fate: str, overtaken: set[object]) -> Outcome:
    case, report = sealed.judged.field.case, sealed.judged.report
    late = case.run.pk in overtaken
    code = "overtaken" if late else {"reject": "not_better", "nominate": "held"}.get(fate, "")
    sentence = "The pointer moved while this run was going on." if late else report.reason
    return Outcome(
        run_id=case.run.pk,
        state=State.SUPERSEDED if late else State.SUCCEEDED,
        code=code,
        sentence=sentence,
        next_step=NEXT_STEPS.get(code, ""),
        verdict=report.verdict.value,
        report=report,
        version_id=case.run.pk,
        details=_details(case, sealed),
        log=(*(("warning", text) for text in sealed.judged.warnings), ("info", f"{fate}: {report.reason}")),
    )


def _details(case: cases.Case, sealed: Sealed | None = None) -> RunDetails:
    return RunDetails(
        days=case.days,
        rows=len(case.series),
        train_rows=len(case.split.train),
        test_rows=sum(len(window.at) for window in case.split.windows),
        features=case.series.feature_names,
        trainer=sealed.judged.candidate.trainer if sealed else "",
        params=dict(sealed.fitted.params) if sealed else {},
        metrics=dict(sealed.scorecard.metrics) if sealed else {},
        warnings=sealed.judged.warnings if sealed else case.warnings,
    )


def _tell(ended: Sequence[Outcome]) -> None:
    """Log each run that failed, and the others of a few; of many their number, for each has its own row."""
    failed = [each for each in ended if each.state == State.FAILED]
    for each in failed if len(ended) > FEW else ended:
        level = logging.ERROR if each.state == State.FAILED else logging.INFO
        told = {"run": str(each.run_id), "state": each.state, "verdict": each.verdict, "code": each.code}
        logger.log(level, "run ended: %s", each.sentence, extra=told)
    if len(ended) > FEW:
        counts = Counter(each.verdict or each.state for each in ended)
        logger.info("%s runs ended together", len(ended), extra=dict(sorted(counts.items())))
