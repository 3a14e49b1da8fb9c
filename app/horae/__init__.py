"""Horae: a distributed job scheduler. What users import stands here, loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from horae.client import Client, SyncClient
    from horae.handlers import Discard, JobContext, Retry, ThreadJobContext, handler

__all__ = ["Client", "Discard", "JobContext", "Retry", "SyncClient", "ThreadJobContext", "handler"]

__version__ = "0.1.0"

_HOMES = {
    "Client": "horae.client",
    "SyncClient": "horae.client",
    "Discard": "horae.handlers",
    "JobContext": "horae.handlers",
    "Retry": "horae.handlers",
    "ThreadJobContext": "horae.handlers",
    "handler": "horae.handlers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'horae' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
