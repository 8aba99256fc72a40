"""Rows for tests: keyword-only functions with sensible values; what a test is about it says itself."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import Group, User

from registry import identifiers, lifecycle
from registry.models import ApiToken, Fleet, ModelVersion, RegisteredModel, TenantMembership
from registry.reports import Check, GateReport, Scorecard, Verdict
from training import policy_terms
from training.models import Batch, Columns, FileOptions, RetrainingPolicy, Source, TrainingRun

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_numbers = itertools.count(1)


def fleet(**values: Any) -> Fleet:
    """A daily forecast fleet of the tenant `acme`."""
    defaults = {"tenant": "acme", "name": f"fleet-{next(_numbers)}", "kind": "forecast", "frequency": "D", "horizon": 7}
    return Fleet.objects.create(**{**defaults, "season_length": 7, **values})


def registered_model(*, fleet: Fleet | None = None, **values: Any) -> RegisteredModel:
    """A model without versions."""
    values.setdefault("entity_key", f"entity-{next(_numbers)}")
    return RegisteredModel.objects.create(fleet=fleet or globals()["fleet"](), **values)


def registration(
    *, registered_model: RegisteredModel, content: bytes | None = None, **values: Any
) -> lifecycle.Registration:
    """A registration whose bytes are stored."""
    version_id = values.pop("version_id", None) or identifiers.uuid7()
    [stored] = lifecycle.store_artifacts([content or f"artifact {version_id}".encode()], format="test-1")
    defaults = {"trainer": "seasonal_naive", "scorecard": Scorecard(metrics={"mae": 1.0}, points=28, windows=4)}
    return lifecycle.Registration(
        version_id=version_id, registered_model_id=registered_model.pk, stored=stored, **{**defaults, **values}
    )


def version(*, registered_model: RegisteredModel, at: datetime = NOW, **values: Any) -> ModelVersion:
    """A version that is registered and nowhere placed."""
    item = registration(registered_model=registered_model, **values)
    return lifecycle.register([item], actor="test", cause="manual", at=at)[0]


def champion(*, registered_model: RegisteredModel, at: datetime = NOW, **values: Any) -> ModelVersion:
    """A new version, promoted over whatever serves."""
    made = version(registered_model=registered_model, at=at, **values)
    registered_model.refresh_from_db()
    move = lifecycle.Move(
        registered_model_id=registered_model.pk, version_id=made.pk, expected_id=registered_model.champion_id
    )
    assert lifecycle.promote([move], actor="test", cause="gate", at=at).placed == {made.pk}
    registered_model.refresh_from_db()
    return made


def gate_report(**values: Any) -> GateReport:
    """A report that passed one check."""
    check = Check(rule="floor", outcome="passed", sentence="MAE 0.9 of seasonal naive.", value=0.9, limit=1.0)
    return GateReport(**{"verdict": Verdict.PASSED, "reason": "All checks passed.", "checks": (check,), **values})


def user(*, role: str | None = None, tenants: tuple[str, ...] = ("acme",), **values: Any) -> User:
    """A user with one role (needs the fixture `roles`) in some tenants."""
    made = User.objects.create_user(values.pop("username", f"user-{next(_numbers)}"), **values)
    if role is not None:
        made.groups.add(Group.objects.get(name=role))
    TenantMembership.objects.bulk_create([TenantMembership(user=made, tenant=tenant) for tenant in tenants])
    return made


def token(*, user: User, scope: str = "viewer", tenants: tuple[str, ...] = ()) -> tuple[ApiToken, str]:
    """A token of the user, and its secret text."""
    made, secret = ApiToken.objects.create(user=user, label="test", scope=scope, tenants=list(tenants))
    return made, secret


def source(*, path: str = "series.csv", **values: Any) -> Source:
    """A CSV file with the columns `day`, `sold`, `product`."""
    defaults = {"tenant": "acme", "name": f"source-{next(_numbers)}", "options": FileOptions(path=path)}
    columns = Columns(time="day", target="sold", entity="product")
    return Source.objects.create(**{**defaults, "columns": columns, **values})


def policy(*, fleet: Fleet, **values: Any) -> RetrainingPolicy:
    """A policy of the fleet that tries seasonal naive."""
    chosen = values.pop("source", None) or source(tenant=fleet.tenant)
    trainers = (policy_terms.TrainerChoice(name="seasonal_naive"),)
    defaults = {"name": f"policy-{next(_numbers)}", "trainers": trainers}
    return RetrainingPolicy.objects.create(fleet=fleet, source=chosen, **{**defaults, **values})


def batch(*, fleet: Fleet, **values: Any) -> Batch:
    """A batch asked for by hand."""
    defaults = {"reason": policy_terms.Reason(trigger="manual"), "requested_at": NOW}
    return Batch.objects.create(fleet=fleet, **{**defaults, **values})


def run(*, registered_model: RegisteredModel, **values: Any) -> TrainingRun:
    """A queued run in a batch of its own."""
    made = values.pop("batch", None) or batch(fleet=registered_model.fleet)
    return TrainingRun.objects.create(registered_model=registered_model, batch=made, **{"requested_at": NOW, **values})
