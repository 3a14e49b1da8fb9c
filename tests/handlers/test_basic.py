"""The handlers to try things out with."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from horae.domain.errors import InvalidInput
from horae.handlers.builtin.basic import BASIC, DeliberateFailure
from tests.handlers.contexts import context


async def run(name: str, payload: dict[str, Any], attempt: int = 1) -> Any:
    handler = BASIC.get(name)
    assert handler is not None
    return await handler.function(context(attempt=attempt), **handler.validate(payload))


@pytest.mark.parametrize("payload", [{}, {"a": 1, "ctx": 2, "_ctx": 3, "_payload": 4, "self": 5}])
async def test_noop_and_echo_take_anything(payload: dict[str, Any]) -> None:
    assert await run("noop", payload) is None
    assert await run("echo", payload) == payload


async def test_sleep_ends_and_can_be_cancelled() -> None:
    await run("sleep", {"seconds": 0})
    long = asyncio.create_task(run("sleep", {"seconds": 1e9}))
    await asyncio.sleep(0)
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(1):
            await long


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_fail_fails_so_many_attempts(times: int) -> None:
    for attempt in range(1, times + 1):
        with pytest.raises(DeliberateFailure, match=f"^no luck \\(attempt {attempt} of {times} that fail\\)$"):
            await run("fail", {"times": times, "message": "no luck"}, attempt)
    assert await run("fail", {"times": times}, times + 1) == {"attempt": times + 1}


@pytest.mark.parametrize(
    ("name", "payload", "field"),
    [
        ("sleep", {}, "payload.seconds"),
        ("sleep", {"seconds": -1}, "payload.seconds"),
        ("sleep", {"seconds": "1"}, "payload.seconds"),
        ("sleep", {"seconds": 1, "minutes": 1}, "payload.minutes"),
        ("fail", {"times": -1}, "payload.times"),
        ("fail", {"times": 1.5}, "payload.times"),
        ("fail", {"times": 1, "message": 5}, "payload.message"),
    ],
)
async def test_payloads_that_don_t_fit(name: str, payload: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await run(name, payload)
    assert [each.field for each in caught.value.errors] == [field]
