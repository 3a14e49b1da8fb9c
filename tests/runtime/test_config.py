"""Settings: what the environment may say, and the one line that tells what it may not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from horae.domain.errors import SettingsError
from horae.runtime.config import Settings, load_settings

EMBEDDED = {"HORAE_DATABASE_URL": "sqlite:///horae.db", "HORAE_BROKER_URL": "memory://"}
SERVERS = {"HORAE_DATABASE_URL": "mysql://u:hunter2@db/horae", "HORAE_BROKER_URL": "amqp://u:hunter2@mq/horae"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HORAE_{name.upper()}", raising=False)


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_without_any_setting_everything_runs_in_one_process() -> None:
    settings = load_settings()
    assert settings.embedded
    assert settings.roles == {"api", "scheduler", "worker"}
    assert (settings.host, settings.port, settings.health_port) == ("127.0.0.1", 8080, None)
    assert (settings.concurrency, settings.queues, settings.handlers) == (100, (), ())
    assert (settings.lease_seconds, settings.dispatch_lease_seconds, settings.drain_seconds) == (15, 15, 30)
    retentions = (settings.retention_success, settings.retention_failed, settings.retention_ledger)
    assert retentions == (timedelta(days=7), timedelta(days=30), timedelta(days=90))
    assert (settings.retry_window, settings.blocked_seconds) == (1000, 60)
    assert settings.redis_url.get_secret_value() == ""


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("HORAE_HANDLERS", "jobs, ./more.py ,", "handlers", ("jobs", "./more.py")),
        ("HORAE_QUEUES", "mail,default", "queues", ("mail", "default")),
        ("HORAE_PORT", "0", "port", 0),
        ("HORAE_HEALTH_PORT", "0", "health_port", 0),
        ("HORAE_CONCURRENCY", "7", "concurrency", 7),
        ("HORAE_LEASE_SECONDS", "2.5", "lease_seconds", 2.5),
        ("HORAE_RETENTION_SUCCESS", "90s", "retention_success", timedelta(seconds=90)),
        ("HORAE_RETENTION_SUCCESS", "15m", "retention_success", timedelta(minutes=15)),
        ("HORAE_RETENTION_SUCCESS", "0h", "retention_success", timedelta(0)),
        ("HORAE_RETENTION_FAILED", "365d", "retention_failed", timedelta(days=365)),
        ("HORAE_RETENTION_FAILED", "never", "retention_failed", None),
        ("HORAE_RETENTION_LEDGER", "400d", "retention_ledger", timedelta(days=400)),
        ("HORAE_RETENTION_LEDGER", "never", "retention_ledger", None),
        ("HORAE_LOG_FORMAT", "json", "log_format", "json"),
        ("HORAE_LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("HORAE_HOST", "localhost", "host", "localhost"),
        ("HORAE_HOST", "::1", "host", "::1"),
    ],
)
def test_a_setting_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, expected: object
) -> None:
    assert getattr(load(monkeypatch, **{name: value}), field) == expected


@pytest.mark.parametrize(
    ("value", "roles"),
    [("api", {"api"}), ("api, worker", {"api", "worker"}), ("all", {"api", "scheduler", "worker"})],
)
def test_roles_may_be_joined(monkeypatch: pytest.MonkeyPatch, value: str, roles: set[str]) -> None:
    assert load(monkeypatch, **SERVERS, HORAE_ROLE=value).roles == roles


def test_what_a_command_line_names_wins_and_what_it_leaves_out_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORAE_PORT", "9000")
    assert load_settings(port=None).port == 9000
    assert load_settings(port=9001).port == 9001
    assert load_settings(queues="mail,slow").queues == ("mail", "slow")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HORAE_ROLE", "boss"),
        ("HORAE_ROLE", ""),
        ("HORAE_ROLE", "api,boss"),
        ("HORAE_DATABASE_URL", "postgres://u:hunter2@db/horae"),
        ("HORAE_DATABASE_URL", "hunter2"),
        ("HORAE_DATABASE_URL", ""),
        ("HORAE_BROKER_URL", "kafka://u:hunter2@mq"),
        ("HORAE_BROKER_URL", "amqp://u:hunter2@["),
        ("HORAE_BROKER_URL", ""),
        ("HORAE_REDIS_URL", "http://u:hunter2@redis"),
        ("HORAE_PORT", "http"),
        ("HORAE_PORT", "65536"),
        ("HORAE_PORT", "-1"),
        ("HORAE_HEALTH_PORT", "70000"),
        ("HORAE_QUEUES", "Mail"),
        ("HORAE_QUEUES", "mail,a b"),
        ("HORAE_CONCURRENCY", "0"),
        ("HORAE_LEASE_SECONDS", "0"),
        ("HORAE_LEASE_SECONDS", "nan"),
        ("HORAE_LEASE_SECONDS", "inf"),
        ("HORAE_DISPATCH_LEASE_SECONDS", "301"),
        ("HORAE_DRAIN_SECONDS", "-1"),
        ("HORAE_RETENTION_SUCCESS", "7"),
        ("HORAE_RETENTION_SUCCESS", "-7d"),
        ("HORAE_RETENTION_SUCCESS", "7 d"),
        ("HORAE_RETENTION_SUCCESS", "٧d"),
        ("HORAE_RETENTION_FAILED", "99999999999999d"),
        ("HORAE_RETENTION_FAILED", ""),
        ("HORAE_RETENTION_LEDGER", "ever"),
        ("HORAE_RETRY_WINDOW", "-1"),
        ("HORAE_BLOCKED_SECONDS", "0"),
        ("HORAE_LOG_FORMAT", "xml"),
        ("HORAE_LOG_LEVEL", "loud"),
        ("HORAE_HOST", "0.0.0.0"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, **{name: value})
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    assert "hunter2" not in message
    assert caught.value.__cause__ is None, "the cause may hold the value"


@pytest.mark.parametrize(
    "environment",
    [
        {"HORAE_DATABASE_URL": SERVERS["HORAE_DATABASE_URL"]},
        {"HORAE_BROKER_URL": SERVERS["HORAE_BROKER_URL"]},
        {**EMBEDDED, "HORAE_ROLE": "api"},
        {**EMBEDDED, "HORAE_ROLE": "scheduler,worker"},
    ],
)
def test_backends_and_roles_that_do_not_go_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, **environment)
    assert "HORAE_" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_all_three_roles_named_one_by_one_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, **EMBEDDED, HORAE_ROLE="worker,api,scheduler").embedded


def test_only_the_api_must_listen_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, **SERVERS, HORAE_ROLE="worker", HORAE_HOST="10.0.0.1").host == "10.0.0.1"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **SERVERS, HORAE_REDIS_URL="redis://:hunter2@redis/0")
    shown: list[Any] = [repr(settings), str(settings), settings.model_dump(), settings.model_dump_json()]
    assert "hunter2" not in str(shown)
    assert "hunter2" in settings.database_url.get_secret_value()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        setattr(load_settings(), "port", 1)  # noqa: B010 - mypy knows that it is frozen
