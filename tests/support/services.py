"""Addresses of real servers: missing at home they skip a test, in CI they fail it."""

from __future__ import annotations

import os

import pytest


def address(name: str) -> str:
    """The address in the environment variable; the test is over if there is none."""
    value = os.environ.get(name)
    if value:
        return value
    reason = f"{name} is not set: scripts/services up, scripts/services env"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
