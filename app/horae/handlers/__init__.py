"""What users import to write handlers, and the handlers that Horae brings along.

A handler is a plain function under a name, so it can be called and tested as it is. What its payload must look like is
read off its signature once; the api checks submissions by the JSON schema made of it, without the user's code, and the
worker checks again by the signature itself before it runs the function.
"""

from __future__ import annotations

from horae.handlers.context import JobContext, ThreadJobContext
from horae.handlers.outcome import Discard, Retry
from horae.handlers.registry import Handler, Registry, handler

__all__ = ["Discard", "Handler", "JobContext", "Registry", "Retry", "ThreadJobContext", "handler"]
