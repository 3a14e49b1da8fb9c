from __future__ import annotations

import functools
import runpy
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import horae
from horae.domain.errors import InvalidInput
from horae.domain.retry import Backoff
from horae.domain.template import understood
from horae.handlers import JobContext, Registry
from horae.handlers.registry import DEFAULT
from horae.store.base import HandlerInfo
from tests.handlers.contexts import FACTS, context


def a_plain_handler(ctx: JobContext) -> None: ...
def another_handler(ctx: JobContext) -> None: ...
async def an_async_handler(ctx: JobContext) -> None: ...


@pytest.fixture
def registry() -> Registry:
    return Registry()


async def test_a_decorated_function_stays_as_it_was(registry: Registry) -> None:
    async def send(ctx: JobContext, *, to: str) -> str:
        return f"{ctx.attempt} {to}"

    decorated = registry.handler("mail.send")(send)
    assert decorated is send
    assert await decorated(context(), to="x") == "2 x"


def test_what_workers_make_known(registry: Registry) -> None:
    @registry.handler(
        "mail.send", queue="mail", priority="high", max_retries=5, backoff={"kind": "fixed"}, timeout=30, version="7"
    )
    async def send(ctx: JobContext, *, to: str) -> None:
        """Sends a mail.

        And more.
        """

    assert registry.infos() == [
        HandlerInfo(
            name="mail.send",
            schema={
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {"to": {"title": "To", "type": "string"}},
                "required": ["to"],
                "additionalProperties": False,
            },
            defaults={
                "queue": "mail",
                "priority": "high",
                "max_retries": 5,
                "backoff": {"kind": "fixed", "base_seconds": 1.0, "factor": 2.0, "max_seconds": 3600.0, "jitter": 0.1},
                "timeout_seconds": 30.0,
            },
            version="7",
            description="Sends a mail.",
        )
    ]


def test_nothing_asked_for_is_no_default(registry: Registry) -> None:
    @registry.handler("plain", description="own words")
    def plain(ctx: JobContext) -> None: ...

    assert registry.infos()[0].defaults == {}
    assert registry.infos()[0].description == "own words"


@pytest.mark.parametrize(
    ("options", "defaults"),
    [
        ({"timeout": timedelta(minutes=1)}, {"timeout_seconds": 60.0}),
        ({"timeout": 0.5}, {"timeout_seconds": 0.5}),
        ({"queue": None, "max_retries": None}, {}),
        ({"max_retries": 0}, {"max_retries": 0}),
        (
            {"backoff": Backoff("linear", 2, jitter=0)},
            {"backoff": {"kind": "linear", "base_seconds": 2, "factor": 2.0, "max_seconds": 3600.0, "jitter": 0}},
        ),
    ],
)
def test_options_in_clients_form(registry: Registry, options: Any, defaults: dict[str, Any]) -> None:
    registry.handler("plain", **options)(a_plain_handler)
    assert registry.infos()[0].defaults == defaults


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"queue": "Mail"}, "queue"),
        ({"queue": "a\n"}, "queue"),
        ({"priority": "urgent"}, "priority"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 101}, "max_retries"),
        ({"max_retries": "3"}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": timedelta(days=8)}, "timeout"),
        ({"backoff": {"kind": "quadratic"}}, "backoff.kind"),
        ({"backoff": {"base": 3}}, "backoff.base"),
        ({"backoff": {"jitter": 2}}, "backoff.jitter"),
        ({"backoff": Backoff(factor=0.5)}, "backoff.factor"),
        ({"backoff": Backoff(base_seconds=-1)}, "backoff.base_seconds"),
        ({"retries": 3}, "retries"),
    ],
)
def test_wrong_options_are_named(registry: Registry, options: Any, named: str) -> None:
    with pytest.raises(ValueError, match=f"^handler 'plain': {named}: "):
        registry.handler("plain", **options)(a_plain_handler)
    assert registry.names() == ()


@pytest.mark.parametrize(
    "options",
    [
        {"queue": "a" * 64, "priority": "critical", "max_retries": 100, "timeout": timedelta(days=7)},
        {"timeout": 0.001, "backoff": Backoff("exponential", 365 * 86400, 1000, 365 * 86400, 1)},
        {"backoff": {"kind": "linear", "base_seconds": 0, "factor": 1, "max_seconds": 0, "jitter": 0}},
    ],
)
def test_the_api_understands_every_option(registry: Registry, options: Any) -> None:
    registry.handler("plain", **options)(a_plain_handler)
    defaults = registry.infos()[0].defaults
    assert understood(defaults).keys() == defaults.keys()


@pytest.mark.parametrize("name", ["", "Mail", "-a", ".a", "a b", "a\n", "ä", "a" * 65, "a/b"])
def test_names_that_are_none(registry: Registry, name: str) -> None:
    with pytest.raises(ValueError, match="is not a handler name"):
        registry.handler(name)(a_plain_handler)


@pytest.mark.parametrize("name", ["a", "0", "a.b-c_d", "a" * 64])
def test_names(registry: Registry, name: str) -> None:
    registry.handler(name)(a_plain_handler)
    found = registry.get(name)
    assert found is not None
    assert found.name == name


def test_queues_are_those_named_and_default(registry: Registry) -> None:
    assert registry.queues() == ("default",)
    registry.handler("b", queue="mail")(a_plain_handler)
    registry.handler("a", queue="big")(a_plain_handler)
    assert registry.queues() == ("big", "default", "mail")
    assert registry.names() == ("a", "b")
    assert registry.get("c") is None


def test_validate_names_the_wrong_fields(registry: Registry) -> None:
    @registry.handler("pay")
    def pay(ctx: JobContext, *, to: str, cents: int) -> None: ...

    found = registry.get("pay")
    assert found is not None
    assert found.validate('{"to": "x", "cents": 5}') == {"to": "x", "cents": 5}
    assert found.validate({"to": "x", "cents": 5}) == {"to": "x", "cents": 5}
    with pytest.raises(InvalidInput) as caught:
        found.validate("{}")
    assert [each.field for each in caught.value.errors] == ["payload.to", "payload.cents"]


# ------------------------------------------------------------------------------------------------------- two of a name


def test_two_functions_of_one_name_say_where_they_stand(registry: Registry) -> None:
    registry.handler("a")(a_plain_handler)
    with pytest.raises(ValueError, match=r"two functions are called 'a': \S+test_registry.py:\d+ .* and \S+:\d+ "):
        registry.handler("a")(another_handler)


def test_two_functions_of_one_name_in_one_file(registry: Registry) -> None:
    def make() -> list[Callable[..., None]]:
        def same(ctx: JobContext) -> None: ...

        first = same

        def same(ctx: JobContext) -> None: ...  # type: ignore[no-redef]

        return [first, same]

    first, second = make()
    registry.handler("a")(first)
    with pytest.raises(ValueError, match="two functions are called 'a'"):
        registry.handler("a")(second)


def test_a_module_may_be_imported_twice(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "twice.py"
    path.write_text("def work(ctx, *, number: int): return number\n")
    first, second = runpy.run_path(str(path))["work"], runpy.run_path(str(path))["work"]
    registry.handler("work")(first)
    registry.handler("work")(second)
    found = registry.get("work")
    assert found is not None
    assert found.function is second
    assert first is not second


def test_include(registry: Registry) -> None:
    other = Registry()
    other.handler("a")(a_plain_handler)
    registry.include(other)
    registry.include(other)
    assert registry.names() == ("a",)
    assert [each.name for each in registry] == ["a"]
    other.handler("b")(a_plain_handler)
    registry.handler("b")(another_handler)
    with pytest.raises(ValueError, match="two functions are called 'b'"):
        registry.include(other)


# ------------------------------------------------------------------------------------------------- kinds of functions


def transparent(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return wrapper


def a_generator(ctx: JobContext) -> Iterator[int]:
    yield 1


async def an_async_generator(ctx: JobContext) -> AsyncIterator[int]:
    yield 1


class Shop:
    async def sell(self, ctx: JobContext, *, item: str) -> str:
        return f"{ctx.job_id} {item}"

    def __call__(self, ctx: JobContext) -> None: ...


def test_async_and_plain(registry: Registry) -> None:
    registry.handler("a", isolate=True)(an_async_handler)
    registry.handler("b")(a_plain_handler)
    registry.handler("c")(transparent(a_plain_handler))
    assert [(each.is_async, each.isolate) for each in registry] == [(True, True), (False, False), (False, False)]


async def test_bound_methods(registry: Registry) -> None:
    registry.handler("sell")(Shop().sell)
    found = registry.get("sell")
    assert found is not None
    assert found.is_async
    assert await found.function(context(), **found.validate({"item": "x"})) == f"{FACTS.job_id} x"


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (a_generator, "can't be a generator"),
        (an_async_generator, "can't be a generator"),
        (transparent(an_async_handler), "make the wrapper async too"),
        (Shop(), "is not a function"),
        (Shop, "is not a function"),
        (functools.partial(a_plain_handler), "is not a function"),
        (len, "is not a function"),
        (5, "is not a function"),
    ],
)
def test_what_can_t_be_a_handler(registry: Registry, function: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=f"^handler 'a': .*{advice}"):
        registry.handler("a")(function)


# ---------------------------------------------------------------------------------------------------------- the rest


async def test_what_handlers_share_is_closed(registry: Registry) -> None:
    closed: list[str] = []

    async def close_first() -> None:
        closed.append("first")

    async def close_second() -> None:
        closed.append("second")

    registry.on_close(close_first)
    registry.on_close(close_second)
    await registry.close()
    assert closed == ["second", "first"]


def test_the_public_decorator_adds_to_the_default_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEFAULT, "_handlers", {})

    @horae.handler("public")
    def public(ctx: horae.JobContext) -> None: ...

    found = DEFAULT.get("public")
    assert found is not None
    assert found.function is public
