"""Real ports that fail, lose an answer or keep it back when a test says so."""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

P = TypeVar("P")
Call = Callable[[], Awaitable[Any]]
Fault = Callable[[Call], Awaitable[Any]]
Logs: TypeAlias = list[MutableMapping[str, Any]]
"""what was logged, in its order"""


class Held:
    """A call that was made, and whose answer is kept back until `release`; then it is `error`, if one is given."""

    def __init__(self, error: BaseException | None) -> None:
        self.made = asyncio.Event()
        self._released = asyncio.Event()
        self._error = error

    def release(self) -> None:
        self._released.set()

    async def __call__(self, call: Call) -> Any:
        answer = await call()
        self.made.set()
        await self._released.wait()
        if self._error is not None:
            raise self._error
        return answer


class Faults:
    """What goes wrong at a port, method by method, once each; what isn't planned works."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._planned: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def around(self, port: P) -> P:
        """The port with these faults."""
        return cast("P", _Around(port, self))

    def refuse(self, method: str, *errors: BaseException) -> None:
        """The next calls raise these errors and do nothing."""

        async def refused(_call: Call, error: BaseException) -> None:
            raise error

        self._planned[method] += [partial(refused, error=error) for error in errors]

    def lose(self, method: str, *errors: BaseException) -> None:
        """The next calls are made; these errors are raised in place of their answers."""

        async def lost(call: Call, error: BaseException) -> None:
            await call()
            raise error

        self._planned[method] += [partial(lost, error=error) for error in errors]

    def answer(self, method: str, *answers: Any) -> None:
        """The next calls answer this and do nothing."""

        async def answered(_call: Call, answer: Any) -> Any:
            return answer

        self._planned[method] += [partial(answered, answer=answer) for answer in answers]

    def hold(self, method: str, error: BaseException | None = None) -> Held:
        """The answer to the next call is kept back, and lost if an error is given."""
        held = Held(error)
        self._planned[method].append(held)
        return held

    def count(self, method: str) -> int:
        """How often it was called."""
        return self.calls.count(method)

    async def call(self, method: str, call: Call) -> Any:
        self.calls.append(method)
        planned = self._planned[method]
        return await (planned.popleft()(call) if planned else call())


class _Around:
    def __init__(self, port: Any, faults: Faults) -> None:
        self._port, self._faults = port, faults

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._port, name)
        if not inspect.iscoroutinefunction(real):
            return real
        return lambda *args, **fields: self._faults.call(name, partial(real, *args, **fields))
