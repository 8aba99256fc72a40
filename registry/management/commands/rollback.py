"""`manage.py rollback`: makes earlier champions serve again, of one model at once, of many after a preview."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from registry import bulk, lifecycle, terminal, timestamps
from registry.bulk import Step, targets, telling
from registry.bulk.targets import Wanted
from registry.management import acting
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
        if options["entity"]:
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
            named = {name: telling.named(each) if each else None for name, each in versions.items()}
            self.print_json({"entity": model.entity_key, "outcome": "rolled_back", **named})
        else:
            self.say(f"{model} is back on v{after}, from v{before}. The next retraining may promote another version.")

    def _many(self, fleet: Fleet, wanted: Wanted, options: dict[str, Any]) -> None:
        applied = options["apply"]
        told: _Told = _Json(self, applied=applied) if options["json"] else _Tables(self, fleet, applied=applied)
        is_whole = False
        try:
            for models in targets.walk(targets.models(fleet, wanted)):
                told.tell(self._step(models, options))
            is_whole = True
        finally:
            # What has moved stays moved, whatever ended the rest: nobody should have to guess which.
            if told.count or is_whole:
                told.end()
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


class _Told(ABC):
    """Tells the steps of a roll back some at a time, as they are done, and keeps only how many there were."""

    def __init__(self, command: Command, *, applied: bool) -> None:
        self._command = command
        self._applied = applied
        self.back = self.refused = 0

    @property
    def count(self) -> int:
        """How many have been told."""
        return self.back + self.refused

    def tell(self, steps: Sequence[Step]) -> None:
        """Tell some more."""
        self._tell(steps)
        self._command.stdout.flush()
        back = sum(each.to is not None for each in steps)
        self.back, self.refused = self.back + back, self.refused + len(steps) - back

    @abstractmethod
    def _tell(self, steps: Sequence[Step]) -> None: ...

    @abstractmethod
    def end(self) -> None:
        """Say how many there were."""


class _Tables(_Told):
    """For people: a table for each so many models, and a sentence."""

    def __init__(self, command: Command, fleet: Fleet, *, applied: bool) -> None:
        super().__init__(command, applied=applied)
        self._fleet = fleet

    def _tell(self, steps: Sequence[Step]) -> None:
        done = "rolled back" if self._applied else "would be rolled back, nothing was moved"
        title = "" if self.count else f"{self._fleet.name}: {done}"
        rows = [(each.registered_model.entity_key, _from(each), _to(each), str(each.refusal or "")) for each in steps]
        self._command.console.print(terminal.table(title, ["entity", "from>", "to>", "why not~"], rows))

    def end(self) -> None:
        if not self.count:
            self._command.say(f"No model of {self._fleet.name} answers.")
            return
        told = f"{self.back} went back" if self._applied else f"{self.back} would go back"
        rest = "" if self._applied else " Add --apply and --reason to do it."
        self._command.say(f"{told}, {self.refused} cannot.{rest}")


class _Json(_Told):
    """For programs: one object, whose results are written as they come and whose counts stand at its end."""

    def __init__(self, command: Command, *, applied: bool) -> None:
        super().__init__(command, applied=applied)
        self._before = f'{{"dry_run": {_line(not applied)},\n "results": ['

    def _tell(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._write(f"{self._before}\n  {_line(telling.step(step))}")
            self._before = ","

    def end(self) -> None:
        head = "" if self.count else self._before
        counts = _line({"rolled_back": self.back, "refused": self.refused})
        self._write(f"{head}\n ],\n {counts.removeprefix('{')}\n")

    def _write(self, text: str) -> None:
        self._command.stdout.write(text, ending="")


def _line(value: object) -> str:
    return json.dumps(value, allow_nan=False)


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


def _from(step: Step) -> str:
    champion = step.registered_model.champion
    return f"v{champion.number}" if champion else ""


def _to(step: Step) -> str:
    return f"v{step.to.number}" if step.to else ""
