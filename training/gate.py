"""The gate: ordered checks over one comparison, and the verdict that follows from them. Pure; sees numbers alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from registry.reports import Check, GateReport, Verdict

# An MAE of 8.8 is 10 % above 8, although the floats say 10.000000000000009.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class GateLimits:
    """Limits of one policy's gate; each default is decided in docs/decisions."""

    mae_threshold_percent: float = 10.0
    """Largest rise of the MAE against the incumbent, in percent."""
    ratchet_percent: float = 10.0
    """Largest rise of the MAE against the anchor, in percent."""
    floor: float = 1.0
    """Largest MAE relative to seasonal naive on the same windows."""
    stability_percent: float = 30.0
    """Largest WAPE between the champion's and the candidate's forecasts of the same dates, in percent; more is held."""
    bias_ratio: float | None = None
    """Largest absolute bias over the mean absolute actual, 0 to 1; None: reported, not gated."""
    mae_at_most: float | None = None
    """Absolute bound on the MAE, in the fleet's unit; None: none."""
    minimum_points: int = 30
    """Fewer scored points warn, and no significance is claimed."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The numbers that the gate looks at, all from the same windows; made by `evaluation.compare`."""

    points: int
    """Scored points: finite actual and finite forecast."""
    unscored: int = 0
    """Points with an actual for which the candidate gave no finite value."""
    mae: float | None
    """Of the candidate, in the fleet's unit; None where no point was scored."""
    bias: float | None = None
    """Mean of forecast minus actual, in the fleet's unit."""
    mean_absolute_actual: float | None = None
    naive_mae: float | None
    naive_candidate: bool = False
    """The candidate is seasonal naive itself."""
    incumbent: str = "none"
    """How the incumbent was scored: `stored`, `twin`, `same_recipe`, `unscored` or `none`, where there is none."""
    incumbent_mae: float | None = None
    mae_beside_incumbent: float | None = None
    """Of the candidate on the points that the incumbent forecast too; needed wherever there is an incumbent MAE."""
    anchor_mae: float | None = None
    """Of the anchor's recipe, fitted on the same train part; None where it was not scored."""
    mae_beside_anchor: float | None = None
    """Of the candidate on the points that the anchor forecast too."""
    stability_percent: float | None = None
    """WAPE between the champion's and the candidate's forecasts of the same dates, in percent."""
    realised_points: int = 0
    """Points observed since the champion was fitted, of at least `horizon` rows; 0 where there are not enough."""
    realised_champion_mae: float | None = None
    """Of the stored champion on those points."""
    realised_mae: float | None = None
    """Of the candidate on those points."""


def decide(
    comparison: Comparison,
    limits: GateLimits,
    *,
    incumbent_version: str = "",
    anchor_version: str = "",
    snapshot: str = "",
) -> GateReport:
    """Make every check in order; failed if one failed, else held if one is held, else passed.

    `reason` is the sentence of the deciding check: the first that failed or is held, else the change check,
    or the floor where there is no incumbent.
    """
    checks = tuple(check(comparison, limits) for check in CHECKS)
    verdict = _verdict(checks)
    return GateReport(
        verdict=verdict,
        reason=_reason(checks, verdict),
        checks=checks,
        incumbent=comparison.incumbent,
        incumbent_version=incumbent_version,
        anchor_version=anchor_version,
        snapshot=snapshot,
    )


def _verdict(checks: tuple[Check, ...]) -> Verdict:
    outcomes = {check.outcome for check in checks}
    return Verdict.FAILED if "failed" in outcomes else Verdict.HELD if "held" in outcomes else Verdict.PASSED


def _reason(checks: tuple[Check, ...], verdict: Verdict) -> str:
    if verdict is not Verdict.PASSED:
        return next(check.sentence for check in checks if check.outcome == verdict.value)
    by_rule = {check.rule: check for check in checks}
    deciding = by_rule["change"] if by_rule["change"].outcome == "passed" else by_rule["floor"]
    return deciding.sentence


def _points(comparison: Comparison, limits: GateLimits) -> Check:
    """Few points warn; none at all, or a point without a finite forecast, fails."""
    count, limit = comparison.points, limits.minimum_points
    outcome, sentence = "passed", f"{count} scored points."
    if comparison.unscored or not count or comparison.mae is None:
        outcome, sentence = (
            "failed",
            f"{comparison.unscored} of {count + comparison.unscored} points got no finite forecast.",
        )
    elif count < limit:
        outcome = "warned"
        sentence = f"{count} scored points, fewer than {limit}: no significance is claimed."
    return Check(rule="points", outcome=outcome, sentence=sentence, value=float(count), limit=float(limit))


def _value(comparison: Comparison, limits: GateLimits) -> Check:
    """The absolute bound of the policy, where it states one."""
    if limits.mae_at_most is None:
        return Check(rule="value", outcome="skipped", sentence="No absolute bound is set.", value=comparison.mae)
    within = comparison.mae is not None and comparison.mae <= limits.mae_at_most
    return Check(
        rule="value",
        outcome="passed" if within else "failed",
        sentence=f"MAE {_number(comparison.mae)}, at most {_number(limits.mae_at_most)} is allowed.",
        value=comparison.mae,
        limit=limits.mae_at_most,
    )


def _floor(comparison: Comparison, limits: GateLimits) -> Check:
    """No worse than seasonal naive; where naive makes no error, only naive itself stands on the floor."""
    mae, naive = comparison.mae, comparison.naive_mae
    if comparison.naive_candidate and mae is not None:
        sentence = f"MAE {_number(mae)}: seasonal naive itself, nothing beat it."
        return Check(rule="floor", outcome="passed", sentence=sentence, value=1.0, reference=naive, limit=limits.floor)
    if mae is None or naive is None:
        return Check(rule="floor", outcome="failed", sentence="The floor has no points in common.", limit=limits.floor)
    if naive == 0:
        sentence = f"MAE {_number(mae)} against 0 of seasonal naive, which cannot be beaten."
        return Check(rule="floor", outcome="failed", sentence=sentence, value=mae, reference=0.0, limit=limits.floor)
    ratio = mae / naive
    sentence = (
        f"MAE {_number(mae)} against {_number(naive)} of seasonal naive, "
        f"{_number(ratio)} times, limit {_number(limits.floor)}."
    )
    outcome = "passed" if ratio <= limits.floor + ROUNDING else "failed"
    return Check(rule="floor", outcome=outcome, sentence=sentence, value=ratio, reference=naive, limit=limits.floor)


def _change(comparison: Comparison, limits: GateLimits) -> Check:
    """Not much worse than the incumbent; better than it where the candidate is only the floor."""
    if comparison.incumbent == "unscored":
        sentence = "The champion could not be scored on these windows: a person has to decide."
        return Check(rule="change", outcome="held", sentence=sentence, value=comparison.mae)
    skipped = _no_change_check(comparison)
    if skipped:
        return Check(rule="change", outcome="skipped", sentence=skipped, value=comparison.mae)
    mae, reference = comparison.mae_beside_incumbent, comparison.incumbent_mae
    limit = 0.0 if comparison.naive_candidate else limits.mae_threshold_percent
    whom = "the champion's twin" if comparison.incumbent == "twin" else "the champion"
    outcome, sentence = _against(mae, reference, limit, whom=whom, strict=comparison.naive_candidate)
    return Check(rule="change", outcome=outcome, sentence=sentence, value=mae, reference=reference, limit=limit)


def _no_change_check(comparison: Comparison) -> str:
    if comparison.incumbent == "none":
        return "There is no champion yet: the change check does not apply."
    if comparison.incumbent == "same_recipe":
        return "The recipe is the champion's, so on the same data both are one: the change check does not apply."
    return ""


def _against(
    mae: float | None, reference: float | None, limit: float, *, whom: str, strict: bool = False
) -> tuple[str, str]:
    """Return outcome and sentence of a relative change; a reference of zero can only be beaten, never matched."""
    if mae is None or reference is None:
        return "failed", "The incumbent has no points in common."
    if reference == 0:
        return "failed", f"MAE {_number(mae)} against 0 of {whom}, which cannot be beaten."
    change = 100.0 * (mae - reference) / reference
    better = mae < reference if strict else change <= limit + ROUNDING
    must = "seasonal naive replaces a champion only where it is better" if strict else f"limit {_number(limit)} %"
    return (
        "passed" if better else "failed",
        f"MAE {_number(mae)} against {_number(reference)} of {whom}, {change:+.1f} %, {must}.",
    )


def _ratchet(comparison: Comparison, limits: GateLimits) -> Check:
    """Not much worse than the best so far, so that many small steps down do not add up."""
    mae, reference, limit = comparison.mae_beside_anchor, comparison.anchor_mae, limits.ratchet_percent
    if reference is None:
        return Check(rule="ratchet", outcome="skipped", sentence="No anchor was scored.", value=mae, limit=limit)
    outcome, sentence = _against(mae, reference, limit, whom="the anchor")
    return Check(rule="ratchet", outcome=outcome, sentence=sentence, value=mae, reference=reference, limit=limit)


def _stability(comparison: Comparison, limits: GateLimits) -> Check:
    """A refreshed champion that suddenly forecasts something else waits for a person."""
    value, limit = comparison.stability_percent, limits.stability_percent
    if value is None:
        return Check(rule="stability", outcome="skipped", sentence="No two forecasts of the same dates.", limit=limit)
    told = f"Forecasts of the same dates differ from the champion's by {value:.1f} %"
    if comparison.incumbent != "same_recipe":
        # A better recipe is meant to forecast differently, so the change check decides there.
        sentence = f"{told}; reported only, the recipe or its data changed."
        return Check(rule="stability", outcome="skipped", sentence=sentence, value=value, limit=limit)
    outcome = "passed" if value <= limit else "held"
    return Check(
        rule="stability", outcome=outcome, sentence=f"{told}, limit {_number(limit)} %.", value=value, limit=limit
    )


def _realised(comparison: Comparison, limits: GateLimits) -> Check:
    """Against what the champion really did since it was fitted. Held, not failed: it had newer data to learn from."""
    if comparison.incumbent != "same_recipe" or not comparison.realised_points:
        sentence = "Too few actuals since the champion was fitted."
        if comparison.incumbent != "same_recipe":
            sentence = "The change check decides; the champion's realised error is not needed."
        return Check(rule="realised", outcome="skipped", sentence=sentence)
    mae, reference = comparison.realised_mae, comparison.realised_champion_mae
    limit = limits.mae_threshold_percent
    outcome, sentence = _against(mae, reference, limit, whom="the champion as it serves")
    return Check(
        rule="realised",
        outcome="held" if outcome == "failed" else outcome,
        sentence=f"On {comparison.realised_points} points since the champion was fitted: {sentence}",
        value=mae,
        reference=reference,
        limit=limit,
    )


def _bias(comparison: Comparison, limits: GateLimits) -> Check:
    """How far the forecasts lean to one side, over the mean absolute actual."""
    size, limit = comparison.mean_absolute_actual, limits.bias_ratio
    if comparison.bias is None or not size:
        return Check(rule="bias", outcome="skipped", sentence="All actuals are zero: bias has no scale.", limit=limit)
    ratio = comparison.bias / size
    told = f"Bias {comparison.bias:+.4g}, {100 * ratio:+.1f} % of the mean actual"
    if limit is None:
        return Check(rule="bias", outcome="passed", sentence=f"{told}; reported only.", value=ratio)
    outcome = "passed" if abs(ratio) <= limit else "failed"
    return Check(rule="bias", outcome=outcome, sentence=f"{told}, limit {100 * limit:.4g} %.", value=ratio, limit=limit)


CHECKS: tuple[Callable[[Comparison, GateLimits], Check], ...] = (
    _points,
    _value,
    _floor,
    _change,
    _ratchet,
    _stability,
    _realised,
    _bias,
)


def check_artifact(*, predicted: list[float], again: list[float], expected: int) -> Check:
    """Check what the stored bytes predict after being read again: as many values as asked, finite, unchanged."""
    finite = sum(abs(value) < float("inf") for value in predicted)
    sentence, outcome = f"The stored bytes predict {expected} finite values, as before storing.", "passed"
    if len(predicted) != expected:
        sentence, outcome = f"The stored bytes predict {len(predicted)} values, {expected} were asked for.", "failed"
    elif finite != expected:
        sentence, outcome = f"The stored bytes predict {expected - finite} values that are not finite.", "failed"
    elif any(abs(a - b) > 1e-9 * max(1.0, abs(b)) for a, b in zip(predicted, again, strict=True)):
        sentence, outcome = "The stored bytes predict other values than the forecaster that was stored.", "failed"
    return Check(rule="artifact", outcome=outcome, sentence=sentence, value=float(finite), limit=float(expected))


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
