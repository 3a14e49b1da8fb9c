"""One job with everything that is known of it, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from horae.cli.output import OUTCOMES, Column, console, state_word, table, word
from horae.cli.situation import situation, starts
from horae.cli.text import as_json, clean, distance, length
from horae.client import Attempt, Backoff, Job, JobError

Row = tuple[str, RenderableType]


def print_details(job: Job, attempts: Sequence[Attempt], now: datetime) -> None:
    """Prints it to stdout."""
    out = console()
    out.print(_grid(_rows(job, now)))
    if job.payload:
        _section(out, "Payload", Text(as_json(job.payload)))
    if attempts:
        _section(out, "Attempts", table(_columns(), attempts, out.width))
    if job.error:
        _section(out, "Error", _error(job.error))
    if job.result is not None:
        _section(out, "Result", Text(as_json(job.result)))


def _grid(rows: Iterator[Row]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for title, value in rows:
        grid.add_row(title, value)
    return grid


def _section(out: Console, title: str, content: RenderableType) -> None:
    out.print()
    out.print(Text(title, style="bold"))
    out.print(Padding(content, (0, 0, 0, 2), expand=False))


def _rows(job: Job, now: datetime) -> Iterator[Row]:
    said = situation(job, now) if not job.is_final else ""
    yield "Job", word(job.id)
    yield "State", state_word(job.state) + Text(f"  {said}" if said else "", style="dim")
    yield "Handler", word(job.handler)
    yield "Queue", word(f"{job.queue}, {job.priority} priority")
    yield "Namespace", word(job.namespace)
    yield "Attempts", word(f"{starts(job)}, {job.failures} failed")
    if job.tags:
        yield "Tags", word(", ".join(job.tags))
    if job.idempotency_key:
        yield "Key", word(job.idempotency_key)
    yield "Retries", word(_policy(job))
    yield from _times(job, now)
    if job.took is not None:
        yield "Took", word(length(job.took.total_seconds()))
    if job.worker_id:
        yield "Worker", word(job.worker_id)
    if job.schedule_id:
        yield "Schedule", word(job.schedule_id)


def _times(job: Job, now: datetime) -> Iterator[Row]:
    named = (
        ("Created", job.created_at),
        ("Due", job.run_at),
        ("Fire time", job.fire_time),
        ("Expires", job.expires_at),
        ("Started", job.started_at),
        ("Finished", job.finished_at),
    )
    for title, moment in named:
        if moment is not None:
            yield title, word(f"{moment.astimezone():%Y-%m-%d %H:%M:%S %z}  ({distance(moment, now)})")


def _policy(job: Job) -> str:
    until = "" if job.retry_for_seconds is None else f", for {length(job.retry_for_seconds)}"
    return f"{job.max_retries}, {_backoff(job.backoff)}{until}; timeout {length(job.timeout_seconds)}"


def _backoff(backoff: Backoff) -> str:
    base = length(backoff.base_seconds)
    if backoff.kind == "fixed":
        return f"{base} apart"
    growth = f" x{backoff.factor:g}" if backoff.kind == "exponential" else ""
    return f"{backoff.kind} from {base}{growth} to {length(backoff.max_seconds)}"


def _columns() -> list[Column[Attempt]]:
    return [
        Column("#", lambda attempt: str(attempt.attempt), right=True),
        Column("OUTCOME", lambda attempt: Text(attempt.outcome, style=OUTCOMES[attempt.outcome])),
        Column("STARTED", lambda attempt: f"{attempt.started_at.astimezone():%H:%M:%S.%f}"[:-3]),
        Column("TOOK", lambda one: length((one.finished_at - one.started_at).total_seconds()), right=True),
        Column("WORKER", lambda attempt: attempt.worker_id or "", needs=140),
        Column("ERROR", lambda attempt: _sentence(attempt.error), words=True),
    ]


def _sentence(error: JobError | None) -> str:
    return f"{error.type}: {error.message}" if error else ""


def _error(error: JobError) -> Text:
    text = Text(clean(_sentence(error)), style="red")
    return text.append(f"\n{clean(error.traceback.rstrip())}", style="dim") if error.traceback else text
