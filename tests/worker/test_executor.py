"""One attempt: what a handler returns or raises, and how it is ended. The same for `async def` and `def`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest

from horae.domain.errors import InvalidInput
from horae.domain.job import Failure, Outcome
from horae.handlers import Discard, JobContext, Retry
from horae.worker.executor import LARGEST_RESULT, LONGEST_MESSAGE, LONGEST_TRACEBACK, TRUNCATED
from horae.worker.judge import AskedAgain, Broke, Cancelled, Released, Returned
from horae.worker.table import Ask
from tests.support.waiting import eventually
from tests.worker.attempts import Bench, as_async, as_thread, end_of, failure_of

Kind = Callable[[Callable[[], Any]], Callable[..., Any]]
SHORT = 0.02
TIMED_OUT = Broke(Failure("timed_out", "the attempt ran past its timeout"), Outcome.TIMED_OUT)


@pytest.fixture(params=[as_async, as_thread], ids=["async", "def"])
def kind(request: pytest.FixtureRequest) -> Kind:
    made: Kind = request.param
    return made


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


# ------------------------------------------------------------------------------------------------------------- results


@pytest.mark.parametrize("value", [0, 1.5, "", "text", "ä€😀", True, False, [], {}, {"a": [1, {"b": None}]}], ids=repr)
async def test_what_a_handler_returns_is_kept_as_json(kind: Kind, value: Any) -> None:
    ended = await end_of(kind(lambda: value))
    assert isinstance(ended, Returned)
    assert ended.result is not None
    assert orjson.loads(ended.result) == value


async def test_nothing_is_kept_of_a_handler_that_returns_nothing(kind: Kind) -> None:
    assert await end_of(kind(lambda: None)) == Returned(None)


@pytest.mark.parametrize(("size", "fits"), [(LARGEST_RESULT - 2, True), (LARGEST_RESULT - 1, False)])
async def test_a_result_that_is_too_large_is_replaced(kind: Kind, size: int, fits: bool) -> None:
    text = "x" * size
    assert await end_of(kind(lambda: text)) == Returned(f'"{text}"' if fits else TRUNCATED)


@pytest.mark.parametrize("value", [{1, 2}, {("a", "b"): 1}, "\ud800", 2**70], ids=ascii)
async def test_a_result_that_is_no_json_fails_the_attempt(kind: Kind, value: Any) -> None:
    broke = await failure_of(kind(lambda: value))
    assert broke.outcome is Outcome.FAILED
    assert not broke.final
    assert broke.failure.type in ("TypeError", "JSONEncodeError")


# -------------------------------------------------------------------------------------------------------------- errors


async def test_an_error_is_kept_with_the_handlers_part_of_the_traceback(kind: Kind) -> None:
    broke = await failure_of(kind(raising(ValueError("no such invoice"))))
    assert (broke.failure.type, broke.failure.message) == ("ValueError", "no such invoice")
    assert (broke.outcome, broke.final) == (Outcome.FAILED, False)
    assert broke.failure.traceback is not None
    assert "in act" in broke.failure.traceback
    assert "horae/worker" not in broke.failure.traceback


async def test_the_cause_of_an_error_is_kept_too(kind: Kind) -> None:
    def act() -> None:
        raise ValueError("outer") from KeyError("inner")

    traceback = (await failure_of(kind(act))).failure.traceback
    assert traceback is not None
    assert "KeyError: 'inner'" in traceback


async def test_of_a_long_error_the_start_of_its_message_and_the_end_of_its_traceback_are_kept(kind: Kind) -> None:
    text = "".join(f"{number} " for number in range(20_000))
    failure = (await failure_of(kind(raising(ValueError(text))))).failure
    assert failure.message == text[:LONGEST_MESSAGE]
    assert failure.traceback is not None
    assert len(failure.traceback) == LONGEST_TRACEBACK
    assert failure.traceback.endswith("19998 19999 \n")


async def test_an_error_that_is_no_utf_8_is_kept_all_the_same(kind: Kind) -> None:
    failure = (await failure_of(kind(raising(ValueError("half a \ud83d pair"))))).failure
    assert failure.message == "half a ? pair"
    orjson.dumps(failure.as_dict())


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("I won't say")


class HalfMade(Retry):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "final", "type_"),
    [
        (Mute(), False, "Mute"),
        (HalfMade(), False, "HalfMade"),
        (Discard(42), True, "Discard"),  # type: ignore[arg-type]
        (Discard(ValueError("gone")), True, "Discard"),  # type: ignore[arg-type]
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_error_that_can_not_be_described_ends_the_attempt_like_any_other(
    kind: Kind, error: Exception, final: bool, type_: str
) -> None:
    broke = await failure_of(kind(raising(error)))
    assert (broke.failure.type, broke.final) == (type_, final)


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Stop("now")], ids=repr)
async def test_what_would_end_a_process_ends_the_attempt_only(kind: Kind, error: BaseException) -> None:
    broke = await failure_of(kind(raising(error)))
    assert (broke.outcome, broke.final) == (Outcome.FAILED, False)
    assert type(error).__name__ in broke.failure.type + broke.failure.message


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(kind: Kind) -> None:
    broke = await failure_of(kind(raising(asyncio.CancelledError())))
    assert (broke.outcome, broke.final) == (Outcome.FAILED, False)
    assert "CancelledError" in broke.failure.type + broke.failure.message


@pytest.mark.parametrize(("delay", "reason"), [(None, ""), (5.0, "not yet"), (0, "at once")])
async def test_a_handler_may_ask_for_another_try(kind: Kind, delay: float | None, reason: str) -> None:
    ended = await end_of(kind(raising(Retry(delay, reason))))
    assert ended == AskedAgain(delay, Failure("Retry", reason or "the handler asked for another try"))


async def test_a_handler_may_give_its_job_up(kind: Kind) -> None:
    assert await end_of(kind(raising(Discard("no such user")))) == Broke(Failure("Discard", "no such user"), final=True)


async def test_a_payload_that_does_not_fit_fails_for_good_before_the_handler_is_called() -> None:
    async def strict(_ctx: JobContext, *, count: int) -> int:
        raise AssertionError(f"called with {count}")

    broke = await failure_of(strict, payload='{"count":"three"}')
    assert broke.final
    assert broke.failure.type == "invalid_payload"
    assert "payload.count" in broke.failure.message


async def test_a_handler_that_refuses_its_input_itself_fails_for_good(kind: Kind) -> None:
    broke = await failure_of(kind(raising(InvalidInput.of("payload.url", "is no address"))))
    assert (broke.final, broke.failure.type) == (True, "invalid_payload")


async def test_a_handler_that_the_worker_does_not_have_any_more_is_a_failure_for_good() -> None:
    broke = await Bench().ended()
    assert isinstance(broke, Broke)
    assert broke.final


# ------------------------------------------------------------------------------------------------- ended from outside

ENDS = [
    (Ask.TIMEOUT, TIMED_OUT),
    (Ask.CANCEL, Cancelled()),
    (Ask.RELEASE, Released()),
    (Ask.DROP, Released()),
]


async def sleeping(_ctx: JobContext) -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize(("ask", "end"), ENDS, ids=str)
async def test_a_waiting_handler_is_ended_as_it_was_asked(ask: Ask, end: Any) -> None:
    trial = Bench().handle(sleeping).begin()
    await eventually(lambda: trial.entry.interrupt is not None)
    assert not trial.slot_is_free
    trial.end(ask)
    assert await trial.task == end
    assert trial.slot_is_free


@pytest.mark.parametrize("isolate", [False, True])
async def test_who_is_asked_to_end_before_it_began_never_begins(kind: Kind, isolate: bool) -> None:
    called: list[None] = []
    bench = Bench().handle(kind(lambda: called.append(None)), isolate=isolate)
    assert await bench.ended(ask=Ask.RELEASE) == Released()
    assert not called


async def test_a_handler_past_its_timeout_is_cancelled() -> None:
    assert await end_of(sleeping, limit=SHORT) == TIMED_OUT


async def test_a_cancelled_handler_has_the_time_to_clean_up() -> None:
    cleaned_up = asyncio.Event()

    async def tidy(_ctx: JobContext) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2 * SHORT)
            cleaned_up.set()

    trial = Bench().handle(tidy).begin(limit=SHORT)
    await eventually(lambda: trial.entry.ask is Ask.TIMEOUT)
    trial.end(Ask.CANCEL)
    assert not trial.slot_is_free
    assert await trial.task == TIMED_OUT
    assert cleaned_up.is_set()


async def swallow_and_return(_ctx: JobContext) -> str:
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    return "half of it"


async def answer_with_an_error(_ctx: JobContext) -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise RuntimeError("half done") from None


@pytest.mark.parametrize("handler", [swallow_and_return, answer_with_an_error])
@pytest.mark.parametrize(("ask", "end"), ENDS, ids=str)
async def test_once_asked_the_reason_decides_whatever_the_handler_makes_of_it(
    handler: Callable[..., Any], ask: Ask, end: Any
) -> None:
    trial = Bench().handle(handler).begin()
    await eventually(lambda: trial.entry.interrupt is not None)
    trial.end(ask)
    assert await trial.task == end


@pytest.mark.parametrize("ask", [Ask.RELEASE, Ask.DROP])
async def test_a_handler_that_goes_on_after_its_timeout_is_interrupted_again_when_it_must_end(ask: Ask) -> None:
    swallowed = asyncio.Event()

    async def deaf(_ctx: JobContext) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.sleep(60)

    trial = Bench().handle(deaf).begin(limit=SHORT)
    await swallowed.wait()
    trial.end(ask)
    assert await trial.task == (TIMED_OUT if ask is Ask.RELEASE else Released())


async def test_a_handler_sees_that_it_is_asked_to_end() -> None:
    seen: list[bool] = []

    async def watchful(ctx: JobContext) -> None:
        seen.append(ctx.cancelled)
        try:
            await asyncio.sleep(60)
        finally:
            seen.append(ctx.cancelled)
            await ctx.wait_cancelled()

    assert await end_of(watchful, limit=SHORT) == TIMED_OUT
    assert seen == [False, True]


async def test_an_own_time_limit_of_the_handler_is_its_own_matter() -> None:
    async def hasty(_ctx: JobContext) -> str:
        try:
            async with asyncio.timeout(SHORT):
                await asyncio.sleep(60)
        except TimeoutError:
            return "in time"
        return "never"

    assert await end_of(hasty) == Returned('"in time"')


async def test_the_task_that_records_the_end_is_not_cancelled_with_the_handler() -> None:
    trial = Bench().handle(sleeping).begin(limit=SHORT)
    await trial.task
    assert trial.task.cancelling() == 0


async def test_progress_goes_to_the_reporter_of_the_run() -> None:
    async def telling(ctx: JobContext) -> str:
        await ctx.progress(0.5, "half")
        return ctx.job_id

    trial = Bench().handle(telling).begin()
    assert await trial.task == Returned(f'"{trial.entry.reference.id}"')
    assert trial.reports.seen == [(0.5, "half")]
