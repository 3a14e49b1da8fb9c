"""What can go wrong in a call, as one tree.

* ClientError
  + ConnectionFailed        no answer came; `sent` says whether the request may have been carried out
  + BadAnswer               whatever answers at the URL isn't Horae's api
  + NotFinished             the job isn't final within the time that `wait` was given
  + ProblemError            the api refused: status, title, detail, errors, request_id
    - Invalid               400, 413, 415, 422: fields are wrong, `errors` names each
    - Unauthorized          401: no token, or not a good one
    - Forbidden             403: the token's role doesn't allow it
    - NotFound              404
    - Conflict              409: the state, an idempotency key or `expected_count` doesn't allow it
    - Stale                 412, 428: the job was changed since it was read
    - TooManyRequests       429
    - ServerFailed          500 and above
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from horae.domain.errors import FieldError, HoraeError
from horae.domain.job import FINAL, State


class ClientError(HoraeError):
    """The root of all errors of the client."""


class ConnectionFailed(ClientError):
    """No answer came. `sent` False is certain: nothing was asked of the api."""

    def __init__(self, url: str, reason: str, *, sent: bool) -> None:
        self.url, self.reason, self.sent = url, reason, sent
        super().__init__(f"no answer from {url} ({reason}): is `horae serve` running, and is HORAE_URL right?")


class BadAnswer(ClientError):
    """The answer isn't one that Horae's api gives: most often the URL is another server's."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"{url} doesn't answer as Horae's api does ({reason}): is HORAE_URL right?")


class NotFinished(ClientError, TimeoutError):
    """The time to wait is over, and the job goes on."""

    def __init__(self, job_id: str, state: State, seconds: float) -> None:
        self.job_id, self.state, self.seconds = job_id, state, seconds
        super().__init__(f"job {job_id} is {state} after {seconds:g} s, not one of {', '.join(sorted(FINAL))}")


@dataclass(frozen=True, slots=True)
class Problem:
    """An RFC 9457 answer. `type` is its stable name, `extra` the members that this client has no name for."""

    status: int
    title: str
    type: str = "about:blank"
    detail: str = ""
    errors: tuple[FieldError, ...] = ()
    request_id: str | None = None
    retry_after: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people: what it is, then each wrong field."""
        # The api's detail repeats the fields.
        first = self.title if self.errors or not self.detail else f"{self.title}: {self.detail}"
        return [first, *(f"{error.field}: {error.message}" for error in self.errors)]


class ProblemError(ClientError):
    """The api refused the request and said why."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"{problem.status} " + "; ".join(problem.lines()))

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def title(self) -> str:
        """What kind of problem it is."""
        return self.problem.title

    @property
    def detail(self) -> str:
        """What is wrong this time."""
        return self.problem.detail

    @property
    def errors(self) -> Sequence[FieldError]:
        """Every wrong field."""
        return self.problem.errors

    @property
    def request_id(self) -> str | None:
        """What the server's log calls this request."""
        return self.problem.request_id


class Invalid(ProblemError):
    """Fields of the request are wrong."""


class Unauthorized(ProblemError):
    """No token, or not a good one."""


class Forbidden(ProblemError):
    """The token's role doesn't allow it."""


class NotFound(ProblemError):
    """No such thing in this namespace."""


class Conflict(ProblemError):
    """The present state doesn't allow it."""


class Stale(ProblemError):
    """The job was changed since it was read."""


class TooManyRequests(ProblemError):
    """Later, please."""


class ServerFailed(ProblemError):
    """The server, or one that it needs, has a problem of its own."""


_BY_STATUS: Mapping[int, type[ProblemError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Stale,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    428: Stale,
    429: TooManyRequests,
}


def problem_error(problem: Problem) -> ProblemError:
    """The error of the class that fits the status."""
    kind = ServerFailed if problem.status >= 500 else _BY_STATUS.get(problem.status, ProblemError)
    return kind(problem)
