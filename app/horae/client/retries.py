"""When a request is sent once more: pure, `None` means never."""

from __future__ import annotations

from dataclasses import dataclass

from horae.client.errors import ClientError, ConnectionFailed, ProblemError

_LATER = frozenset({502, 503, 504})
_LONGEST_REQUEST = 60.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is tried in all, and the pauses between: doubled each time, capped, with jitter.

    The default lasts about five seconds, enough for a rolling restart. `Retries(attempts=1)` never tries again.
    """

    attempts: int = 6
    base_seconds: float = 0.2
    max_seconds: float = 5.0

    def pause(self, error: ClientError, failures: int, chance: float, *, repeatable: bool) -> float | None:
        """Seconds to wait after the n-th failure of one request, or None to give up.

        A request that isn't `repeatable` is sent again only where it's certain that nothing was done. A server that
        asks for more than a minute (`Retry-After`) isn't waited for. `chance` in [0, 1) places the pause.
        """
        if failures >= self.attempts or not _worth_another(error, repeatable):
            return None
        asked = error.problem.retry_after if isinstance(error, ProblemError) else None
        if asked is not None:
            return asked + self.base_seconds * chance if asked <= _LONGEST_REQUEST else None
        return min(self.base_seconds * 2.0 ** (failures - 1), self.max_seconds) * (0.5 + chance / 2)


def _worth_another(error: ClientError, repeatable: bool) -> bool:
    match error:
        case ConnectionFailed():
            return repeatable or not error.sent
        case ProblemError():
            return error.status == 429 or (repeatable and error.status in _LATER)
        case _:
            return False
