"""The two databases, each with its ways of being away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import socket
import sqlite3
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import psycopg

from tests.fixtures.postgresql import _binaries, _other_user

Kind = Literal["sqlite", "postgresql"]

_PASSWORD = "chaos"
_SETTINGS = {
    # A commit must outlive the server's process, as it does in a factory; only a power cut is left out.
    "fsync": "off",
    "synchronous_commit": "on",
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
}


class Faulty(Protocol):
    """A database and the faults that it can have."""

    @property
    def url(self) -> str: ...

    @property
    def faults(self) -> tuple[str, ...]:
        """Names for :meth:`suffer`."""
        ...

    def suffer(self, fault: str, seconds: float) -> None:
        """Have the fault for ``seconds``, then be well again."""
        ...

    def size(self) -> int:
        """Bytes of all tables and indices."""
        ...

    def close(self) -> None: ...


class Sqlite:
    """A file: locked by somebody else, or not to be written."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.url = f"sqlite:///{file}"
        self.faults: tuple[str, ...] = ("locked", "read-only") if _can_protect(file.parent) else ("locked",)

    def suffer(self, fault: str, seconds: float) -> None:
        """See :class:`Faulty`."""
        with self._locked() if fault == "locked" else self._protected():
            time.sleep(seconds)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        connection = sqlite3.connect(self.file, timeout=30, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    @contextlib.contextmanager
    def _protected(self) -> Iterator[None]:
        files = [self.file, self.file.with_name(self.file.name + "-wal")]
        for file in files:
            _protect(file, True)
        try:
            yield
        finally:
            for file in files:
                _protect(file, False)

    def size(self) -> int:
        """Pages in use in the newest snapshot, whether they lie in the file or still in its log."""
        with contextlib.closing(sqlite3.connect(self.file, timeout=30)) as connection:
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * size)

    def close(self) -> None:
        """Nothing runs."""


class Postgresql:
    """A cluster of its own: restarted fast or as after a crash, or read-only for a while."""

    faults = ("restarted fast", "restarted as after a crash", "read-only")

    def __init__(self) -> None:
        """Raises pytest's Skipped where no server is installed."""
        self._binaries, self._user = _binaries(), _other_user()
        # Not under the campaign's folder: that may be closed to the user whom root hands the cluster to.
        self._folder = Path(tempfile.mkdtemp(prefix="sightline-chaos-pg-"))
        (self._folder / "password").write_text(_PASSWORD + "\n")
        if self._user:
            for path in (self._folder, self._folder / "password"):
                os.chown(path, self._user["user"], self._user["group"])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._run(
            "initdb", "-D", self._folder / "data", "-U", "sightline", "-E", "UTF8", "--locale=C.UTF-8",
            "--auth=scram-sha-256", f"--pwfile={self._folder / 'password'}", "--no-sync",
        )  # fmt: skip
        self._start()
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE history")
        self.url = self._address("history")

    def _address(self, database: str) -> str:
        return f"postgresql://sightline:{_PASSWORD}@127.0.0.1:{self._port}/{database}"

    def _run(self, program: str, *arguments: str | Path) -> None:
        command: list[str | Path] = [self._binaries / program, *arguments]
        user: dict[str, Any] = self._user
        # A server that was started keeps our pipes open: its output goes nowhere.
        subprocess.run(
            command,
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **user,
        )

    def _start(self) -> None:
        options = " ".join(f"-c {key}={value}" for key, value in {**_SETTINGS, "port": self._port}.items())
        self._run(
            "pg_ctl", "-D", self._folder / "data", "-l", self._folder / "log", "-w", "-t", "60",
            "-o", f"{options} -k {self._folder}", "start",
        )  # fmt: skip

    def _stop(self, mode: str) -> None:
        self._run("pg_ctl", "-D", self._folder / "data", "-m", mode, "-w", "stop")

    def suffer(self, fault: str, seconds: float) -> None:
        """See :class:`Faulty`."""
        if fault == "read-only":
            self._set_read_only(True)
            time.sleep(seconds)
            self._set_read_only(False)
            return
        self._stop("fast" if fault == "restarted fast" else "immediate")
        time.sleep(seconds)
        self._start()

    def _set_read_only(self, on: bool) -> None:
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(
                f"ALTER DATABASE history SET default_transaction_read_only = {'on' if on else 'off'}"
            )
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'history'"
            )

    def size(self) -> int:
        """Bytes of all tables and indices."""
        with psycopg.connect(self.url) as connection:
            found = connection.execute("SELECT pg_database_size('history')").fetchone()
            return int(found[0]) if found else 0

    def close(self) -> None:
        """Stop the cluster and remove it."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)


def open_database(kind: Kind, folder: Path) -> Faulty:
    """A new, empty one."""
    return Sqlite(folder / "history.db") if kind == "sqlite" else Postgresql()


def plan(database: Faulty, count: int, source: random.Random) -> list[str]:
    """``count`` faults of the database, each kind about as often."""
    faults = [database.faults[index % len(database.faults)] for index in range(count)]
    source.shuffle(faults)
    return faults


# FS_IOC_GETFLAGS, FS_IOC_SETFLAGS and FS_IMMUTABLE_FL of linux/fs.h: the rights of a file do not stop root,
# nor whoever has it open already.
_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10


def _protect(file: Path, on: bool) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        flags = struct.unpack("l", fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("l", 0)))[0]
        flags = flags | _IMMUTABLE if on else flags & ~_IMMUTABLE
        fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("l", flags))
    finally:
        os.close(descriptor)


def _can_protect(folder: Path) -> bool:
    """Whether files here can be closed to everybody: needs Linux, its file systems, and root."""
    probe = folder / ".immutable"
    probe.write_bytes(b"x")
    try:
        _protect(probe, True)
    except OSError:
        return False
    else:
        _protect(probe, False)
        return True
    finally:
        probe.unlink()
