"""The gate makes every check in order and says rule, values and limit of each."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from registry.reports import Check, Verdict
from training import gate
from training.gate import Comparison, GateLimits

RULES = ["points", "value", "floor", "change", "ratchet", "stability", "realised", "bias"]


def a_comparison(**given: Any) -> Comparison:
    """A first candidate that beats the floor."""
    first = {"points": 42, "mae": 8.0, "bias": 0.5, "mean_absolute_actual": 20.0, "naive_mae": 10.0}
    return Comparison(**{**first, **given})


def against(mae: float, incumbent: float, **given: Any) -> Comparison:
    """A candidate beside an incumbent whose stored forecaster was scored."""
    both = {"mae": mae, "incumbent": "stored", "incumbent_mae": incumbent, "mae_beside_incumbent": mae}
    return a_comparison(**{**both, **given})


def refreshed(**given: Any) -> Comparison:
    """A candidate of the champion's own recipe."""
    return a_comparison(**{"incumbent": "same_recipe", "stability_percent": 12.0, **given})


def check(comparison: Comparison, rule: str, limits: GateLimits | None = None) -> Check:
    """One check of the report."""
    report = gate.decide(comparison, limits or GateLimits())
    return next(found for found in report.checks if found.rule == rule)


CASES: list[tuple[str, Comparison, GateLimits, Verdict, str]] = [
    ("first", a_comparison(), GateLimits(), Verdict.PASSED, "MAE 8 against 10 of seasonal naive, 0.8 times, limit 1."),
    ("first at the floor", a_comparison(mae=10.0), GateLimits(), Verdict.PASSED, "1 times"),
    ("first under the floor", a_comparison(mae=10.1), GateLimits(), Verdict.FAILED, "1.01 times, limit 1."),
    ("looser floor", a_comparison(mae=10.1), GateLimits(floor=1.1), Verdict.PASSED, "1.01 times"),
    (
        "the sentence people read",
        against(0.231, 0.203, naive_mae=0.4),
        GateLimits(),
        Verdict.FAILED,
        "MAE 0.231 against 0.203 of the champion, +13.8 %, limit 10 %.",
    ),
    (
        "better",
        against(7.0, 8.0),
        GateLimits(),
        Verdict.PASSED,
        "MAE 7 against 8 of the champion, -12.5 %, limit 10 %.",
    ),
    ("worse by the limit", against(8.8, 8.0), GateLimits(), Verdict.PASSED, "+10.0 %"),
    ("worse by more", against(8.81, 8.0), GateLimits(), Verdict.FAILED, "+10.1 %"),
    ("tight policy", against(8.1, 8.0), GateLimits(mae_threshold_percent=1.0), Verdict.FAILED, "limit 1 %"),
    ("incumbent of zero is never matched", against(0.0, 0.0), GateLimits(), Verdict.FAILED, "cannot be beaten"),
    ("incumbent of zero", against(1.0, 0.0), GateLimits(), Verdict.FAILED, "cannot be beaten"),
    ("naive of zero", a_comparison(naive_mae=0.0), GateLimits(), Verdict.FAILED, "against 0 of seasonal naive"),
    (
        "naive of zero, naive itself",
        a_comparison(mae=0.0, naive_mae=0.0, naive_candidate=True),
        GateLimits(),
        Verdict.PASSED,
        "seasonal naive itself, nothing beat it",
    ),
    ("naive as the first", a_comparison(mae=10.0, naive_candidate=True), GateLimits(), Verdict.PASSED, "itself"),
    (
        "naive within tolerance of a champion",
        against(8.4, 8.0, naive_mae=8.4, naive_candidate=True),
        GateLimits(),
        Verdict.FAILED,
        "+5.0 %, seasonal naive replaces a champion only where it is better",
    ),
    (
        "naive as good as a champion",
        against(8.0, 8.0, naive_mae=8.0, naive_candidate=True),
        GateLimits(),
        Verdict.FAILED,
        "only where it is better",
    ),
    (
        "naive better than a champion",
        against(7.0, 8.0, naive_mae=7.0, naive_candidate=True),
        GateLimits(),
        Verdict.PASSED,
        "-12.5 %, seasonal naive replaces",
    ),
    ("absolute bound kept", a_comparison(), GateLimits(mae_at_most=8.0), Verdict.PASSED, "0.8 times"),
    ("absolute bound broken", a_comparison(), GateLimits(mae_at_most=0.5), Verdict.FAILED, "at most 0.5 is allowed"),
    ("few points warn", a_comparison(points=7), GateLimits(), Verdict.PASSED, "0.8 times"),
    ("no points", a_comparison(points=0, mae=None), GateLimits(), Verdict.FAILED, "no finite forecast"),
    ("a point without forecast", a_comparison(unscored=1), GateLimits(), Verdict.FAILED, "1 of 43 points"),
    ("refreshed", refreshed(), GateLimits(), Verdict.PASSED, "0.8 times"),
    ("refreshed but jumpy", refreshed(stability_percent=30.1), GateLimits(), Verdict.HELD, "30.1 %, limit 30 %"),
    ("refreshed at the limit", refreshed(stability_percent=30.0), GateLimits(), Verdict.PASSED, "0.8 times"),
    (
        "refreshed but worse than what the champion really did",
        refreshed(realised_points=14, realised_champion_mae=5.0, realised_mae=6.0),
        GateLimits(),
        Verdict.HELD,
        "MAE 6 against 5 of the champion as it serves, +20.0 %, limit 10 %.",
    ),
    (
        "refreshed and as good as the champion was",
        refreshed(realised_points=14, realised_champion_mae=5.0, realised_mae=5.2),
        GateLimits(),
        Verdict.PASSED,
        "0.8 times",
    ),
    ("a new recipe may differ", against(7.0, 8.0, stability_percent=80.0), GateLimits(), Verdict.PASSED, "-12.5 %"),
    (
        "a small step down that is one too many",
        against(8.4, 8.0, anchor_mae=7.5, mae_beside_anchor=8.4),
        GateLimits(),
        Verdict.FAILED,
        "MAE 8.4 against 7.5 of the anchor, +12.0 %, limit 10 %.",
    ),
    ("anchor kept", against(8.2, 8.0, anchor_mae=7.5, mae_beside_anchor=8.2), GateLimits(), Verdict.PASSED, "+2.5 %"),
    ("bias is reported", a_comparison(bias=-19.0), GateLimits(), Verdict.PASSED, "0.8 times"),
    ("bias is gated", a_comparison(bias=-6.0), GateLimits(bias_ratio=0.2), Verdict.FAILED, "-30.0 % of the mean"),
    (
        "bias of a dead series",
        a_comparison(mean_absolute_actual=0.0),
        GateLimits(bias_ratio=0.2),
        Verdict.PASSED,
        "0.8",
    ),
    (
        "failed outranks held",
        refreshed(stability_percent=90.0, mae=11.0),
        GateLimits(),
        Verdict.FAILED,
        "1.1 times, limit 1.",
    ),
]


@pytest.mark.requirement("E01")
@pytest.mark.requirement("E02")
@pytest.mark.requirement("E09")
@pytest.mark.parametrize(("what", "comparison", "limits", "verdict", "reason"), CASES, ids=[case[0] for case in CASES])
def test_the_verdict_and_the_sentence_that_decided(
    what: str, comparison: Comparison, limits: GateLimits, verdict: Verdict, reason: str
) -> None:
    report = gate.decide(comparison, limits)
    assert report.verdict is verdict
    assert reason in report.reason
    assert [found.rule for found in report.checks] == RULES
    assert report.reason in [found.sentence for found in report.checks]


def test_a_first_version_says_that_the_change_check_does_not_apply() -> None:
    found = check(a_comparison(), "change")
    assert (found.outcome, "no champion yet" in found.sentence) == ("skipped", True)


def test_the_same_recipe_says_that_the_change_check_does_not_apply() -> None:
    found = check(refreshed(), "change")
    assert (found.outcome, "The recipe is the champion's" in found.sentence) == ("skipped", True)


def test_a_change_check_carries_both_values_and_the_limit() -> None:
    found = check(against(0.231, 0.203, naive_mae=0.4), "change")
    assert (found.value, found.reference, found.limit) == (0.231, 0.203, 10.0)


@pytest.mark.requirement("E08")
def test_few_points_warn_that_no_significance_is_claimed() -> None:
    found = check(a_comparison(points=29), "points")
    assert found.outcome == "warned"
    assert found.sentence == "29 scored points, fewer than 30: no significance is claimed."


def test_the_report_names_what_it_was_made_of() -> None:
    report = gate.decide(against(7.0, 8.0), GateLimits(), incumbent_version="v1", snapshot="abc", anchor_version="v0")
    assert (report.incumbent, report.incumbent_version, report.anchor_version, report.snapshot) == (
        "stored",
        "v1",
        "v0",
        "abc",
    )


@pytest.mark.parametrize(
    ("predicted", "again", "outcome", "told"),
    [
        ([1.0, 2.0], [1.0, 2.0], "passed", "2 finite values"),
        ([1.0], [1.0, 2.0], "failed", "1 values, 2 were asked"),
        ([1.0, float("nan")], [1.0, 2.0], "failed", "1 values that are not finite"),
        ([1.0, float("inf")], [1.0, 2.0], "failed", "1 values that are not finite"),
        ([1.0, 2.1], [1.0, 2.0], "failed", "other values"),
    ],
)
def test_the_stored_bytes_must_predict_what_was_scored(
    predicted: list[float], again: list[float], outcome: str, told: str
) -> None:
    found = gate.check_artifact(predicted=predicted, again=again, expected=2)
    assert (found.outcome, told in found.sentence) == (outcome, True)


def test_the_gate_loads_no_numpy() -> None:
    code = "import training.gate, training.trainers.table, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
