"""Settings: environment variables `HORAE_…`, checked once at start. Each error is one line that names the setting."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from horae.domain.errors import SettingsError

Role = Literal["api", "scheduler", "worker", "all"]
LogFormat = Literal["console", "json"]
ROLES: tuple[Role, ...] = ("api", "scheduler", "worker", "all")

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_RETENTION = 36_500 * 86_400
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _retention(value: object) -> object:
    """`7d` and its kin as a timedelta, `never` as None."""
    if not isinstance(value, str):
        return value
    if value == "never":
        return None
    match = re.fullmatch(r"([0-9]{1,12})([smhd])", value)
    seconds = int(match[1]) * _UNITS[match[2]] if match else _LONGEST_RETENTION + 1
    if seconds > _LONGEST_RETENTION:
        raise ValueError("must be a number with s, m, h or d, such as 7d, of at most a century, or never")
    return timedelta(seconds=seconds)


def _roles(value: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [role for role in value if role not in ROLES]
    if wrong or not value:
        raise ValueError(f"must name roles of {', '.join(ROLES)}")
    return value


def _names(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a queue name ([a-z0-9][a-z0-9._-]{{0,63}})")
    return value


def _level(value: str) -> str:
    if value.lower() not in ("debug", "info", "warning", "error", "critical"):
        raise ValueError("must be debug, info, warning, error or critical")
    return value.lower()


def _secret_url(*schemes: str) -> AfterValidator:
    def check(value: SecretStr) -> SecretStr:
        scheme = value.get_secret_value().partition(":")[0]
        if value.get_secret_value() and scheme not in schemes:
            raise ValueError(f"must begin with {' or '.join(f'{s}://' for s in schemes)}")
        return value

    return AfterValidator(check)


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Retention = Annotated[timedelta | None, NoDecode, BeforeValidator(_retention)]


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(env_prefix="HORAE_", extra="ignore", frozen=True, populate_by_name=True)

    role: Annotated[Words, AfterValidator(_roles)] = ("all",)
    database_url: Annotated[SecretStr, _secret_url("sqlite", "mysql")] = SecretStr("sqlite:///horae.db")
    broker_url: Annotated[SecretStr, _secret_url("memory", "amqp", "amqps")] = SecretStr("memory://")
    redis_url: Annotated[SecretStr, _secret_url("redis", "rediss")] = SecretStr("")
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    health_port: int | None = Field(None, ge=0, le=65535)
    handlers: Words = ()
    queues: Annotated[Words, AfterValidator(_names)] = ()
    concurrency: int = Field(100, ge=1, le=10_000)
    lease_seconds: float = Field(15.0, ge=1, le=3600)
    dispatch_lease_seconds: float = Field(15.0, ge=1, le=300)
    drain_seconds: float = Field(30.0, ge=0, le=86_400)
    retention_success: Retention = timedelta(days=7)
    retention_failed: Retention = timedelta(days=30)
    retention_ledger: Retention = timedelta(days=90)
    retry_window: int = Field(1000, ge=0, le=1_000_000)
    blocked_seconds: float = Field(60.0, ge=1, le=86_400)
    http_allow: Words = ()
    log_format: LogFormat | None = None
    log_level: Annotated[str, AfterValidator(_level)] = "info"

    @model_validator(mode="after")
    def _pairs(self) -> Settings:
        if self.embedded != self.broker_url.get_secret_value().startswith("memory:"):
            raise ValueError(
                "HORAE_DATABASE_URL and HORAE_BROKER_URL don't go together: use sqlite:// with memory://, "
                "or mysql:// with amqp://"
            )
        if self.embedded and self.roles != frozenset({"api", "scheduler", "worker"}):
            raise ValueError("HORAE_BROKER_URL=memory:// works only with HORAE_ROLE=all")
        if "api" in self.roles and self.host not in _LOOPBACK:
            raise ValueError(
                f"HORAE_HOST={self.host} is refused: without authentication the api listens on loopback only "
                "(127.0.0.1, ::1 or localhost)"
            )
        return self

    @property
    def embedded(self) -> bool:
        """Whether everything lives in this one process."""
        return self.database_url.get_secret_value().startswith("sqlite:")

    @property
    def roles(self) -> frozenset[str]:
        """The roles to run, `all` spelled out."""
        return frozenset({"api", "scheduler", "worker"}) if "all" in self.role else frozenset(self.role)


def load_settings(**overrides: Any) -> Settings:
    """Reads the environment; values of `overrides` that are not None win.

    Raises:
        SettingsError: a value doesn't parse, or two don't go together. Values are never part of the message where
            they may hold a secret.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    return f"HORAE_{str(first['loc'][0]).upper()} {message}" if first["loc"] else message
