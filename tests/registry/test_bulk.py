"""Many versions or models at once: each gets its result, a preview changes nothing, and the foreign looks unknown."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from registry import artifacts, bulk, enrolment, errors, identifiers, lifecycle
from registry.bulk import tagging, targets
from registry.bulk.tagging import Order
from registry.bulk.targets import Wanted
from registry.models import Event, Fleet, ModelVersion, RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.rest_client import caller, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]
LATER = NOW + timedelta(days=1)


@pytest.fixture
def fleet() -> Fleet:
    return factories.fleet(name="bakery")


@pytest.fixture
def models(fleet: Fleet) -> list[RegisteredModel]:
    """Three models with an earlier and a present champion, and a version that nothing leads to."""
    made = [factories.registered_model(fleet=fleet, entity_key=f"e{n}", tags=[f"t{n}"]) for n in range(3)]
    for each in made:
        factories.champion(registered_model=each, at=NOW)
        factories.champion(registered_model=each, at=LATER)
        factories.version(registered_model=each, at=LATER)
    return made


def version(model: RegisteredModel, number: int) -> ModelVersion:
    return ModelVersion.objects.get(registered_model=model, number=number)


def act(action: str, *versions: ModelVersion, **values: Any) -> bulk.Done:
    ids = [each.pk for each in versions]
    return bulk.carry_out(action, ids, **{"actor": "ada", "reason": "Tidy.", "at": LATER, **values})


def codes(done: bulk.Done) -> dict[Any, str]:
    return {key: error.code for key, error in done.refused.items()}


@pytest.mark.requirement("R13", "R26")
def test_many_are_promoted_in_a_few_statements(
    models: list[RegisteredModel], django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(14):
        done = act("promote", *[version(each, 3) for each in models])
    assert len(done.changed) == 3
    for each in models:
        each.refresh_from_db()
        assert each.champion == version(each, 3)
        event = Event.objects.filter(registered_model=each).latest("count")
        assert (event.kind, event.cause, event.reason) == ("registry.champion.promoted", "manual", "Tidy.")
        assert event.from_version == version(each, 2)


@pytest.mark.requirement("R13")
def test_what_cannot_be_promoted_is_left_with_its_reason(models: list[RegisteredModel], artifact_folder: Path) -> None:
    first, second, third = models
    damaged = version(third, 3)
    for path in artifact_folder.rglob(damaged.artifact_digest):
        path.write_bytes(b"x" * damaged.artifact_size)
    lifecycle.archive([version(second, 3).pk], actor="ada", reason="Old.", at=LATER)
    done = act("promote", version(first, 3), version(first, 1), version(first, 2), version(second, 3), damaged)
    assert done.changed == {version(first, 3).pk}
    assert codes(done) == {
        version(first, 1).pk: "conflict",
        version(first, 2).pk: "conflict",
        version(second, 3).pk: "version_not_ready",
        damaged.pk: "artifact_corrupted",
    }
    assert done.refused[version(second, 3).pk].next_step == "Restore it first. Ready are the versions 1."


@pytest.mark.parametrize("rehearsed", [True, False])
def test_what_is_champion_already_is_as_it_was_asked_to_be(models: list[RegisteredModel], rehearsed: bool) -> None:
    serving, other, spare = version(models[0], 2), version(models[0], 3), version(models[1], 3)
    done = act("promote", serving, other, spare, rehearsed=rehearsed)
    assert done.changed == {spare.pk}
    assert done.unchanged == {serving.pk}
    assert codes(done) == {other.pk: "conflict"}, "one version of each model"
    models[0].refresh_from_db()
    assert models[0].champion == serving


def test_an_overtaken_promotion_is_refused(models: list[RegisteredModel], monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the champion and the move somebody else promotes."""
    check_each = artifacts.check_each
    moved: list[bool] = []

    def slow(found: Sequence[ModelVersion]) -> Iterator[errors.PerennialError | None]:
        if not moved:
            moved.append(True)
            lifecycle.promote_by_hand(
                registered_model=models[0], version=version(models[0], 1), actor="eve", reason="First.", at=LATER
            )
        return check_each(found)

    monkeypatch.setattr(artifacts, "check_each", slow)
    done = act("promote", version(models[0], 3), version(models[1], 3))
    assert done.changed == {version(models[1], 3).pk}
    assert codes(done) == {version(models[0], 3).pk: "champion_moved"}
    models[0].refresh_from_db()
    assert models[0].champion == version(models[0], 1)


ACTIONS = [
    ("promote", "ready", "version_not_ready"),
    ("archive", "ready", "version_state_forbids"),
    ("restore", "archived", "version_state_forbids"),
    ("quarantine", "ready", "version_state_forbids"),
    ("release", "quarantined", "version_state_forbids"),
    ("forget", "archived", "version_state_forbids"),
]


@pytest.mark.parametrize(("action", "state", "code"), ACTIONS)
def test_a_rehearsal_says_what_the_deed_does_and_changes_nothing(
    models: list[RegisteredModel], action: str, state: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted, other = version(models[0], 3), version(models[1], 3)
    ModelVersion.objects.filter(pk=wanted.pk).update(state=state)
    ModelVersion.objects.filter(pk=other.pk).update(state="deleted")
    before = (list(ModelVersion.objects.values_list("pk", "state")), Event.objects.count())
    with caplog.at_level(logging.WARNING):
        rehearsed = act(action, wanted, other, rehearsed=True)
    assert caplog.records == []
    assert (list(ModelVersion.objects.values_list("pk", "state")), Event.objects.count()) == before
    done = act(action, wanted, other)
    assert rehearsed.changed == done.changed == {wanted.pk}
    assert codes(rehearsed) == codes(done) == {other.pk: code}


def test_a_deed_needs_a_reason(models: list[RegisteredModel]) -> None:
    for action, _, _ in ACTIONS:
        with pytest.raises(lifecycle.ReasonMissing):
            act(action, version(models[0], 3), reason=" ")


def test_one_call_takes_so_many(models: list[RegisteredModel], settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "bulk_items": 1}
    with pytest.raises(bulk.TooMany):
        act("archive", version(models[0], 3), version(models[1], 3))
    assert act("archive", version(models[0], 3), version(models[0], 3)).changed
    with pytest.raises(bulk.TooMany):
        bulk.roll_back(models, actor="ada", reason="Bad.", at=LATER)


# -- tags


def test_tags_are_added_and_removed_with_an_event_for_each_that_changed(models: list[RegisteredModel]) -> None:
    first, second = version(models[0], 3), version(models[1], 3)
    ModelVersion.objects.filter(pk=second.pk).update(tags=["season", "pilot"])
    order = Order(add=("pilot", "season"), remove=("old",))
    done = act("tag", first, second, tags=order)
    assert set(done.changed) == {first.pk}
    assert set(done.unchanged) == {second.pk}
    assert (version(models[0], 3).tags, version(models[1], 3).tags) == (["pilot", "season"], ["season", "pilot"])
    [event] = Event.objects.filter(kind="registry.version.tagged")
    assert (event.to_version, event.reason) == (first, "Added pilot, season. Removed old. Tidy.")
    assert act("tag", first, tags=Order(remove=("pilot",))).changed == {first.pk}
    assert version(models[0], 3).tags == ["season"]


def test_a_rehearsed_tag_leaves_nothing(models: list[RegisteredModel]) -> None:
    count = Event.objects.count()
    done = act("tag", version(models[0], 3), tags=Order(add=("x",)), rehearsed=True)
    assert len(done.changed) == 1
    assert (version(models[0], 3).tags, Event.objects.count()) == ([], count)


def test_a_row_has_only_so_many_tags(models: list[RegisteredModel]) -> None:
    wanted = version(models[0], 3)
    assert act("tag", wanted, tags=Order(add=tuple(f"t{n}" for n in range(20)))).changed
    assert codes(act("tag", wanted, tags=Order(add=("one-more",)))) == {wanted.pk: "too_many_tags"}
    assert act("tag", wanted, tags=Order(add=("one-more",), remove=("t0",))).changed


@pytest.mark.parametrize("tag", ["", "a,b", "a b", "-x", "x" * 65, "ä", "a\0", "a\n"])
def test_what_cannot_be_a_tag_is_refused(tag: str) -> None:
    with pytest.raises(tagging.TagInvalid):
        Order(add=(tag,))
    with pytest.raises(tagging.NoTag):
        Order()


def test_models_are_tagged_too(models: list[RegisteredModel]) -> None:
    keys = [each.pk for each in models]
    done = tagging.tag_models(keys, Order(add=("t0",), remove=("t1",)), actor="ada", at=LATER, reason="Season.")
    assert set(done.changed) == set(keys[1:])
    assert set(done.unchanged) == {keys[0]}
    tags = list(RegisteredModel.objects.order_by("pk").values_list("tags", flat=True))
    assert tags == [["t0"], ["t0"], ["t0", "t2"]]
    assert Event.objects.filter(kind="registry.model.tagged").count() == 2


# -- which models are meant


@pytest.mark.requirement("R14")
def test_models_are_meant_by_what_is_said_of_them(fleet: Fleet, models: list[RegisteredModel]) -> None:
    late = LATER + timedelta(days=1)
    factories.champion(registered_model=models[2], at=late)
    lifecycle.promote_by_hand(
        registered_model=models[1], version=version(models[1], 3), actor="ada", reason="By hand.", at=LATER
    )

    def meant(**values: Any) -> list[str]:
        return [each.entity_key for each in targets.models(fleet, Wanted(**values))]

    assert meant(all=True) == ["e0", "e1", "e2"]
    assert meant(entities=("e2", "e0")) == ["e0", "e2"]
    assert meant(entity_prefix="e1") == ["e1"]
    with pytest.raises(enrolment.ModelUnknown, match="'none'"):
        meant(entities=("e2", "none"))
    with pytest.raises(targets.FilterContradicts):
        meant(entity_prefix="e1", all=True)
    assert meant(tags=("t0",)) == ["e0"]
    assert meant(promoted_since=late) == ["e2"]
    assert meant(cause="manual") == ["e1"]
    assert meant(cause="gate", promoted_since=LATER) == ["e0", "e2"]
    with pytest.raises(targets.CauseUnknown, match="'gat'"):
        meant(cause="gat")
    with pytest.raises(targets.NothingWanted):
        targets.models(fleet, Wanted())
    assert list(targets.models(factories.fleet(), Wanted(all=True))) == []


def test_models_are_walked_some_at_a_time(
    fleet: Fleet, models: list[RegisteredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "MODELS_AT_ONCE", 2)
    batches = list(targets.walk(targets.models(fleet, Wanted(all=True))))
    assert [[each.entity_key for each in batch] for batch in batches] == [["e0", "e1"], ["e2"]]


def test_models_are_walked_by_their_entities_and_none_is_left_out(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["b", "a:1", "B", "a.2", "10", "9", "a-1"]
    for key in keys:
        factories.registered_model(fleet=fleet, entity_key=key)
    monkeypatch.setattr(targets, "MODELS_AT_ONCE", 1)
    walked = [each.entity_key for batch in targets.walk(targets.models(fleet, Wanted(all=True))) for each in batch]
    assert walked == list(RegisteredModel.objects.order_by("entity_key").values_list("entity_key", flat=True))
    assert sorted(walked) == sorted(keys)


# -- rolling many back


@pytest.mark.requirement("R14")
def test_many_are_rolled_back_and_the_preview_says_so_before(models: list[RegisteredModel]) -> None:
    young = factories.registered_model(fleet=models[0].fleet, entity_key="young")
    factories.champion(registered_model=young)
    spare = factories.version(registered_model=young)
    asked = [*models, young]
    planned = bulk.roll_back(asked, actor="ada", reason="", at=LATER, rehearsed=True)
    assert [each.to.number if each.to else None for each in planned] == [1, 1, 1, None]
    assert planned[3].refusal is not None
    assert planned[3].refusal.next_step == f"Ready are the versions {spare.number}."
    assert not Event.objects.filter(kind="registry.champion.rolled_back").exists()
    done = bulk.roll_back(asked, actor="ada", reason="Doubled.", at=LATER)
    assert [each.to for each in done] == [each.to for each in planned]
    for each in models:
        each.refresh_from_db()
        assert each.champion == version(each, 1)


@pytest.mark.requirement("R14")
def test_a_roll_back_of_many_that_is_repeated_goes_no_further(models: list[RegisteredModel]) -> None:
    for number in (4, 5):
        for each in models:
            factories.champion(registered_model=each, at=LATER + timedelta(days=number))
    at = LATER + timedelta(days=9)
    first = bulk.roll_back(models[:2], actor="ada", reason="Doubled.", at=at)
    repeated = bulk.roll_back(models, actor="ada", reason="Doubled.", at=at)
    assert [each.refusal.code if each.refusal else None for each in repeated] == ["rolled_back_already"] * 2 + [None]
    shown = bulk.roll_back(models, actor="ada", reason="", at=at, rehearsed=True)
    assert {each.refusal.code if each.refusal else None for each in shown} == {"rolled_back_already"}
    further = bulk.roll_back(models[:1], actor="ada", reason="That one too.", at=at, again=True)
    assert first[0].to is not None and further[0].to is not None
    assert further[0].to.number < first[0].to.number
    factories.champion(registered_model=models[1], at=at)
    [step] = bulk.roll_back(models[1:2], actor="ada", reason="Worse.", at=at)
    assert step.refusal is None, "something was promoted since"


# -- over HTTP


def post(who: Any, **body: Any) -> Any:
    return who.post("versions/bulk", {"reason": "Tidy.", **body})


def test_many_are_archived_over_http_each_with_its_result(models: list[RegisteredModel]) -> None:
    approver = caller(role="approver")
    nowhere = str(identifiers.uuid7())
    foreign = factories.version(registered_model=factories.registered_model(fleet=factories.fleet(tenant="globex")))
    spare, champion = version(models[0], 3), version(models[0], 2)
    ids = [str(spare.pk), str(champion.pk), nowhere, str(foreign.pk)]
    planned = post(approver, action="archive", versions=ids, dry_run=True).json()
    assert spare.state == version(models[0], 3).state == "ready"
    body = post(approver, action="archive", versions=ids).json()
    assert (body["changed"], body["unchanged"], body["refused"], body["dry_run"]) == (1, 0, 3, False)
    assert [each.get("code", each["outcome"]) for each in body["results"]] == [
        "changed", "version_in_use", "version_unknown", "version_unknown",
    ]  # fmt: skip
    assert body["results"][2]["detail"].replace(nowhere, "") == body["results"][3]["detail"].replace(
        str(foreign.pk), ""
    )
    assert planned["results"] == body["results"]
    foreign.refresh_from_db()
    assert foreign.state == "ready"


def test_a_promotion_sent_again_says_that_nothing_is_left_to_do(models: list[RegisteredModel]) -> None:
    ids = [str(version(each, 3).pk) for each in models]
    first, again = (post(caller(role="approver"), action="promote", versions=ids).json() for _ in range(2))
    assert [(each["changed"], each["unchanged"], each["refused"]) for each in (first, again)] == [(3, 0, 0), (0, 3, 0)]
    assert {each["outcome"] for each in again["results"]} == {"unchanged"}


def test_results_come_by_entity_and_number_or_in_the_order_that_was_given(fleet: Fleet) -> None:
    approver = caller(role="approver")
    made = {key: factories.registered_model(fleet=fleet, entity_key=key) for key in ("c", "a", "b")}
    numbered = {f"{key}{n}": factories.champion(registered_model=made[key]) for n in (1, 2) for key in ("b", "c", "a")}
    names = {str(each.pk): name for name, each in numbered.items()}

    def ordered(**words: Any) -> list[str]:
        body = post(approver, action="archive", dry_run=True, **words).json()
        return [names[each["id"]] for each in body["results"]]

    assert ordered(filter={"fleet": "bakery", "all": True}) == ["a1", "a2", "b1", "b2", "c1", "c2"]
    assert ordered(filter={"fleet": "bakery", "entities": ["c", "a"]}) == ["c1", "c2", "a1", "a2"]
    given = ["b2", "c1", "a1", "b1"]
    assert ordered(versions=[str(numbered[name].pk) for name in given]) == given

    def models(path: str, **words: Any) -> list[str]:
        body = {"filter": words, "dry_run": True, **({"tags": {"add": ["x"]}} if path == "tags" else {})}
        return [each["entity"] for each in approver.post(f"fleets/bakery/{path}", body).json()["results"]]

    for path in ("rollback", "tags"):
        assert models(path, all=True) == ["a", "b", "c"]
        assert models(path, entities=["c", "a"]) == ["c", "a"]


def test_versions_are_meant_by_a_filter_too(models: list[RegisteredModel]) -> None:
    act("tag", version(models[0], 3), version(models[1], 3), tags=Order(add=("spare",)))
    approver = caller(role="approver")
    body = post(approver, action="archive", filter={"fleet": "bakery", "tag": ["spare"], "entities": ["e1"]}).json()
    assert [each["id"] for each in body["results"]] == [str(version(models[1], 3).pk)]
    problem(post(approver, action="archive", filter={"fleet": "absent"}), status=404, code="fleet_unknown")
    stranger = caller(role="approver", tenants=("globex",))
    problem(post(stranger, action="archive", filter={"fleet": "bakery"}), status=404, code="fleet_unknown")


def test_an_entity_is_not_the_beginning_of_another(fleet: Fleet) -> None:
    for key in ("M-1", "M-10"):
        factories.version(registered_model=factories.registered_model(fleet=fleet, entity_key=key))
    approver = caller(role="approver")

    def archived(**words: Any) -> list[str]:
        body = post(approver, action="archive", filter={"fleet": "bakery", **words}, dry_run=True).json()
        found = [ModelVersion.objects.get(pk=each["id"]).registered_model.entity_key for each in body["results"]]
        return sorted(found)

    assert archived(entities=["M-1"]) == ["M-1"]
    assert archived(entity_prefix="M-1") == archived(entities=["M-10", "M-1"]) == ["M-1", "M-10"]
    assert archived(entity_prefix="M-1", entities=["M-10"]) == ["M-10"]
    absent = post(approver, action="archive", filter={"fleet": "bakery", "entities": ["M-1", "M-2"]})
    assert "'M-2'" in problem(absent, status=404, code="model_unknown")["detail"]


@pytest.mark.parametrize("words", [{}, {"state": ["any"]}, {"tenant": "acme"}, {"all": False}])
def test_the_name_of_a_fleet_alone_means_nothing_of_it(models: list[RegisteredModel], words: dict[str, Any]) -> None:
    answer = post(caller(role="approver"), action="archive", filter={"fleet": "bakery", **words})
    assert "all" in problem(answer, status=400, code="filter_missing")["next_step"]


def test_a_whole_fleet_is_meant_by_saying_so(models: list[RegisteredModel]) -> None:
    approver = caller(role="approver")

    def seen(**words: Any) -> int:
        body = post(approver, action="archive", filter={"fleet": "bakery", **words}, dry_run=True).json()
        return len(body["results"])

    lifecycle.archive([version(models[0], 3).pk], actor="ada", reason="Old.", at=LATER)
    assert (seen(all=True), seen(all=True, state=["any"]), seen(state=["archived"])) == (8, 9, 1)
    both = post(approver, action="archive", filter={"fleet": "bakery", "all": True, "tag": ["x"]})
    problem(both, status=400, code="filter_contradicts")


def test_an_operator_tags_and_does_nothing_else(models: list[RegisteredModel]) -> None:
    operator = caller(role="operator")
    wanted = [str(version(models[0], 3).pk)]
    body = operator.post("versions/bulk", {"action": "tag", "versions": wanted, "tags": {"add": ["x"]}}).json()
    assert body["changed"] == 1
    for action, _, _ in ACTIONS:
        problem(post(operator, action=action, versions=wanted), status=403, code="permission_denied")


BAD = [
    ({"action": "archive"}, "versions"),
    ({"action": "archive", "versions": []}, "versions"),
    ({"action": "archive", "versions": ["7"]}, "versions"),
    ({"action": "dance", "versions": [str(identifiers.uuid7())]}, "action"),
    ({"action": "tag", "versions": [str(identifiers.uuid7())]}, "tags"),
    ({"action": "archive", "versions": [str(identifiers.uuid7())], "tags": {"add": ["x"]}}, "tags"),
    ({"action": "archive", "versions": [str(identifiers.uuid7())], "filter": {"fleet": "x"}}, "versions"),
    (
        {"action": "archive", "filter": {"registered_model__fleet__tenant": "x"}},
        "filter/registered_model__fleet__tenant",
    ),
    ({"action": "archive", "filter": {"fleet": "x", "colour": "red"}}, "filter/colour"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
def test_a_bulk_call_that_cannot_be_meant_is_refused(models: list[RegisteredModel], body: Any, field: str) -> None:
    found = problem(post(caller(role="approver"), **body), status=400, code="invalid")
    assert any(each["pointer"].startswith(f"#/{field}") for each in found["errors"]), found


def test_a_bad_tag_and_no_tag_are_refused(models: list[RegisteredModel]) -> None:
    operator, wanted = caller(role="operator"), [str(version(models[0], 3).pk)]
    problem(post(operator, action="tag", versions=wanted, tags={"add": ["a,b"]}), status=400, code="tag_invalid")
    problem(post(operator, action="tag", versions=wanted, tags={}), status=400, code="tag_missing")


@pytest.mark.requirement("R14")
def test_a_fleet_is_rolled_back_over_http_after_a_preview(models: list[RegisteredModel]) -> None:
    approver = caller(role="approver")
    asked = {"filter": {"entities": ["e0", "e2"]}, "reason": "Doubled over night."}
    planned = approver.post("fleets/bakery/rollback", {**asked, "dry_run": True}).json()
    assert not Event.objects.filter(kind="registry.champion.rolled_back").exists()
    body = approver.post("fleets/bakery/rollback", asked).json()
    assert (body["rolled_back"], body["refused"]) == (2, 0)
    assert planned["results"] == body["results"]
    assert body["results"][0]["before"]["number"] == 2
    assert (body["results"][0]["to"]["number"], body["results"][0]["entity"]) == (1, "e0")
    again = approver.post("fleets/bakery/rollback", asked).json()
    assert [each["code"] for each in again["results"]] == ["rolled_back_already"] * 2
    further = approver.post("fleets/bakery/rollback", {**asked, "again": True}).json()
    assert [each["code"] for each in further["results"]] == ["nothing_to_roll_back_to"] * 2
    assert further["results"][0]["next_step"] == "Ready are the versions 3, 2."


def test_a_roll_back_of_nothing_in_particular_is_refused(models: list[RegisteredModel]) -> None:
    approver = caller(role="approver")
    found = approver.post("fleets/bakery/rollback", {"filter": {}, "reason": "x"})
    assert "all" in problem(found, status=400, code="filter_missing")["next_step"]
    nothing = approver.post("fleets/bakery/rollback", {"filter": {"all": True}})
    problem(nothing, status=400, code="reason_missing")
    problem(approver.post("fleets/bakery/rollback", {}), status=400, code="invalid")


def test_the_tags_of_models_are_changed_over_http(models: list[RegisteredModel]) -> None:
    operator = caller(role="operator")
    asked = {"filter": {"entities": ["e0", "e1"]}, "tags": {"add": ["t0"], "remove": ["t1"]}, "reason": "Season."}
    planned = operator.post("fleets/bakery/tags", {**asked, "dry_run": True}).json()
    assert not Event.objects.filter(kind="registry.model.tagged").exists()
    first, again = (operator.post("fleets/bakery/tags", asked, key="tags") for _ in range(2))
    assert first.json() == again.json() == {**planned, "dry_run": False}
    assert [(each["entity"], each["outcome"], each["tags"]) for each in planned["results"]] == [
        ("e0", "unchanged", ["t0"]), ("e1", "changed", ["t0"]),
    ]  # fmt: skip
    assert (planned["changed"], planned["unchanged"], planned["refused"]) == (1, 1, 0)
    assert [each.tags for each in RegisteredModel.objects.order_by("pk")] == [["t0"], ["t0"], ["t2"]]
    [event] = Event.objects.filter(kind="registry.model.tagged")
    assert event.reason == "Added t0. Removed t1. Season."
    assert operator.get("models/bakery", tag="t0").json()["results"][1]["entity"] == "e1"


def test_what_cannot_be_tagged_is_refused(models: list[RegisteredModel]) -> None:
    operator, add = caller(role="operator"), {"tags": {"add": ["x"]}}
    RegisteredModel.objects.filter(pk=models[0].pk).update(tags=[f"t{n}" for n in range(20)])
    full = operator.post("fleets/bakery/tags", {"filter": {"entities": ["e0"]}, **add}).json()
    assert [(each["outcome"], each["code"]) for each in full["results"]] == [("refused", "too_many_tags")]
    problem(operator.post("fleets/bakery/tags", {"filter": {}, **add}), status=400, code="filter_missing")
    problem(operator.post("fleets/bakery/tags", {"filter": {"all": True}}), status=400, code="invalid")
    bad = {"filter": {"all": True}, "tags": {"add": ["a,b"]}}
    problem(operator.post("fleets/bakery/tags", bad), status=400, code="tag_invalid")
    absent = {"filter": {"entities": ["e9"]}, **add}
    problem(operator.post("fleets/bakery/tags", absent), status=404, code="model_unknown")
    stranger = caller(role="operator", tenants=("globex",))
    problem(stranger.post("fleets/bakery/tags", {"filter": {"all": True}, **add}), status=404, code="fleet_unknown")


def test_a_bulk_call_repeated_with_its_key_is_carried_out_once(models: list[RegisteredModel]) -> None:
    approver = caller(role="approver")
    body = {"action": "archive", "versions": [str(version(models[0], 3).pk)], "reason": "Tidy."}
    first, again = (approver.post("versions/bulk", body, key="tidy") for _ in range(2))
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
