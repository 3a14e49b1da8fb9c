"""Cron expressions to compare by: telling ones, and random ones of every form that the grammar knows."""

from __future__ import annotations

import random

from horae.domain.cron import CronError, parse_cron

HOUR_STEPS = ["* * * * *", "*/15 * * * *", "*/7 * * * *", "0 * * * *", "30 * * * *", "5/20 * * * *", "0-59 * * * *"]
TELLING = [
    *HOUR_STEPS,
    *["0 0 * * *", "30 0 * * *", "0 1 * * *", "30 1 * * *", "0 2 * * *", "15 2 * * *", "30 2 * * *", "59 2 * * *"],
    *["0 3 * * *", "30 3 * * *", "0 4 * * *", "30 23 * * *", "59 23 * * *", "45 22 * * *", "0,30 2 * * *"],
    *["0 */2 * * *", "30 */2 * * *", "0 */3 * * *", "*/30 */2 * * *", "0 */5 * * *", "0 0-23 * * *", "0-59 0-23 * * *"],
    *["*/15 2 * * *", "*/15 1-3 * * *", "* 2 * * *", "* 0 * * *", "0/15 2 * * *", "15 * * * *", "0 0,2,4,6 * * *"],
    *["22-2/3 * * * *", "0 22-2/3 * * *", "50-10/7 * * * *", "0 23-4 * * *", "15,45 22-3 * * *", "5-5 2-2 * * *"],
    *["0 0/1 * * *", "0 */1 * * *", "*/90 * * * *", "7/100 3/50 * * *", "*,5 2 * * *", "5,* 2 * * *", "5,*/20 * * * *"],
    *["30 2 * * SUN", "30 2 * * 7", "30 2 * * 0", "30 1 * * sun-mon", "0 3 * * SAT-SUN", "30 2 * * FRI-MON/2"],
    *["30 2 * MAR,OCT,NOV *", "30 1 * mar-apr SUN", "0 2 * OCT-MAR/2 *", "15 0 * 9-4 *", "0 0 25-31 3,10 0"],
    *["30 2 L * *", "30 2 LW * *", "0 2 15W * *", "0 2 1W,15W,31W * *", "30 2 28W,L * *", "0 0 29 2 *", "0 0 L 2 *"],
    *["30 2 * * 7L", "30 2 * * L0", "30 2 ? * SUNL", "30 1 * 3,10 0L", "30 2 * * SUN#2", "30 1 * * 0#1", "0 0 * * 5L"],
    *["0 0 * * 6#5", "0 0 * * 5#4,6L", "30 2 8-14 * 0", "30 2 */2 * 0", "30 2 1-31 * 0", "30 2 13 * 5", "0 1 1,L * 1L"],
    *[
        "*/10 2 * * SUN",
        "*/5 0-3 * * 0,6",
        "0 2 25-5/3 * *",
        "30 2 * * 1/2",
        "30 2 * * */3",
        "30 3 */7 * *",
        "0 2 29 * ?",
    ],
    *["30 0-3,22-23 * * *", "1-59/2 1,2,3 * * *", "@daily", "@hourly", "@weekly", "@monthly", "@yearly", "@Midnight"],
    *["* * * * * *", "0 30 2 * * *", "15 30 2 * * *", "*/20 */30 2 * * *", "30 * * * * *", "59 59 * * * *"],
    *[
        "0 0 */2 * * *",
        "10-50/20 0 0-3 * * *",
        "0,30 30 1 * * SUN",
        "5 0 3 * * *",
        "*/7 * 2 * * *",
        "55-5/5 59 * * * *",
    ],
]


def expressions(count: int, seed: int) -> list[str]:
    """The telling ones, filled up to `count` with random ones."""
    chance = random.Random(seed)
    found = dict.fromkeys(TELLING[:count])
    while len(found) < count:
        found.setdefault(valid(chance))
    return list(found)


def valid(chance: random.Random) -> str:
    """A random expression that matches some date."""
    while True:
        text = anything(chance)
        try:
            return parse_cron(text).text
        except CronError:
            continue


def anything(chance: random.Random) -> str:
    seconds = [listed(chance, 0, 59)] if chance.random() < 0.15 else []
    minute, hour = listed(chance, 0, 59), listed(chance, 0, 23, near=(0, 4))
    return " ".join([*seconds, minute, hour, day(chance), month(chance), weekday(chance)])


def listed(chance: random.Random, low: int, high: int, near: tuple[int, int] | None = None) -> str:
    return ",".join(item(chance, low, high, near) for _ in range(chance.choice([1, 1, 1, 2, 3])))


def item(chance: random.Random, low: int, high: int, near: tuple[int, int] | None = None) -> str:
    first, last = (chance.randint(*(near if near and chance.random() < 0.7 else (low, high))) for _ in range(2))
    step = chance.choice([1, 2, 3, 5, 7, 11, 15, 40])
    return chance.choice(
        ["*", f"*/{step}", f"{first}", f"{first}", f"{first}-{last}", f"{first}-{last}/{step}", f"{first}/{step}"]
    )


def day(chance: random.Random) -> str:
    special = [chance.choice(["L", "LW", f"{chance.randint(1, 31)}W", item(chance, 1, 31)]) for _ in range(2)]
    return chance.choice(["*", "*", "*", "?", listed(chance, 1, 31), ",".join(special)])


def month(chance: random.Random) -> str:
    return chance.choice(["*", "*", "*", "3,4,9-11", "OCT-MAR", listed(chance, 1, 12)])


def weekday(chance: random.Random) -> str:
    named = chance.choice(["SUN", "MON", "SAT", "0", "7", "5"])
    special = chance.choice([f"{named}#{chance.randint(1, 5)}", f"{named}L", f"L{named}"])
    return chance.choice(
        ["*", "*", "*", "?", listed(chance, 0, 7), special, f"{special},{item(chance, 0, 7)}", "SAT-MON"]
    )
