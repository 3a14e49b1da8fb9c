from __future__ import annotations

import pytest

from horae.client import BadAnswer, ClientError, ConnectionFailed, Problem, Retries
from horae.client.errors import problem_error

LOST = ConnectionFailed("http://x", "gone", sent=True)
REFUSED = ConnectionFailed("http://x", "connection refused", sent=False)


def answered(status: int, retry_after: float | None = None) -> ClientError:
    return problem_error(Problem(status, "title", retry_after=retry_after))


@pytest.mark.parametrize(
    ("error", "when_repeatable", "otherwise"),
    [
        (LOST, True, False),
        (REFUSED, True, True),
        (answered(429), True, True),
        (answered(502), True, False),
        (answered(503), True, False),
        (answered(504), True, False),
        (answered(500), False, False),
        (answered(404), False, False),
        (answered(409), False, False),
        (BadAnswer("http://x", "no"), False, False),
    ],
    ids=lambda value: str(value) if isinstance(value, Exception) else None,
)
def test_only_what_cannot_be_done_twice_is_sent_again(
    error: ClientError, when_repeatable: bool, otherwise: bool
) -> None:
    policy = Retries()
    assert (policy.pause(error, 1, 0.5, repeatable=True) is not None) is when_repeatable
    assert (policy.pause(error, 1, 0.5, repeatable=False) is not None) is otherwise


def test_the_pauses_double_up_to_the_cap_within_their_jitter() -> None:
    policy = Retries(attempts=10, base_seconds=1, max_seconds=5)
    shortest = [policy.pause(LOST, n, 0.0, repeatable=True) for n in range(1, 6)]
    longest = [policy.pause(LOST, n, 1.0, repeatable=True) for n in range(1, 6)]
    assert shortest == [0.5, 1, 2, 2.5, 2.5]
    assert longest == [1, 2, 4, 5, 5]


def test_the_last_attempt_is_the_last() -> None:
    policy = Retries(attempts=3)
    assert policy.pause(LOST, 2, 0.5, repeatable=True) is not None
    assert policy.pause(LOST, 3, 0.5, repeatable=True) is None


def test_the_server_says_how_long_to_wait_unless_it_asks_too_much() -> None:
    policy = Retries(base_seconds=0.2)
    assert policy.pause(answered(503, retry_after=7), 1, 0.0, repeatable=True) == 7
    assert policy.pause(answered(503, retry_after=7), 1, 1.0, repeatable=True) == pytest.approx(7.2)
    assert policy.pause(answered(503, retry_after=3600), 1, 0.0, repeatable=True) is None
