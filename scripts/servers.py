"""The three private servers of `scripts/services`: what each writes, how it is started, asked, emptied and ended."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAME = "horae"  # of the database, the vhost and their user
START_SECONDS = 60
STOP_SECONDS = 30
POLL_SECONDS = 0.05
SEARCH_PATH = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


class Failure(Exception):
    """Something that the caller has to know or do, in one line."""


# --- processes ------------------------------------------------------------------------------------------------------


def started_at(pid: int) -> str | None:
    """When a process began, in clock ticks since boot; None once it is gone. With the pid it names one process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


@dataclass(frozen=True)
class Process:
    """A process that survives this one, remembered in a file so that a recycled pid is never taken for it."""

    file: Path

    def spawn(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        with log.open("ab") as output:
            child = subprocess.Popen(
                command,
                cwd=log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.file.write_text(f"{child.pid} {started_at(child.pid)}")

    @property
    def pid(self) -> int | None:
        try:
            pid, began = self.file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if started_at(int(pid)) == began else None

    def end(self, how: signal.Signals, limit: float = STOP_SECONDS) -> None:
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        deadline = time.monotonic() + limit
        while self.pid and time.monotonic() < deadline:
            time.sleep(0.01)
        if self.pid and how is not signal.SIGKILL:
            self.end(signal.SIGKILL)


def descendants(folder: Path) -> Iterator[int]:
    """Every process that inherited the environment of this instance's servers, whoever started it."""
    mark = f"HORAE_SERVICES_FOLDER={folder}".encode()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


# --- the three servers ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instance:
    """What is remembered between two calls."""

    folder: str
    ports: dict[str, int]
    password: str


class Server:
    """One server of an instance, in a folder of its own."""

    name: str
    title: str
    package: str
    programs: tuple[str, ...]

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.folder = Path(instance.folder) / self.name
        self.log = self.folder / "output.log"
        self.port = instance.ports[self.name]
        self.process = Process(self.folder / "process")

    @classmethod
    def installed(cls) -> bool:
        return all(shutil.which(name, path=SEARCH_PATH) for name in cls.programs)

    def create(self) -> None:
        """Write what the first start needs."""
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def version(self) -> str:
        """Asked of the running server, so it is its readiness too: OSError while it can't answer."""
        raise NotImplementedError

    def empty(self) -> None:
        raise NotImplementedError

    def url(self) -> str:
        raise NotImplementedError

    def variables(self) -> dict[str, str]:
        return {}

    def environment(self) -> dict[str, str]:
        foreign = ("RABBITMQ_", "ERL_", "MYSQL_", "MARIADB_", "NOTIFY_SOCKET")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {**kept, "HOME": str(self.folder), "HORAE_SERVICES_FOLDER": self.instance.folder, **self.variables()}

    def start(self) -> str:
        """Start it unless it runs, and return its version as soon as it answers."""
        if not self.process.pid:
            self.process.spawn(self.command(), self.environment(), self.log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.version()
            except OSError:
                if not self.process.pid:
                    raise self.failure("ended while starting") from None
                if time.monotonic() > deadline:
                    raise self.failure(f"doesn't answer on port {self.port} after {START_SECONDS} s") from None
            time.sleep(POLL_SECONDS)

    def failure(self, what: str) -> Failure:
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing was logged")
        return Failure(f"{self.title} {what} ({last[:200]}); see {self.log}, then run scripts/services up")

    def run(self, *command: str, environment: dict[str, str] | None = None) -> None:
        """Run one of its tools to the end."""
        call, tool = {**self.environment(), **(environment or {})}, Path(command[0]).name
        with self.log.open("ab") as log:
            try:
                subprocess.run(
                    command,
                    env=call,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    timeout=START_SECONDS,
                    check=True,
                )
            except subprocess.TimeoutExpired:
                raise self.failure(f"is stuck in {tool}") from None
            except subprocess.CalledProcessError:
                raise self.failure(f"failed in {tool}") from None


class MariaDB(Server):
    """With the durability of production: every commit is on disk before it is confirmed."""

    name, title, package = "db", "MariaDB", "mariadb-server"
    programs = ("mariadbd", "mariadb-install-db", "mariadb")

    def create(self) -> None:
        self.run(
            program("mariadb-install-db"),
            "--no-defaults",
            f"--user={user_name()}",
            f"--datadir={self.folder / 'data'}",
            "--auth-root-authentication-method=socket",
            "--skip-test-db",
        )
        (self.folder / "init.sql").write_text(
            f"CREATE DATABASE IF NOT EXISTS {NAME} CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS {NAME}@'%' IDENTIFIED BY '{self.instance.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {NAME}@'%';\n"
        )

    def command(self) -> list[str]:
        return [
            program("mariadbd"),
            "--no-defaults",
            f"--user={user_name()}",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--init-file={self.folder / 'init.sql'}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=256M",
            "--max-connections=500",
        ]

    def version(self) -> str:
        return found(rb"^....\x0a(?:5\.5\.5-)?([\d.]+)", ask(self.port, b""))

    def empty(self) -> None:
        sql = f"DROP DATABASE IF EXISTS {NAME}; CREATE DATABASE {NAME} CHARACTER SET utf8mb4"
        place = ("--host=127.0.0.1", f"--port={self.port}", f"--user={NAME}", f"--execute={sql}")
        self.run(program("mariadb"), "--no-defaults", *place, environment={"MYSQL_PWD": self.instance.password})

    def url(self) -> str:
        return f"mysql://{NAME}:{self.instance.password}@127.0.0.1:{self.port}/{NAME}"


class RabbitMQ(Server):
    """Run from the package's library folder: the wrapper in /usr/sbin would change user and files."""

    name, title, package = "mq", "RabbitMQ", "rabbitmq-server"
    programs = ("rabbitmq-server", "rabbitmqctl", "epmd")
    node = f"{NAME}@localhost"

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self.mapper = Process(self.folder / "epmd")  # Erlang's port mapper, which every node needs one of

    def create(self) -> None:
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"default_vhost = {NAME}\n"
            f"default_user = {NAME}\n"
            f"default_pass = {self.instance.password}\n"
            "default_user_tags.administrator = true\n"
        )

    def command(self) -> list[str]:
        return [program("rabbitmq-server")]

    def variables(self) -> dict[str, str]:
        return {
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.instance.ports["epmd"]),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(self.folder / "none"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "none.config"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_DIST_PORT": str(self.instance.ports["dist"]),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / "generated"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": str(self.log),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RUNNING_UNDER_SYSTEMD": "true",  # the start script then becomes the server, so its pid is the server's
        }

    def start(self) -> str:
        self._start_mapper()
        return super().start()

    def _start_mapper(self) -> None:
        """Ours, before the server would start one that detaches itself and stays."""
        port = self.instance.ports["epmd"]
        if not self.mapper.pid:
            self.mapper.spawn([program("epmd"), "-port", str(port)], self.environment(), self.log)
        deadline = time.monotonic() + START_SECONDS
        while self.mapper.pid and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
                return
            time.sleep(0.01)
        raise self.failure(f"has no epmd on port {port}")

    def version(self) -> str:
        return found(rb"^\x01.*\x07versionS....([\d.]+)", ask(self.port, b"AMQP\0\0\x09\x01"))

    def empty(self) -> None:
        self.run(program("rabbitmqctl"), "delete_vhost", NAME)
        self.run(program("rabbitmqctl"), "add_vhost", NAME)
        self.run(program("rabbitmqctl"), "set_permissions", "-p", NAME, NAME, ".*", ".*", ".*")

    def url(self) -> str:
        return f"amqp://{NAME}:{self.instance.password}@127.0.0.1:{self.port}/{NAME}"


class Redis(Server):
    """Keeps nothing on disk: it never holds truth."""

    name, title, package = "redis", "Redis", "redis-server"
    programs = ("redis-server",)

    def create(self) -> None:
        pass

    def command(self) -> list[str]:
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [program("redis-server"), *place, "--save", "", "--appendonly", "no"]

    def version(self) -> str:
        return found(rb"redis_version:([\d.]+)", ask(self.port, b"INFO server\r\n"))

    def empty(self) -> None:
        found(rb"\+(OK)", ask(self.port, b"FLUSHALL\r\n"))

    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


KINDS: tuple[type[Server], ...] = (MariaDB, RabbitMQ, Redis)


def ask(port: int, question: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(question)
        return connection.recv(16_384)


def found(pattern: bytes, answer: bytes) -> str:
    if match := re.search(pattern, answer, re.DOTALL):
        return match[1].decode()
    raise ConnectionError(f"unexpected answer {answer[:80]!r}")


def program(name: str) -> str:
    own = f"/usr/lib/rabbitmq/bin/{name}"
    path = own if name.startswith("rabbitmq") and Path(own).exists() else shutil.which(name, path=SEARCH_PATH)
    if not path:
        raise Failure(f"{name} is missing: install it and run scripts/services up again")
    return path


def user_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
