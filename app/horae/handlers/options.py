"""What a handler may ask for its jobs, checked when it is decorated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from horae.domain.retry import Backoff, Kind
from horae.runtime.config import NAME

PriorityName = Literal["critical", "high", "normal", "low"]
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 0.001, 7 * 86400


class Options(TypedDict, total=False):
    """Defaults of a handler's jobs: the job's own fields win over them, they win over the global ones."""

    queue: str | None
    priority: PriorityName | None
    max_retries: int | None
    """0 to 100"""
    backoff: Backoff | Mapping[str, Any] | None
    """a mapping has the form that clients use; what it leaves out takes its default"""
    timeout: float | timedelta | None
    """seconds, of one attempt; at most 7 days"""


def client_form(options: Options) -> dict[str, Any]:
    """The options as `HandlerInfo.defaults` holds them: only those given, a backoff with all its fields.

    Raises:
        ValueError: one of them is wrong; the message names it.
    """
    given = {name: _plain(value) for name, value in options.items() if value is not None}
    try:
        checked: dict[str, Any] = _CHECKER.validate_python(given, strict=True)
    except ValidationError as error:
        raise ValueError(_one_line(error)) from None
    if "timeout" in checked:
        checked["timeout_seconds"] = checked.pop("timeout")
    if "backoff" in checked:
        checked["backoff"] = asdict(Backoff(**checked["backoff"]))
    return checked


_Seconds = Annotated[float, Field(ge=0, le=365 * 86400)]


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
class _CheckedBackoff(TypedDict, total=False):
    kind: Kind
    base_seconds: _Seconds
    factor: Annotated[float, Field(ge=1, le=1000)]
    max_seconds: _Seconds
    jitter: Annotated[float, Field(ge=0, le=1)]


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
class _CheckedOptions(TypedDict, total=False):
    queue: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    priority: PriorityName
    max_retries: Annotated[int, Field(ge=0, le=100)]
    backoff: _CheckedBackoff
    timeout: Annotated[float, Field(ge=SHORTEST_TIMEOUT, le=LONGEST_TIMEOUT)]


_CHECKER: TypeAdapter[Any] = TypeAdapter(_CheckedOptions)


def _plain(value: object) -> object:
    match value:
        case timedelta():
            return value.total_seconds()
        case Backoff():
            return asdict(value)
    return value


def _one_line(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in found)
