"""What the process of an isolated attempt answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from horae.handlers import Discard, Registry, Retry
from horae.handlers.registry import define
from horae.worker.child import run
from horae.worker.executor import LARGEST_RESULT, LONGEST_MESSAGE
from horae.worker.isolation import LONGEST_LINE, _answer
from tests.handlers.contexts import Reports
from tests.worker.attempts import as_async, as_thread
from tests.worker.runs import new_run

Kind = Callable[[Callable[[], Any]], Callable[..., Any]]


@pytest.fixture(params=[as_async, as_thread], ids=["async", "def"])
def kind(request: pytest.FixtureRequest) -> Kind:
    made: Kind = request.param
    return made


async def answer_of(function: Callable[..., Any] | None) -> dict[str, Any]:
    """What is said to the worker, as it arrives there: one line that isn't too long."""
    registry = Registry()
    if function is not None:
        registry.add(define("work", function))
    fields = ("id", "token", "attempt", "handler", "queue", "namespace", "schedule_id", "fire_time", "payload")
    job = {name: getattr(new_run("work"), name) for name in fields}
    line = orjson.dumps(await run(job, registry, Reports()))  # type: ignore[arg-type]
    assert len(line) < LONGEST_LINE
    answer: dict[str, Any] = orjson.loads(line)
    return answer


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    "value", [None, 0, "ä€😀", [1, {"b": None}], "x" * (LARGEST_RESULT - 2)], ids=lambda v: str(v)[:9]
)
async def test_a_result_is_told_as_it_is(kind: Kind, value: Any) -> None:
    assert await answer_of(kind(lambda: value)) == {"result": value}


async def test_of_a_result_that_is_too_large_only_that_is_told(kind: Kind) -> None:
    assert await answer_of(kind(lambda: "x" * LARGEST_RESULT)) == {"result": {"truncated": True}}


@pytest.mark.parametrize("value", [{1, 2}, "\ud800", 2**70], ids=ascii)
async def test_a_result_that_is_no_json_is_an_error(kind: Kind, value: Any) -> None:
    assert (await answer_of(kind(lambda: value)))["error"]["type"] in ("TypeError", "JSONEncodeError")


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (Retry(7.5, "not yet"), {"retry": {"delay": 7.5, "reason": "not yet"}}),
        (Retry(), {"retry": {"delay": None, "reason": "the handler asked for another try"}}),
        (Discard("no such user"), {"discard": "no such user"}),
        (Discard("half a \ud83d pair"), {"discard": "half a ? pair"}),
        (Discard("\0" * 1_000_000), {"discard": "\0" * LONGEST_MESSAGE}),
    ],
    ids=["retry", "retry some time", "discard", "no UTF-8", "long"],
)
async def test_the_verdict_of_a_handler_is_told(kind: Kind, error: Exception, answer: dict[str, Any]) -> None:
    assert await answer_of(kind(raising(error))) == answer


async def test_a_verdict_whose_reason_is_no_text_is_told_all_the_same(kind: Kind) -> None:
    assert (await answer_of(kind(raising(Discard(KeyError("user"))))))["discard"]  # type: ignore[arg-type]


class Rude(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [ValueError("\ud83d" * 100), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), Rude("now")],
    ids=type,
)
async def test_any_other_error_is_told_with_its_traceback(kind: Kind, error: BaseException) -> None:
    told = (await answer_of(kind(raising(error))))["error"]
    assert type(error).__name__ in told["type"] + told["message"]
    assert "in act" in told["traceback"]


async def test_a_handler_that_the_process_does_not_load_is_given_up() -> None:
    assert "isn't among those" in (await answer_of(None))["discard"]


async def test_the_worker_understands_every_answer(kind: Kind) -> None:
    with pytest.raises(Retry, match="not yet"):
        _answer(await answer_of(kind(raising(Retry(7.5, "not yet")))))
    assert _answer(await answer_of(kind(lambda: [1]))) == [1]
