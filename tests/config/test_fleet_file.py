"""The fleet file: what it makes of rows, and what it refuses."""

from __future__ import annotations

import typing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config import fleet_file
from config.fleet_file import FleetFileInvalid, Outcome
from registry.configure import MadeByHand, VersionsDepend
from registry.models import Fleet, Hold, ModelVersion
from tests import factories
from tests.config import fleet_files
from training import policy_sections, scheduling
from training.configure import SourceShared
from training.models import Batch, RetrainingPolicy, Source
from training.policy_terms import Reason

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def applied(file: Path, *, adopt: bool = False, dry_run: bool = False, at: datetime = NOW) -> Outcome:
    return fleet_file.apply([fleet_file.read(file)], at=at, adopt=adopt, dry_run=dry_run)[0]


def told(outcome: Outcome) -> dict[str, str]:
    return {change.subject: change.action for change in outcome.changes}


def problems(file: Path) -> dict[str, tuple[str, str]]:
    with pytest.raises(FleetFileInvalid) as caught:
        fleet_file.read(file)
    return {each.key: (each.value, each.allowed) for each in caught.value.problems}


@pytest.mark.requirement("C08")
def test_a_file_makes_its_fleet_its_source_and_its_policies(tmp_path: Path) -> None:
    outcome = applied(fleet_files.write(tmp_path))

    assert told(outcome) == {"fleet bakery": "created", "source bakery": "created", "policy bakery/nightly": "created"}
    fleet = Fleet.objects.get()
    assert (fleet.tenant, fleet.kind, fleet.frequency, fleet.horizon, fleet.season_length) == (
        "default",
        "forecast",
        "D",
        7,
        7,
    )
    source = Source.objects.get()
    assert source.options.path == str(tmp_path / "data.csv")
    assert (source.columns.time, source.columns.target, source.columns.entity) == ("ds", "y", "series_id")
    policy = RetrainingPolicy.objects.get()
    assert [choice.name for choice in policy.trainers] == ["prophet"]
    assert policy.source == source
    assert {fleet.managed_by, source.managed_by, policy.managed_by} == {outcome.file.digest}


def test_a_new_policy_is_due_at_the_next_slot_of_its_own_zone(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))

    # 18:30 in Berlin is 17:30 UTC in winter.
    assert RetrainingPolicy.objects.get().next_due_at == datetime(2026, 3, 2, 17, 30, tzinfo=UTC)


def test_applying_twice_changes_nothing(tmp_path: Path) -> None:
    file = fleet_files.write(tmp_path)
    applied(file)
    before = [list(table.objects.values()) for table in (Fleet, Source, RetrainingPolicy)]

    assert applied(file, at=LATER).changes == ()
    assert [list(table.objects.values()) for table in (Fleet, Source, RetrainingPolicy)] == before


def test_a_changed_comment_is_no_change_but_the_new_digest_is_kept(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))
    outcome = applied(fleet_files.write(tmp_path, text=fleet_files.FLEET + "# a remark\n"))

    assert outcome.changes == ()
    assert Fleet.objects.get().managed_by == outcome.file.digest


def test_a_changed_value_is_told_with_old_and_new(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))
    text = fleet_files.changed("horizon = 7", "horizon = 14") + "[policy.nightly.gate_limits]\nfloor = 0.9\n"
    outcome = applied(fleet_files.write(tmp_path, text=text))

    assert {(each.field, each.old, each.new) for change in outcome.changes for each in change.fields} == {
        ("horizon", 7, 14),
        ("gate_limits.floor", 1.0, 0.9),
    }
    assert Fleet.objects.get().horizon == 14
    assert RetrainingPolicy.objects.get().gate_limits.floor == 0.9


def test_a_dry_run_tells_the_same_and_writes_nothing(tmp_path: Path) -> None:
    file = fleet_files.write(tmp_path)

    assert told(applied(file, dry_run=True)) == told(applied(file))
    changed = fleet_files.write(tmp_path, text=fleet_files.changed("horizon = 7", "horizon = 14"))
    assert told(applied(changed, dry_run=True)) == {"fleet bakery": "updated"}
    assert Fleet.objects.get().horizon == 7


def test_a_new_schedule_is_planned_and_an_unchanged_one_keeps_its_slot(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))
    applied(fleet_files.write(tmp_path, text=fleet_files.changed("horizon = 7", "horizon = 14")), at=LATER)
    assert RetrainingPolicy.objects.get().next_due_at == datetime(2026, 3, 2, 17, 30, tzinfo=UTC)

    applied(fleet_files.write(tmp_path, text=fleet_files.changed("30 18", "0 6")), at=LATER)
    assert RetrainingPolicy.objects.get().next_due_at == datetime(2026, 3, 4, 5, 0, tzinfo=UTC)


def test_a_disabled_policy_is_due_never(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))
    applied(fleet_files.write(tmp_path, text=fleet_files.FLEET + "enabled = false\n"))
    assert RetrainingPolicy.objects.get().next_due_at is None


def test_pauses_and_holds_are_never_touched(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))
    Fleet.objects.update(paused=True)
    scheduling.pause(RetrainingPolicy.objects.get())
    hold = Hold.objects.create(version=a_version(Fleet.objects.get()), placed_by="user", reason="audit")

    applied(
        fleet_files.write(tmp_path, text=fleet_files.changed("30 18", "0 6").replace("horizon = 7", "horizon = 14"))
    )

    assert Fleet.objects.get().paused
    policy = RetrainingPolicy.objects.get()
    assert (policy.paused, policy.next_due_at, policy.cron) == (True, None, "0 6 * * *")
    assert Hold.objects.get() == hold


def a_version(fleet: Fleet) -> ModelVersion:
    return factories.version(registered_model=factories.registered_model(fleet=fleet))


def test_what_was_made_by_hand_is_refused_until_it_is_adopted(tmp_path: Path) -> None:
    Fleet.objects.create(tenant="default", name="bakery", kind="forecast", frequency="D", horizon=3)
    file = fleet_files.write(tmp_path)

    with pytest.raises(MadeByHand, match=r"fleet bakery was made by hand.*--adopt"):
        applied(file)
    assert not Source.objects.exists()

    outcome = applied(file, adopt=True)
    assert told(outcome)["fleet bakery"] == "adopted"
    assert Fleet.objects.get().managed_by == outcome.file.digest


def test_a_policy_made_by_hand_stays_beside_those_of_the_file(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))
    RetrainingPolicy.objects.create(fleet=Fleet.objects.get(), source=Source.objects.get(), name="mine")

    assert applied(fleet_files.write(tmp_path)).changes == ()
    assert RetrainingPolicy.objects.filter(name="mine", enabled=True).exists()


def test_a_policy_that_the_file_no_longer_names_is_deleted_where_it_never_fired(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))
    outcome = applied(fleet_files.write(tmp_path, text=fleet_files.changed("policy.nightly", "policy.weekly")))

    assert told(outcome) == {"policy bakery/weekly": "created", "policy bakery/nightly": "deleted"}


def test_a_policy_that_the_file_no_longer_names_is_disabled_where_it_fired_and_comes_back(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))
    policy = RetrainingPolicy.objects.get()
    Batch.objects.create(fleet=policy.fleet, policy=policy, reason=Reason(trigger="schedule"), requested_at=NOW)
    without = fleet_files.write(
        tmp_path, text=fleet_files.changed("policy.nightly", "policy.weekly"), name="without.toml"
    )

    assert told(applied(without))["policy bakery/nightly"] == "disabled"
    policy.refresh_from_db()
    assert (policy.enabled, policy.next_due_at) == (False, None)
    assert applied(without).changes == ()

    assert told(applied(fleet_files.write(tmp_path)))["policy bakery/nightly"] == "updated"
    policy.refresh_from_db()
    assert policy.enabled and policy.next_due_at is not None


def test_kind_and_frequency_cannot_change_under_trained_versions(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))
    weekly = fleet_files.write(tmp_path, text=fleet_files.changed('"D"', '"W"'))
    assert told(applied(weekly, dry_run=True)) == {"fleet bakery": "updated"}

    a_version(Fleet.objects.get())
    with pytest.raises(VersionsDepend, match="frequency of fleet bakery cannot change from D to W"):
        applied(weekly)


def test_two_fleets_share_a_source_only_where_both_files_describe_it_alike(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))
    other = fleet_files.changed('name = "bakery"', 'name = "cafe"').replace("[source]\n", '[source]\nname = "bakery"\n')
    assert told(applied(fleet_files.write(tmp_path, text=other, name="other.toml"))).keys() == {
        "fleet cafe",
        "policy cafe/nightly",
    }

    differing = fleet_files.changed('"series_id"', '"store"', text=other)
    with pytest.raises(SourceShared, match=r"also feeds fleet bakery, where columns.entity is 'series_id'"):
        applied(fleet_files.write(tmp_path, text=differing, name="other.toml"))


def test_several_files_are_applied_all_or_none(tmp_path: Path) -> None:
    Fleet.objects.create(tenant="default", name="cafe", kind="forecast", frequency="D")
    files = [
        fleet_file.read(fleet_files.write(tmp_path)),
        fleet_file.read(fleet_files.write(tmp_path, text=fleet_files.changed('"bakery"', '"cafe"'), name="cafe.toml")),
    ]
    with pytest.raises(MadeByHand):
        fleet_file.apply(files, at=NOW)
    assert [fleet.name for fleet in Fleet.objects.all()] == ["cafe"]


POLICY = "policy.nightly"
CRON = 'cron = "30'
TRAINERS = 'trainers = ["prophet"]'
REFUSALS = [
    ('name = "bakery"', 'name = "Bakery"', "fleet.name", '"Bakery"', "small letters"),
    ('kind = "forecast"', 'kind = "cluster"', "fleet.kind", '"cluster"', "one of forecast, regression"),
    ('kind = "forecast"', "", "fleet.kind", "", "one of forecast, regression"),
    ('frequency = "D"', 'frequency = "daily"', "fleet.frequency", '"daily"', "15min"),
    ("horizon = 7", "horizon = 0", "fleet.horizon", "0", "1 to 10000"),
    ("horizon = 7", 'horizon = "7"', "fleet.horizon", '"7"', "a whole number"),
    ("horizon = 7", "horizon = true", "fleet.horizon", "true", "a whole number"),
    ("horizon = 7", "horizn = 7", "fleet.horizn", "7", "did you mean horizon?"),
    ('unit = "pieces"', "retention = {keep = 0}", "fleet.retention.keep", "0", "1 to 10000"),
    ('unit = "pieces"', "export = {versions = -1}", "fleet.export.versions", "-1", "0 to 1000"),
    ('unit = "pieces"', 'export = {metadata = ["mae"]}', "fleet.export.metadata", '"mae"', "of version, number"),
    ('unit = "pieces"', "export = {on = true}", "fleet.export.on", "true", "known here: enabled, versions, metadata"),
    ('unit = "pieces"', 'metric_settings = {primary = "x"}', "fleet.metric_settings.primary", '"x"', "one of annual_"),
    ('zone = "Europe/Berlin"\nunit', 'zone = "Berlin"\nunit', "fleet.time_zone", '"Berlin"', "an IANA time zone"),
    ("data.csv", "data.xlsx", "source.path", "data.xlsx", "ends in .csv, .csv.gz, .parquet"),
    ("data.csv", "other.csv", "source.path", "other.csv", "an existing file"),
    ('target = "y"', "", "source.columns.target", "", "required"),
    ('target = "y"', 'target = "ds"', "source.columns", '"ds"', "each column in one place only"),
    ('target = "y"', 'target = "y"\nfeatures = ["x"]', "source.columns.features", '["x"]', "none in a fleet of kind"),
    (TRAINERS, 'trainers = ["profet"]', f"{POLICY}.trainers.0.name", '"profet"', "one of prophet, seasonal_naive"),
    (TRAINERS, 'trainers = ["ridge"]', f"{POLICY}.trainers.0.name", '"ridge"', "in a fleet of kind forecast"),
    (TRAINERS, "trainers = []", f"{POLICY}.trainers", "[]", "at least one of"),
    (TRAINERS, "", f"{POLICY}.trainers", "", "required"),
    ("30 18 * * *", "61 18 * * *", f"{POLICY}.cron", '"61 18 * * *"', "five cron fields"),
    ("30 18 * * *", "0 0 30 2 *", f"{POLICY}.cron", '"0 0 30 2 *"', "five cron fields"),
    (CRON, f"look_back_days = 0\n{CRON}", f"{POLICY}.look_back_days", "0", "1 to 3660"),
    (CRON, f'misfire = "never"\n{CRON}', f"{POLICY}.misfire", '"never"', "one of skip, run_latest, run_all"),
    (CRON, f"gate_limits = {{floor = nan}}\n{CRON}", f"{POLICY}.gate_limits.floor", "NaN", "a finite number"),
    (CRON, f"gate_limits = {{flor = 1}}\n{CRON}", f"{POLICY}.gate_limits.flor", "1", "did you mean floor?"),
    (
        CRON,
        f"expectations = {{maximum_gap_ratio = 2}}\n{CRON}",
        f"{POLICY}.expectations.maximum_gap_ratio",
        "2",
        "0 to 1",
    ),
    (CRON, f'selector = {{tags = ["a"], entity_pattern = "b"}}\n{CRON}', f"{POLICY}.selector", "", "one of the two"),
    (f"[{POLICY}]", '[policy."By Night"]', "policy.By Night", '"By Night"', "small letters"),
]


@pytest.mark.parametrize(("old", "new", "key", "value", "allowed"), REFUSALS)
def test_an_error_names_key_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, key: str, value: str, allowed: str
) -> None:
    found = problems(fleet_files.write(tmp_path, text=fleet_files.changed(old, new)))

    assert key in found, found
    assert value in found[key][0]
    assert allowed in found[key][1]


@pytest.mark.parametrize(
    ("params", "allowed"),
    [("{growth = 'cubic'}", "growth"), ("{no_such = 1}", "no_such"), ("{interval_width = inf}", "finite")],
)
def test_parameters_are_checked_by_their_trainer(tmp_path: Path, params: str, allowed: str) -> None:
    text = fleet_files.changed(TRAINERS, f'trainers = [{{name = "prophet", params = {params}}}]')
    found = problems(fleet_files.write(tmp_path, text=text))
    assert allowed in found[f"{POLICY}.trainers.0.params"][1]


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    text = fleet_files.FLEET
    for old, new in {
        "horizon = 7": "horizon = 0",
        "data.csv": "absent.csv",
        '["prophet"]': '["profet"]',
        '"D"': '"daily"',
    }.items():
        text = fleet_files.changed(old, new, text=text)

    found = problems(fleet_files.write(tmp_path, text=text + "[extra]\n"))
    assert found.keys() == {
        "fleet.horizon",
        "fleet.frequency",
        "source.path",
        "policy.nightly.trainers.0.name",
        "extra",
    }


def test_a_regression_needs_features_and_takes_no_regressors(tmp_path: Path) -> None:
    text = fleet_files.changed('"forecast"', '"regression"').replace("prophet", "ridge")
    assert problems(fleet_files.write(tmp_path, text=text)).keys() == {"source.columns.features"}

    text = text.replace('target = "y"', 'target = "y"\nfeatures = ["x"]\nregressors = [{name = "z"}]')
    assert problems(fleet_files.write(tmp_path, text=text)).keys() == {"source.columns.regressors"}


ALONE = fleet_files.FLEET.partition("[source]")[0]


@pytest.mark.requirement("R01")
def test_a_fleet_that_nothing_here_retrains_has_neither_source_nor_policy(tmp_path: Path) -> None:
    outcome = applied(fleet_files.write(tmp_path, text=ALONE))
    assert told(outcome) == {"fleet bakery": "created"}
    assert (Fleet.objects.get().horizon, Fleet.objects.get().managed_by) == (7, outcome.file.digest)
    assert not Source.objects.exists() and not RetrainingPolicy.objects.exists()
    assert told(applied(fleet_files.write(tmp_path))).keys() == {"source bakery", "policy bakery/nightly"}


def test_policies_of_a_fleet_that_is_no_longer_retrained_here_go_with_their_section(tmp_path: Path) -> None:
    applied(fleet_files.write(tmp_path))
    assert told(applied(fleet_files.write(tmp_path, text=ALONE))) == {"policy bakery/nightly": "deleted"}
    assert Source.objects.exists(), "versions and snapshots may speak of it"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (ALONE + "[policy.nightly]\ntrainers = ['prophet']\n", "source"),
        (fleet_files.FLEET.partition("[policy")[0], "policy"),
    ],
)
def test_one_of_source_and_policy_without_the_other_is_refused(tmp_path: Path, text: str, key: str) -> None:
    [(found, (value, allowed))] = problems(fleet_files.write(tmp_path, text=text)).items()
    assert (found, value) == (key, "")
    assert "has neither [source] nor [policy]" in allowed


@pytest.mark.parametrize("missing", ["[fleet]", "[source]", "[policy.nightly]"])
def test_a_missing_section_is_told(tmp_path: Path, missing: str) -> None:
    found = problems(fleet_files.write(tmp_path, text=fleet_files.changed(missing, "[other]")))
    assert any(key.startswith(missing.strip("[]").split(".")[0]) for key in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[fleet]\nname = "x\n', "line 2, column 10"),
        ("[fleet]\nname = 'a'\nname = 'b'\n", "line 3"),
        ("[fleet\n", "line 1"),
        ("a = ", "line 1"),
    ],
)
def test_malformed_toml_is_told_with_line_and_column(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(FleetFileInvalid, match=f"fleet.toml: not TOML, {words}"):
        fleet_file.read(fleet_files.write(tmp_path, text=text))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = fleet_files.write(tmp_path)
    file.write_bytes(b"\xff\xfe[fleet]")
    with pytest.raises(FleetFileInvalid, match="byte 0 is not UTF-8"):
        fleet_file.read(file)


def test_the_words_of_a_file_are_those_of_the_tables() -> None:
    """The closed vocabularies stand in the sections once more, as types; they must not drift apart."""
    for section, table in ((policy_sections.PolicySection, RetrainingPolicy), (policy_sections.SourceSection, Source)):
        hints = typing.get_type_hints(section)
        for field in table._meta.concrete_fields:
            if field.choices and field.name in hints:
                assert set(hints[field.name].__args__) == {value for value, _ in field.choices}, field.name
