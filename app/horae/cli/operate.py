"""`horae migrate` and `horae check`."""

from __future__ import annotations

import click

from horae.bootstrap import Finding, schema_is_current
from horae.bootstrap import check as look_at_everything
from horae.bootstrap import migrate as bring_up_to_date
from horae.cli.commands import Command
from horae.cli.exits import REFUSED
from horae.cli.output import print_json
from horae.cli.params import json_option
from horae.cli.settings import read_settings, run
from horae.cli.text import line
from horae.runtime.config import Settings


@click.command(cls=Command, examples=["horae migrate", "horae migrate --check || echo 'not yet'"])
@click.option("--check", "only_look", is_flag=True, help="Change nothing; exit 1 if the schema is behind.")
@json_option
def migrate(only_look: bool, as_json: bool) -> None:
    """Bring the schema of HORAE_DATABASE_URL up to date. Safe to run from many places at once."""
    settings = read_settings()
    if only_look:
        _report(settings, as_json=as_json)
        return
    before, after = run(bring_up_to_date(settings))
    if as_json:
        print_json({"before": before, "after": after})
    elif before == after:
        click.echo(f"The schema is up to date: {after}")
    else:
        click.echo(f"Migrated from {before or 'an empty database'} to {after}")


def _report(settings: Settings, *, as_json: bool) -> None:
    behind = run(schema_is_current(settings))
    if as_json:
        print_json({"current": behind is None, "reason": behind})
    else:
        click.echo(line(behind) if behind else "The schema is up to date", err=behind is not None)
    if behind is not None:
        raise click.exceptions.Exit(REFUSED)


@click.command(cls=Command, examples=["horae check", "horae check --json"])
@json_option
def check(as_json: bool) -> None:
    """Connect to everything configured: the schema, the broker's topology, the clocks. Exit 1 if something is wrong."""
    findings = run(look_at_everything(read_settings()))
    if as_json:
        print_json({"findings": findings})
    else:
        for finding in findings:
            _print_finding(finding)
    if any(finding.problem is not None for finding in findings):
        raise click.exceptions.Exit(REFUSED)


def _print_finding(finding: Finding) -> None:
    well = finding.problem is None
    mark = click.style("✓", fg="green") if well else click.style("✗", fg="red")
    click.echo(f"{mark} {finding.subject:<10} {line(finding.problem or finding.detail)}")
