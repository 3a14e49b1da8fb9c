"""The tree of commands. Nothing heavy may be imported here: `horae --help` and completion must answer at once."""

from __future__ import annotations

import click

import horae
from horae.cli.commands import Lazy, LazyGroup

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

_ROOT = {
    "serve": Lazy("horae.cli.serve:serve", "Run the api, a scheduler, a worker, or all in one process."),
    "migrate": Lazy("horae.cli.operate:migrate", "Bring the database's schema up to date."),
    "check": Lazy("horae.cli.operate:check", "Connect to everything configured and say what is wrong."),
    "demo": Lazy("horae.cli.demo.command:demo"),
}

_JOB = {
    "submit": Lazy("horae.cli.jobs.submit:submit", "Submit a job and print its id."),
    "list": Lazy("horae.cli.jobs.find:list_jobs", "List jobs, newest first."),
    "show": Lazy("horae.cli.jobs.find:show", "Show a job with its attempts, error and result."),
    "watch": Lazy("horae.cli.jobs.watch:watch", "Follow a job until it is final."),
    "cancel": Lazy("horae.cli.jobs.change:cancel", "Cancel jobs, by id or by filter."),
    "retry": Lazy("horae.cli.jobs.change:retry", "Start failed or cancelled jobs anew, by id or by filter."),
}

_SCHEDULE = {
    "create": Lazy("horae.cli.schedules.create:create", "Create a schedule."),
    "list": Lazy("horae.cli.schedules.find:list_schedules", "List schedules by name."),
    "show": Lazy("horae.cli.schedules.find:show", "Show a schedule in words, with its rules and next fires."),
    "update": Lazy("horae.cli.schedules.update:update", "Change a schedule; shows its next fires before and after."),
    "pause": Lazy("horae.cli.schedules.change:pause", "Let fire times go by."),
    "resume": Lazy("horae.cli.schedules.change:resume", "Let paused schedules fire again."),
    "trigger": Lazy("horae.cli.schedules.change:trigger", "Make a job of a schedule now."),
    "delete": Lazy("horae.cli.schedules.change:delete", "Delete schedules."),
    "preview": Lazy("horae.cli.schedules.preview:preview", "Show the next fire times, of a schedule or of --cron."),
    "occurrences": Lazy("horae.cli.schedules.ledger:occurrences", "Show what became of each fire time, and why."),
    "history": Lazy("horae.cli.schedules.ledger:history", "Show what was done to a schedule, by whom and when."),
    "apply": Lazy("horae.cli.schedules.applying.command:apply", "Bring schedules in line with a file."),
}

_BACKFILL = {
    "start": Lazy("horae.cli.schedules.backfill:start", "Make the jobs of a past range that have none."),
    "list": Lazy("horae.cli.schedules.backfill:list_backfills", "List the backfills of a schedule."),
    "cancel": Lazy("horae.cli.schedules.backfill:cancel", "Cancel a backfill."),
}

_QUEUE = {
    "list": Lazy("horae.cli.queues:list_queues", "List queues with their depth by state."),
    "pause": Lazy("horae.cli.queues:pause", "Let no job of these queues start."),
    "resume": Lazy("horae.cli.queues:resume", "Let jobs of these queues start again."),
}

_WORKER = {
    "list": Lazy("horae.cli.workers:list_workers", "List workers, the live ones and those lately gone."),
}

_EPILOG = """\b
Everything but serve, migrate and check speaks to the api at HORAE_URL (http://127.0.0.1:8080) with HORAE_TOKEN.
Exit codes: 0 done, 1 refused or not SUCCESS, 2 wrong usage, 3 no connection, 130 interrupted.

\b
Completion: eval "$(_HORAE_COMPLETE=bash_source horae)" in ~/.bashrc (or zsh_source in ~/.zshrc),
or _HORAE_COMPLETE=fish_source horae > ~/.config/fish/completions/horae.fish
"""


@click.group(cls=LazyGroup, lazy=_ROOT, context_settings=HELP, epilog=_EPILOG)
@click.version_option(horae.__version__, message="horae %(version)s")
def cli() -> None:
    """Horae: a distributed job scheduler."""


@cli.group(cls=LazyGroup, lazy=_JOB)
def job() -> None:
    """Submit, follow and manage jobs."""


@cli.group(cls=LazyGroup, lazy=_SCHEDULE)
def schedule() -> None:
    """Create, explain, follow and manage recurring schedules."""


@schedule.group(cls=LazyGroup, lazy=_BACKFILL)
def backfill() -> None:
    """Make up for a past range of a schedule."""


@cli.group(cls=LazyGroup, lazy=_QUEUE)
def queue() -> None:
    """See, pause and resume queues."""


@cli.group(cls=LazyGroup, lazy=_WORKER)
def worker() -> None:
    """See workers."""
