"""Proofs that take minutes, of which the tests hold a sample.

    scripts/proof time [--expressions N] [--seed N] [--processes N]
    scripts/proof tables

tables  prints the README's tables of fire times at clock changes
time    compares fire times with those of a second, literal reading of the rules:
        every zone with a transition in 2025-2028 (one of each group with the same transitions) x N expressions x all
        dst_gap and dst_fold: every fire time in a window around every transition, and `next` from points within it;
        besides, croniter and cronsim, where they are right. Exits 1 if there is any difference.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from horae.domain.zones import TZDATA, zone_names
from tests.support.clock_tables import clock_change_tables
from tests.support.comparing import POLICIES, Place, differences, different_places, place
from tests.support.expressions import expressions
from tests.support.libraries import library_differences

SHOWN = 20
CHUNK = 10

Task = tuple[Place, list[str]]


def main() -> None:
    arguments = parsed()
    if arguments.proof == "tables":
        print(clock_change_tables())
    else:
        raise SystemExit(prove_time(arguments))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("proof", choices=["time", "tables"])
    parser.add_argument("--expressions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    return parser.parse_args()


def prove_time(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    texts = expressions(arguments.expressions, arguments.seed)
    with Pool(arguments.processes) as pool:
        names = sorted(zone_names())
        places = different_places(pool.imap(place, names, CHUNK))
        changes = sum(len(each.transitions) for each in places)
        print(
            f"tzdata {TZDATA}: {len(names)} zones, {len(places)} different ones with {changes} transitions in 2025-2028"
        )
        tasks = [(each, texts[n : n + CHUNK]) for each in places for n in range(0, len(texts), CHUNK)]
        found = list(followed(pool.imap_unordered(compare, tasks), len(tasks)))
        strange = [line for lines in pool.imap(library_differences, texts, 1) for line in lines]
    report(found, strange)
    print(
        f"{len(places)} zones x {len(texts)} expressions x {len(POLICIES)} policies x their transitions:"
        f" {len(found)} differences; cronsim and croniter: {len(strange)} differences;"
        f" {time.monotonic() - began:.0f} s"
    )
    return 1 if found or strange else 0


def compare(task: Task) -> list[str]:
    where, texts = task
    return [line for text in texts for line in differences(where, text)]


def followed(results: Iterable[list[str]], total: int) -> Iterator[str]:
    """The lines of all results; says how far they are, a few times a minute at most."""
    told = time.monotonic()
    for number, lines in enumerate(results, 1):
        if time.monotonic() - told > 10 or number == total:
            told = time.monotonic()
            print(f"  {number * 100 // total:3d} %", flush=True)
        yield from lines


def report(found: list[str], strange: list[str]) -> None:
    for line in [*found[:SHOWN], *strange[:SHOWN]]:
        print(line)


if __name__ == "__main__":
    main()
