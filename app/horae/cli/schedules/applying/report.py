"""What a file changes and has changed, for a terminal and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from horae.cli.follow import line_grid
from horae.cli.output import beside, word
from horae.cli.schedules.applying.ahead import Outlook
from horae.cli.schedules.applying.carry import Done
from horae.cli.schedules.applying.diff import Action, Step, told
from horae.cli.schedules.fires import shown, side_by_side
from horae.cli.text import as_json, line
from horae.client import Fire

_MARKS = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.DELETE: ("-", "red"),
    Action.STRAY: ("?", "yellow"),
}
_TO_DO = {
    Action.CREATE: "to create",
    Action.UPDATE: "to change",
    Action.DELETE: "to delete",
    Action.KEEP: "as they should be",
}
DID = {Action.CREATE: "created", Action.UPDATE: "changed", Action.DELETE: "deleted", Action.KEEP: "unchanged"}
"""what has become of a step"""


def print_plan(out: Console, outlooks: Sequence[Outlook]) -> None:
    """What is to be done, schedule by schedule; of those that stay as they are nothing."""
    for outlook in outlooks:
        if outlook.step.action in _MARKS:
            mark, style = _MARKS[outlook.step.action]
            out.print(beside(word(mark, style), word(outlook.step.name, "bold")))
            for part in _parts(outlook):
                out.print(Padding(part, (0, 0, 0, 4), expand=False))
            out.print()


def _parts(outlook: Outlook) -> list[RenderableType]:
    match outlook.step.action:
        case Action.CREATE:
            return [Text(line(outlook.description)), *_warnings(outlook), _fires(outlook.after)]
        case Action.UPDATE if outlook.step.moves:
            sides = side_by_side(outlook.before, outlook.after)
            return [_changes(outlook.step), Text(line(outlook.description)), *_warnings(outlook), sides]
        case Action.UPDATE:
            return [_changes(outlook.step)]
        case Action.STRAY:
            return [word("isn't in the file any more; --prune deletes it", "dim")]
        case Action.DELETE:
            return [word("isn't in the file any more", "dim")]
        case _:
            return []


def _warnings(outlook: Outlook) -> list[Text]:
    return [Text(line(warning), style="yellow") for warning in outlook.warnings]


def _changes(step: Step) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    for name, old, new in told(step.changes):
        grid.add_row(word(name), Text(_value(old), style="red"), word("→", "dim"), Text(_value(new), style="green"))
    return grid


def _value(value: Any) -> str:
    return "none" if value is None else as_json(value, indent=False)


def _fires(fires: Sequence[Fire]) -> RenderableType:
    grid = line_grid(columns=2)
    for fire in fires:
        grid.add_row(word(shown(fire.local_time), "dim"), word(fire.note or "", "yellow"))
    return grid


def planned(steps: Sequence[Step]) -> str:
    """In words what is to be done, and that it wasn't."""
    if not any(step.writes for step in steps):
        return f"Nothing to do: {_counted(steps, _TO_DO)}."
    return f"{_counted(steps, _TO_DO)}. Nothing was written."


def carried(steps: Sequence[Step], done: Sequence[Done]) -> str:
    """In one sentence what was done."""
    kept = [step for step in steps if step.action is Action.KEEP]
    refused = sum(one.problem is not None for one in done)
    counted = _counted([*(one.step for one in done if one.problem is None), *kept], DID)
    return f"{counted}{f', {refused} refused' if refused else ''}."


def _counted(steps: Sequence[Step], words: dict[Action, str]) -> str:
    counts = Counter(step.action for step in steps)
    return ", ".join(f"{counts[action]} {said}" for action, said in words.items() if counts[action]) or "0 schedules"


def as_members(source: str, outlooks: Sequence[Outlook], done: Sequence[Done], *, only_planned: bool) -> dict[str, Any]:
    """The same as JSON."""
    results = {one.step.name: one for one in done}
    steps = [outlook.step for outlook in outlooks]
    counts = Counter(step.action for step in steps)
    return {
        "source": source,
        "only_planned": only_planned,
        "counts": {action: counts[action] for action in Action},
        "items": [_item(outlook, results.get(outlook.step.name)) for outlook in outlooks],
    }


def _item(outlook: Outlook, done: Done | None) -> dict[str, Any]:
    step = outlook.step
    return {
        "name": step.name,
        "action": step.action,
        "id": step.stored.id if step.stored else None,
        "changes": {name: {"old": old, "new": new} for name, old, new in told(step.changes)},
        "next_fires": {"before": outlook.before, "after": outlook.after},
        "description": outlook.description,
        "warnings": outlook.warnings,
        "problems": [*outlook.problems, *(done.problem.lines() if done and done.problem else ())],
        "done": done is not None and done.problem is None,
    }
