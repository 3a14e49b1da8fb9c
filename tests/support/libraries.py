"""croniter's and cronsim's fire times beside the product's, without clock changes and where these libraries are right.

Left out are only what a library refuses and what it is known to read otherwise than the rules say: the lists below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from croniter import CroniterError, croniter  # type: ignore[import-untyped]
from cronsim import CronSim, CronSimError

from horae.domain.timing import Timing

STARTS = (datetime(2025, 12, 30, 23, 58, 59, tzinfo=UTC), datetime(2027, 2, 27, 12, tzinfo=UTC))
FIRES = 60

_CRONITER_READS_OTHERWISE = (
    re.compile(r"[lw#]", re.IGNORECASE),  # always both day fields; refuses lists of them; L5 is right, 5L refused
    re.compile(r"\b(\w+)-\1\b"),  # the whole field for a range with equal ends
    re.compile(r"-\w+/"),  # loses count where a range with a step wraps
    re.compile(r"(^|[ ,])\*[^ ]*,|,\*"),  # what is starred among lists
    re.compile(r"\w/\d+$"),  # day-of-week a/n ends at 6
)


def library_differences(text: str) -> list[str]:
    """A line for each library and start whose fire times differ."""
    return [*against_cronsim(text), *against_croniter(text)]


def against_cronsim(text: str) -> Iterator[str]:
    words = text.split()
    if len(words) == 6 and not any(day.startswith("*") for day in (words[3], words[5])):
        return  # it has no Debian day rule with six fields
    if re.search(r"\b(\w+)-\1/", text):
        return  # it reads a range with equal ends and a step as one with an open end
    for start in STARTS:
        try:
            theirs = list(islice(CronSim(text, start), FIRES))
        except CronSimError:
            return
        yield from difference("cronsim", text, start, theirs)


def against_croniter(text: str) -> Iterator[str]:
    if any(pattern.search(text) for pattern in _CRONITER_READS_OTHERWISE):
        return
    for start in STARTS:
        try:
            walk = croniter(text, start, datetime, second_at_beginning=True, implement_cron_bug=True)
            theirs = [walk.get_next() for _ in range(FIRES)]
        except CroniterError:
            return
        yield from difference("croniter", text, start, theirs)


def difference(library: str, text: str, start: datetime, theirs: list[datetime]) -> Iterator[str]:
    ours = list(islice(Timing(cron=text).fires(start), len(theirs)))
    if ours != theirs:
        yield f"{library} {text!r} from {start}: {theirs[:4]}, ours {ours[:4]}"
