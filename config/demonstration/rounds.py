"""Owns one round of the demo: new data, fleet files applied, every model retrained by the workers, the outcome told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from config import fleet_file
from config.demonstration import examples
from config.demonstration.examples import Delivery, Example
from training import clock, following, policy_terms, results, runs
from training.models import Batch

REASON = policy_terms.Reason(trigger="manual", sentence="Asked for by the demo.", actor="demo")


@dataclass(frozen=True, kw_only=True)
class Played:
    """One fleet in one round."""

    example: Example
    delivery: Delivery
    batch: Batch
    rows: tuple[results.Row, ...]

    @property
    def failed(self) -> bool:
        """Whether the batch or one of its runs could not be carried out; a refusal by the gate is no failure."""
        return bool(self.batch.code) or any(row.state in following.BAD for row in self.rows)


def deliver(*, folder: Path) -> list[tuple[Example, Delivery]]:
    """Bring the next piece of data of each example into its copy below `folder`."""
    return [(example, examples.deliver(example, into=folder)) for example in examples.EXAMPLES]


def play(delivered: Sequence[tuple[Example, Delivery]], *, console: Console | None) -> list[Played]:
    """Apply, retrain and wait, with bars where there is a console. Raises Failed where no worker is left."""
    batches = [_request(delivery) for _, delivery in delivered]
    with following.progress(batches, console=console):
        following.wait(batches)
    return [_played(*pair, batch=batch) for pair, batch in zip(delivered, batches, strict=True)]


def _request(delivery: Delivery) -> Batch:
    file = fleet_file.read(delivery.fleet_file)
    [outcome] = fleet_file.apply([file], at=clock.now())
    return runs.request(fleet=outcome.fleet, entities=None, reason=REASON, at=clock.now(), queue="training")


def _played(example: Example, delivery: Delivery, *, batch: Batch) -> Played:
    batch.refresh_from_db()
    return Played(example=example, delivery=delivery, batch=batch, rows=tuple(results.of_batch(batch)))


def announced(delivered: Sequence[tuple[Example, Delivery]]) -> str:
    """Return what came, in words."""
    came = [f"{example.name} through {delivery.through}" for example, delivery in delivered if delivery.is_new]
    return f"new data, {' and '.join(came)}" if came else "no newer data, so the same rows once more"


def told(played: Sequence[Played], *, console: Console) -> None:
    """Print the table of each fleet, and why a batch failed where it did."""
    for each in played:
        title = f"{each.example.name}, data through {each.delivery.through}"
        console.print(following.outcome(title, each.rows, width=console.width))
        if each.batch.code:
            console.print(f"{each.batch.sentence} {each.batch.next_step}")
        console.print()
