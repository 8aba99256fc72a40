"""`manage.py rollback`: makes earlier champions serve again, of one model at once, of many after a preview."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from registry import bulk, lifecycle, terminal, timestamps
from registry.bulk import Step, targets
from registry.bulk.targets import Wanted
from registry.management import acting
from registry.models import Fleet, RegisteredModel


class Command(terminal.Command):
    """Roll one model back, or many."""

    help = "Make the champion before the present one serve again: of one model at once, of many with --apply."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("fleet")
        parser.add_argument("entity", nargs="?", help="one model, rolled back at once; without it name many")
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        parser.add_argument(
            "--to", metavar="VERSION", help="of one model: number, label or id; default: the one before"
        )
        parser.add_argument("--entities", nargs="+", default=[], metavar="ENTITY", help="these models")
        parser.add_argument("--prefix", default="", help="models whose entity begins so")
        parser.add_argument(
            "--tag", action="append", default=[], help="models that have this tag, and the others given"
        )
        parser.add_argument("--promoted-since", metavar="TIME", help="models whose champion was promoted then or later")
        parser.add_argument("--cause", default="", help="models whose champion came so, such as gate or manual")
        parser.add_argument("--all", action="store_true", help="the whole fleet")
        parser.add_argument("--reason", default="", help="why; kept in the ledger")
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
                "Say which models are meant: an entity, --entities, --prefix, --tag, --promoted-since or --cause; "
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
            self.print_json({"model": str(model), "from": before, "to": after, "at": event.at})
        else:
            self.say(f"{model} is back on v{after}, from v{before}. The next retraining may promote another version.")

    def _many(self, fleet: Fleet, wanted: Wanted, options: dict[str, Any]) -> None:
        steps: list[Step] = []
        for models in targets.walk(targets.models(fleet, wanted)):
            steps += bulk.roll_back(
                models,
                actor=terminal.actor(),
                reason=options["reason"],
                at=timestamps.utc_now(),
                rehearsed=not options["apply"],
            )
        if options["json"]:
            self.print_json(
                {"fleet": str(fleet), "applied": options["apply"], "results": [_told(each) for each in steps]}
            )
        else:
            self._show(fleet, steps, applied=options["apply"])
        if not steps:
            self.end(terminal.NOTHING_TO_DO)
        if any(each.refusal for each in steps):
            self.end(terminal.FAILED)

    def _show(self, fleet: Fleet, steps: Sequence[Step], *, applied: bool) -> None:
        if not steps:
            self.say(f"No model of {fleet.name} answers.")
            return
        title = f"{fleet.name}: rolled back" if applied else f"{fleet.name}: would be rolled back, nothing was moved"
        rows = [(each.registered_model.entity_key, _from(each), _to(each), str(each.refusal or "")) for each in steps]
        self.console.print(terminal.table(title, ["entity", "from>", "to>", "why not~"], rows))
        back = sum(each.to is not None for each in steps)
        told = f"{back} went back" if applied else f"{back} would go back"
        rest = "" if applied else " Add --apply and --reason to do it."
        self.say(f"{told}, {len(steps) - back} cannot.{rest}")


def _wanted(options: dict[str, Any]) -> Wanted:
    since = options["promoted_since"]
    return Wanted(
        entities=tuple(options["entities"]),
        prefix=options["prefix"],
        tags=tuple(options["tag"]),
        promoted_since=timestamps.parse(since) if since else None,
        cause=options["cause"],
        all=options["all"],
    )


def _from(step: Step) -> str:
    champion = step.registered_model.champion
    return f"v{champion.number}" if champion else ""


def _to(step: Step) -> str:
    return f"v{step.to.number}" if step.to else ""


def _told(step: Step) -> dict[str, Any]:
    named = {"entity": step.registered_model.entity_key, "from": _from(step) or None, "to": _to(step) or None}
    if step.refusal is None:
        return named
    return {**named, "code": step.refusal.code, "sentence": step.refusal.sentence, "next_step": step.refusal.next_step}
