"""What no trainer here has fitted waits until one has read it, through whichever door it came."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from registry import lifecycle
from registry.lifecycle import admission
from registry.models import ModelVersion
from tests import factories
from tests.architecture import source
from tests.factories import NOW

INTAKE = "registry.exchange.intake"
# They put rows into databases of their own.
MEASURING = "benchmarks."


def calls(name: str) -> Iterator[tuple[str, dict[str | None, str]]]:
    """Yield the module of each call of that name, and what it says by keyword."""
    for path in source.modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-len(name.split(".")) :] == name.split(
                "."
            ):
                yield source.dotted(path), {each.arg: ast.unparse(each.value) for each in node.keywords}


def test_only_the_intake_makes_versions_pending_and_only_what_is_fitted_here_says_so() -> None:
    assert {module for module, said in calls("Registration") if "pending" in said} == {INTAKE}
    causes = {module: said["cause"] for module, said in calls("lifecycle.register") if not module.startswith(MEASURING)}
    assert causes.pop(INTAKE) == "cause", "passed on from its doors"
    assert {ast.literal_eval(cause) for cause in causes.values()} <= set(admission.FITTED_HERE), causes


def test_no_door_gives_a_cause_of_what_is_fitted_here() -> None:
    doors = [
        said["cause"] for name in ("intake.register", "intake.receive") for _, said in calls(name) if "cause" in said
    ]
    assert doors, "imports say theirs"
    assert set(doors) <= {"intake.IMPORT", "intake.REGISTRATION", "cause"}
    assert not {admission.IMPORT, admission.REGISTRATION} & set(admission.FITTED_HERE)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("cause", "state"), [("retrain", "ready"), ("registration", "pending"), ("a new door", "pending")]
)
def test_a_release_makes_ready_what_was_fitted_here_and_nothing_else(cause: str, state: str) -> None:
    model = factories.registered_model()
    [stored] = lifecycle.store_artifacts([b"content"], format="test-1")
    item = lifecycle.Registration(registered_model_id=model.pk, stored=stored, trainer="seasonal_naive")
    [version] = lifecycle.register([item], actor="ada", cause=cause, at=NOW)
    lifecycle.quarantine([version.pk], actor="ada", reason="Look.", at=NOW)
    assert lifecycle.release([version.pk], actor="ada", reason="Sound.", at=NOW).changed == {version.pk}
    assert ModelVersion.objects.get(pk=version.pk).state == state
