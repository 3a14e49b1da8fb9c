"""Three handlers, written as you would write yours."""

from __future__ import annotations

import asyncio

from horae import Discard, JobContext, handler
from horae.handlers import ThreadJobContext


@handler("demo.report", timeout=30)
async def report(ctx: JobContext, *, pages: int) -> dict[str, int]:
    """Takes its time and says how far it has come."""
    for page in range(1, pages + 1):
        await asyncio.sleep(0.4)
        await ctx.progress(page / pages, f"page {page} of {pages}")
    return {"pages": pages}


@handler("demo.primes", priority="high")
def primes(_ctx: ThreadJobContext, *, below: int) -> dict[str, int]:
    """A plain function: it runs in a thread and holds up nobody."""
    found = sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, below))
    return {"primes": found}


@handler("demo.charge", max_retries=5)
async def charge(_ctx: JobContext, *, card: str) -> None:
    """Knows when another try is of no use."""
    raise Discard(f"card {card} has expired")
