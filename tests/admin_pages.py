"""The admin in tests: clients with a role, and one row in every table, with any text in every text column."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from registry import ticks
from registry.models import Hold, Tick
from registry.reports import Check, GateReport, Scorecard, Verdict
from tests import factories
from tests.factories import NOW
from training.models import Chunk, Forecast, RunLog, Snapshot, Worker
from training.policy_terms import Reason, RunDetails


def client(*, role: str | None = None, tenants: tuple[str, ...] = ("acme",)) -> Client:
    """Return a client of a staff user with a role, or of a superuser."""
    if role is None:
        user = User.objects.create_superuser(f"root-{User.objects.count()}")
    else:
        user = factories.user(role=role, tenants=tenants, is_staff=True)
    http = Client()
    http.force_login(user)
    return http


def page(row: Model) -> str:
    """Return the address of a row's page."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def listing(kind: type[Model]) -> str:
    """Return the address of a table's list."""
    return reverse(f"admin:{kind._meta.app_label}_{kind._meta.model_name}_changelist")


def action(row: Model, name: str) -> str:
    """Return the address of the confirmation of an action on one row."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_act", args=[row.pk, name])


def text(answer: Any) -> str:
    """Return what a page says, without tags and with single spaces."""
    plain = re.sub(r"<(script|style)\b.*?</\1>", " ", answer.content.decode(), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", plain))


def one_of_each(*, words: str = "plain words", tenant: str = "acme") -> dict[str, Any]:
    """Make one row in every table; every column of free text, also inside JSON, holds `words`."""
    fleet = factories.fleet(tenant=tenant, unit=words[:32], tags=[words[:64]])
    model = factories.registered_model(fleet=fleet, tags=[words[:64]])
    check = Check(rule=words, outcome="passed", sentence=words, value=1.0, reference=2.0, limit=3.0)
    report = GateReport(verdict=Verdict.HELD, reason=words, checks=(check,), incumbent=words)
    card = Scorecard(
        metrics={"mae": 1.0, "mape": None}, reasons={"mape": words}, baseline={"mae": 2.0}, points=28, windows=4
    )
    version = factories.champion(
        registered_model=model,
        trainer=words[:64],
        scorecard=card,
        params={"key": words, words: 1},
        note=words,
        extra={words: words},
        library_versions={words: words},
        features=(words,),
    )
    policy = factories.policy(fleet=fleet)
    reason = Reason(trigger=words, sentence=words, actor=words)
    batch = factories.batch(fleet=fleet, policy=policy, reason=reason, code=words[:64], sentence=words, next_step=words)
    chunk = Chunk.objects.create(batch=batch, worker=words)
    details = RunDetails(
        trainer=words, features=(words,), params={words: words}, warnings=(words,), metrics={words: 1.0}
    )
    run = factories.run(
        registered_model=model,
        batch=batch,
        policy=policy,
        chunk=chunk,
        state="succeeded",
        verdict="held",
        report=report,
        version=version,
        reasons=(reason,),
        phase=words[:32],
        sentence=words,
        next_step=words,
        code=words[:64],
        details=details,
        started_at=NOW,
        finished_at=NOW,
    )
    forecast = Forecast.objects.create(
        version=version, cutoff=NOW, published_at=NOW, time=[NOW], yhat=[1.0], lower=[0.5], upper=[1.5]
    )
    ticks.record(words[:64], at=NOW)
    user = factories.user(username=f"u-{tenant}-{words}"[:100], tenants=(tenant,))
    return {
        "fleet": fleet,
        "model": model,
        "version": version,
        "policy": policy,
        "source": policy.source,
        "batch": batch,
        "chunk": chunk,
        "run": run,
        "forecast": forecast,
        "tick": Tick.objects.get(),
        "event": model.events.latest("id"),
        "user": user,
        "log": RunLog.objects.create(run=run, at=NOW, level="info", message=words),
        "hold": Hold.objects.create(version=version, placed_by="user", reason=words[:500]),
        "snapshot": Snapshot.objects.create(
            source=policy.source, digest="ab" * 32, rows=1, entities=1, location="snapshots/1/ab"
        ),
        "worker": Worker.objects.create(
            name=words, host=words, pid=1, queues=[words[:32]], started_at=NOW, seen_at=NOW
        ),
        "token": factories.token(user=user)[0],
        "membership": user.tenant_memberships.get(),
    }
