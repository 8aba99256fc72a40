"""`manage.py rollback`: makes earlier champions serve again, of one model at once, of many after a preview."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table

from registry import bulk, lifecycle, terminal, timestamps
from registry.bulk import Step, targets
from registry.bulk import telling as steps
from registry.bulk.targets import Wanted
from registry.management import acting, telling
from registry.management.telling import Words
from registry.models import Fleet, RegisteredModel


class Command(terminal.Command):
    """Roll one model back, or many."""

    writes = True
    help = "Make the champion before the present one serve again: of one model at once, of many with --apply."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("fleet")
        parser.add_argument("entity", nargs="?", help="one model, rolled back at once; without it name many")
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        parser.add_argument(
            "--to", metavar="VERSION", help="of one model: number, label or id; default: the one before"
        )
        _add_filter(parser)
        parser.add_argument("--reason", default="", help="why; kept in the ledger")
        parser.add_argument(
            "--again", action="store_true", help="of many: also those that a roll back moved last, one further back"
        )
        parser.add_argument("--apply", action="store_true", help="of many: do it; without it only show it")
        parser.add_argument("--dry-run", action="store_true", help="of one: only show it, as of many without --apply")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends 0 done or shown, 1 where a model was refused, 2 usage, 3 where no model is meant."""
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"])
        wanted = _wanted(options)
        if options["entity"] and wanted:
            raise terminal.Refused("Name one entity, or say which are meant by options; not both.")
        if options["to"] and not options["entity"]:
            raise terminal.Refused("--to goes with one entity: many go back to the champion before.")
        if not options["entity"] and not wanted:
            raise terminal.Refused(
                "Say which models are meant: an entity, --entity, --entity-prefix, --tag, --promoted-since or --cause; "
                "--all for the whole fleet."
            )
        if options["dry_run"]:
            self._many(fleet, _shown(options, wanted), {**options, "apply": False})
        elif options["entity"]:
            self._one(terminal.find_model(fleet, options["entity"]), options)
        else:
            self._many(fleet, wanted, options)

    def _one(self, model: RegisteredModel, options: dict[str, Any]) -> None:
        to = acting.find_version(model, options["to"]) if options["to"] else None
        event = lifecycle.roll_back(
            registered_model=model, to=to, actor=terminal.actor(), reason=options["reason"], at=timestamps.utc_now()
        )
        before, after = (each.number if each else None for each in (event.from_version, event.to_version))
        if options["json"]:
            versions = {"before": event.from_version, "to": event.to_version}
            named = {name: steps.named(each) if each else None for name, each in versions.items()}
            self.print_json({"entity": model.entity_key, "outcome": "rolled_back", **named})
        else:
            self.say(f"{model} is back on v{after}, from v{before}. The next retraining may promote another version.")

    def _many(self, fleet: Fleet, wanted: Wanted, options: dict[str, Any]) -> None:
        words = _Back(fleet, applied=options["apply"], since=wanted.promoted_since)
        with telling.told(self, words, as_json=options["json"]) as told:
            for models in targets.walk(targets.models(fleet, wanted)):
                told.tell(self._step(models, options))
        if not told.count:
            self.end(terminal.NOTHING_TO_DO)
        if told.refused:
            self.end(terminal.FAILED)

    def _step(self, models: Sequence[RegisteredModel], options: dict[str, Any]) -> list[Step]:
        return bulk.roll_back(
            models,
            actor=terminal.actor(),
            reason=options["reason"],
            at=timestamps.utc_now(),
            rehearsed=not options["apply"],
            again=options["again"],
        )


class _Back(Words[Step]):
    """What is said of models that go back."""

    done = "rolled_back"

    def __init__(self, fleet: Fleet, *, applied: bool, since: datetime | None) -> None:
        self._fleet = fleet
        self._applied = applied
        self._since = since

    @property
    def head(self) -> Mapping[str, Any]:
        """Whether nothing is moved."""
        return {"dry_run": not self._applied}

    def is_done(self, each: Step) -> bool:
        """Whether it went back, or would."""
        return each.to is not None

    def table(self, some: Sequence[Step], *, is_first: bool) -> Table:
        """Return a row for each model."""
        done = "rolled back" if self._applied else "would be rolled back, nothing was moved"
        title = f"{self._fleet.name}: {done}" if is_first else ""
        rows = [
            (each.registered_model.entity_key, _from(each), _to(each), self._promoted(each), str(each.refusal or ""))
            for each in some
        ]
        return terminal.table(title, ["entity", "from>", "to>", "promoted", "why not~"], rows)

    def _promoted(self, each: Step) -> str:
        """Say when the target came, and that it came within the time that is to be undone."""
        if each.to is None or each.to.promoted_at is None:
            return ""
        is_within = self._since is not None and each.to.promoted_at >= self._since
        return timestamps.readable(each.to.promoted_at) + ", since then too: --again goes further" * is_within

    def sentence(self, *, done: int, refused: int) -> str:
        """Return how many, and how to do it where it was only shown."""
        if not done + refused:
            return f"No model of {self._fleet.name} answers."
        told = f"{done} went back" if self._applied else f"{done} would go back"
        rest = "" if self._applied else " Add --apply and --reason to do it."
        return f"{told}, {refused} cannot.{rest}"

    def plain(self, each: Step) -> Mapping[str, Any]:
        """Return the step as it is told over REST."""
        return steps.step(each)


def _add_filter(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--entity", dest="entities", action="append", default=[], metavar="ENTITY", help="this model; also several")
    add("--entity-prefix", default="", metavar="TEXT", help="models whose entity begins with it")
    add("--tag", action="append", default=[], help="also several, all of which the model has")
    add("--promoted-since", metavar="TIME", help="models whose champion was promoted then or later")
    add("--cause", default="", help=f"models whose champion came so: {', '.join(targets.CAUSES)}")
    add("--all", action="store_true", help="the whole fleet")


def _wanted(options: dict[str, Any]) -> Wanted:
    return Wanted(
        entities=tuple(options["entities"]),
        entity_prefix=options["entity_prefix"],
        tags=tuple(options["tag"]),
        promoted_since=terminal.instant(options, "promoted_since"),
        cause=options["cause"],
        all=options["all"],
    )


def _shown(options: dict[str, Any], wanted: Wanted) -> Wanted:
    if options["apply"]:
        raise terminal.Refused("--dry-run shows it and --apply does it: give one of them.")
    if options["to"]:
        raise terminal.Refused("--to is not shown beforehand: `promote --dry-run` says whether a version could serve.")
    return Wanted(entities=(options["entity"],)) if options["entity"] else wanted


def _from(step: Step) -> str:
    champion = step.registered_model.champion
    return f"v{champion.number}" if champion else ""


def _to(step: Step) -> str:
    return f"v{step.to.number}" if step.to else ""
