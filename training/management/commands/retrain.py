"""`manage.py retrain`: asks for runs, or rehearses them, and follows them to their end."""

from __future__ import annotations

import os
import socket
from argparse import ArgumentParser
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

from registry import terminal
from registry.models import Fleet
from training import carrying, chunks, clock, conf, following, policy_terms, rehearsal, results, runs, workers
from training.models import Batch, TrainingRun


class Command(terminal.Command):
    """Retrain a fleet or some of its entities."""

    writes = True
    help = "Retrain the models of a fleet: all of them, or the entities that are named."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("fleet", help="name of the fleet")
        parser.add_argument(
            "entities", nargs="*", default=[], metavar="entity", help="entities of the fleet; none: all of them"
        )
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        parser.add_argument("--days", type=int, help="look-back in days before the newest observation")
        parser.add_argument("--dry-run", action="store_true", help="read, validate and split; train and write nothing")
        parser.add_argument(
            "--inline", action="store_true", help="carry the runs out in this process, no worker needed"
        )
        parser.add_argument("--wait", action="store_true", help="follow the runs to their end and show the outcome")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends 0 where no run failed, 1 where one did or nobody works, 2 for an unknown name, 3 with nothing to do."""
        _check_days(options["days"])
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"])
        entities = sorted(set(options["entities"])) or None
        if options["dry_run"]:
            self._rehearse(fleet, entities, options)
            return
        _check_entities(fleet, entities)
        queue = _queue(entities, inline=options["inline"])
        if options["inline"]:
            with following.quiet(options["verbosity"]):
                carrying.resume(worker=_identity())
        else:
            _check_workers(queue)
        asked = {"fleet": fleet, "entities": entities, "look_back_days": options["days"]}
        batch = runs.request(**asked, reason=_reason(), at=clock.now(), queue=queue)
        self._follow(batch, options)

    def _rehearse(self, fleet: Fleet, entities: Sequence[str] | None, options: dict[str, Any]) -> None:
        found = rehearsal.rehearse(fleet, entities=entities, look_back_days=options["days"], now=clock.now())
        if options["json"]:
            self.print_json({"fleet": fleet.name, "dry_run": True, "entities": [asdict(each) for each in found]})
        else:
            self._show_rehearsal(fleet, found)
        if not found:
            self.end(terminal.NOTHING_TO_DO)
        if any(each.code for each in found):
            self.end(terminal.FAILED)

    def _show_rehearsal(self, fleet: Fleet, found: Sequence[rehearsal.Rehearsed]) -> None:
        columns = ["entity", "rows>", "from", "to", "train>", "test>", "windows>", "outcome~"]
        rows = [(e.entity, e.rows, e.start, e.end, e.train_rows, e.test_rows, e.windows, _prospect(e)) for e in found]
        self.console.print(terminal.table(f"{fleet.name}: dry run, nothing was trained or written", columns, rows))
        refused = sum(bool(each.code) for each in found)
        self.say(f"{len(found) - refused} of {len(found)} would be trained, {refused} refused.")

    def _follow(self, batch: Batch, options: dict[str, Any]) -> None:
        if not options["json"]:
            self.say(f"Batch {batch.pk} of fleet {batch.fleet.name}")
        if options["inline"]:
            with self._progress(batch, options), following.quiet(options["verbosity"]):
                carrying.inline(batch, worker=_identity())
        elif options["wait"]:
            self._wait(batch, options)
        self._show(batch, options)

    def _wait(self, batch: Batch, options: dict[str, Any]) -> None:
        try:
            with self._progress(batch, options):
                following.wait([batch])
        except KeyboardInterrupt:
            raise terminal.Failed("The runs go on without this command. Follow them: manage.py status") from None

    def _progress(self, batch: Batch, options: dict[str, Any]) -> AbstractContextManager[None]:
        return following.progress([batch], console=self.console if self.is_watched and not options["json"] else None)

    def _show(self, batch: Batch, options: dict[str, Any]) -> None:
        batch.refresh_from_db()
        rows = results.of_batch(batch)
        ended = batch.state == Batch.State.DONE
        if options["json"]:
            self.print_json(_told(batch, rows))
        elif ended:
            self.console.print(following.outcome(batch.fleet.name, rows, width=self.console.width))
            # What stopped the whole batch is told once, at the end.
            for line in following.failures([row for row in rows if row.code != batch.code]):
                self.say(line)
        else:
            self.say("The runs wait for a worker. Follow them: manage.py status, or ask with --wait.")
        if ended:
            self._end(batch, rows)

    def _end(self, batch: Batch, rows: Sequence[results.Row]) -> None:
        if batch.code:
            raise terminal.Failed(f"{batch.code}. {batch.sentence} {batch.next_step}")
        if any(row.state in following.BAD for row in rows):
            self.end(terminal.FAILED)
        if all(row.state == TrainingRun.State.SKIPPED for row in rows):
            self.end(terminal.NOTHING_TO_DO)


def _check_days(days: int | None) -> None:
    limits = conf.current()
    if days is not None and not limits.look_back_days_min <= days <= limits.look_back_days_max:
        allowed = f"{limits.look_back_days_min} to {limits.look_back_days_max}"
        raise terminal.Refused(f"--days {days}: allowed are {allowed}.")


def _check_entities(fleet: Fleet, entities: Sequence[str] | None) -> None:
    known = set(fleet.registered_models.values_list("entity_key", flat=True)) if entities else set()
    for entity in entities or ():
        if entity not in known:
            hint = terminal.close_names(entity, known) or f"manage.py retrain {fleet.name} registers what there is."
            raise terminal.Refused(f"Fleet {fleet.name} has no entity {entity!r}. {hint}")


def _queue(entities: Sequence[str] | None, *, inline: bool) -> str:
    """A whole fleet goes where the backlog is, so that a person who names one model never waits behind it."""
    return chunks.INLINE if inline else "interactive" if entities else "training"


def _identity() -> str:
    return f"inline:{socket.gethostname()}:{os.getpid()}"


def _check_workers(queue: str) -> None:
    idle = workers.unserved(["control", queue])
    if idle:
        raise terminal.Failed(
            f"No live worker serves {_queues(idle)}, so nothing was requested. "
            "Start the workers with `manage.py up`, or add --inline to train in this process."
        )


def _reason() -> policy_terms.Reason:
    actor = os.environ.get("USER") or os.environ.get("LOGNAME") or f"uid {os.getuid()}"
    return policy_terms.Reason(trigger="manual", sentence="Asked for by manage.py retrain.", actor=actor)


def _told(batch: Batch, rows: Sequence[results.Row]) -> dict[str, object]:
    failure = {"code": batch.code, "detail": batch.sentence, "next_step": batch.next_step} if batch.code else None
    return {
        "batch": str(batch.pk), "fleet": batch.fleet.name, "state": batch.state, "error": failure,
        "runs": [asdict(row) for row in rows],
    }  # fmt: skip


def _prospect(each: rehearsal.Rehearsed) -> str:
    if each.code:
        return f"refused: {each.refusal} {each.next_step}"
    return "ok" + (f"; warnings: {' '.join(each.warnings)}" if each.warnings else "")


def _queues(names: Collection[str]) -> str:
    return f"the queue{'s' if len(names) > 1 else ''} {' and '.join(sorted(names))}"
