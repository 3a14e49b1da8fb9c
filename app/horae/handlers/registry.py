"""Handlers under their names, and the decorator that puts them there."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import Unpack

from horae.handlers.options import Options, client_form
from horae.handlers.signature import Function, Signature, read_signature
from horae.runtime.config import NAME
from horae.store.base import HandlerInfo

F = TypeVar("F", bound=Function)
DEFAULT_QUEUE = "default"


@dataclass(frozen=True, slots=True)
class Handler:
    """A function under a name, with what its jobs take and how they run.

    `defaults` has the form that clients use. `is_async` False: it runs in a thread. `isolate`: in a process of its own.
    """

    name: str
    function: Function
    signature: Signature
    is_async: bool
    isolate: bool = False
    version: str = ""
    description: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema (2020-12) of the payload."""
        return self.signature.schema

    def validate(self, payload: str | Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments for `function`, from the payload or its JSON text.

        Raises:
            InvalidInput: it doesn't fit; one error for each wrong field, named from `payload` on.
        """
        return self.signature.validate(payload)

    def info(self) -> HandlerInfo:
        """What workers make known of it."""
        return HandlerInfo(self.name, self.schema, self.defaults, self.version, self.description)

    @property
    def place(self) -> str:
        """Where the function stands, for messages: file, line and name."""
        code = _innermost(self.function).__code__
        return f"{Path(code.co_filename).resolve()}:{code.co_firstlineno} ({_innermost(self.function).__qualname__})"


class Registry:
    """Handlers by name. It also closes what they share, such as connections."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def handler(
        self,
        name: str,
        *,
        isolate: bool = False,
        version: str = "",
        description: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[[F], F]:
        """Makes a function the handler of that name; the function itself stays as it is.

        Its first parameter is the context, the others are the fields of the payload. `isolate` runs each attempt in a
        process of its own. `description` is the docstring's first line unless given. See `Options` for the rest.

        Raises:
            TypeError: the function's signature or an annotation is unusable.
            ValueError: a name or an option is wrong, or another function has the name.
        """

        def decorate(function: F) -> F:
            self.add(define(name, function, options, isolate=isolate, version=version, description=description))
            return function

        return decorate

    def add(self, handler: Handler) -> None:
        """Adds a handler; one that stands in the same place (its module was imported again) replaces the first.

        Raises:
            ValueError: another function has the name.
        """
        known = self._handlers.get(handler.name)
        if known is not None and known.place != handler.place:
            raise ValueError(f"two functions are called {handler.name!r}: {known.place} and {handler.place}")
        self._handlers[handler.name] = handler

    def include(self, other: Registry) -> None:
        """Adds every handler of another registry.

        Raises:
            ValueError: another function has one of the names.
        """
        for handler in other:
            self.add(handler)

    def get(self, name: str) -> Handler | None:
        """The handler, or None."""
        return self._handlers.get(name)

    def __iter__(self) -> Iterator[Handler]:
        return iter(list(self._handlers.values()))

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._handlers))

    def queues(self) -> tuple[str, ...]:
        """The queues that handlers name, and `default`; sorted."""
        return tuple(sorted({DEFAULT_QUEUE, *(each.defaults.get("queue", DEFAULT_QUEUE) for each in self)}))

    def infos(self) -> list[HandlerInfo]:
        """What workers make known of them, by name."""
        return [self._handlers[name].info() for name in self.names()]

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Has `close` awaited when the process that runs the handlers ends."""
        self._closers.append(close)

    async def close(self) -> None:
        """Closes what handlers share, the last first."""
        async with AsyncExitStack() as stack:
            for close in self._closers:
                stack.push_async_callback(close)


def define(
    name: str,
    function: Function,
    options: Options | None = None,
    *,
    isolate: bool = False,
    version: str = "",
    description: str | None = None,
) -> Handler:
    """A handler from a function and its options.

    Raises:
        TypeError: the function's signature or an annotation is unusable.
        ValueError: the name or an option is wrong.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a handler name ({NAME.pattern})")
    try:
        return Handler(
            name=name,
            function=function,
            is_async=_is_async(function),
            signature=read_signature(function),
            isolate=isolate,
            version=version,
            description=_first_line(function) if description is None else description,
            defaults=client_form(options or {}),
        )
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"handler {name!r}: {error}") from error.__cause__


def _is_async(function: Function) -> bool:
    inner = _innermost(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise TypeError("a handler returns its result: it can't be a generator")
    if inspect.iscoroutinefunction(inner) and not inspect.iscoroutinefunction(function):
        raise TypeError(
            f"{inner.__qualname__} is async, but what is wrapped around it isn't: make the wrapper async too"
        )
    return inspect.iscoroutinefunction(function)


def _innermost(function: Function) -> Any:
    inner = inspect.unwrap(getattr(function, "__func__", function))
    if not inspect.isfunction(inner):
        raise TypeError(f"{function!r} is not a function: decorate a `def` or an `async def`")
    return inner


def _first_line(function: Function) -> str:
    lines = (inspect.getdoc(function) or "").strip().splitlines()
    return lines[0] if lines else ""


DEFAULT = Registry()
"""where the decorator puts handlers; a process has one because decorators run at import"""

handler = DEFAULT.handler
