"""Who may come in, and what each may do: users with a role and a salted hash of their password, in one file.

A role includes those before it: whoever may `look` sees everything that the pages show and searches, `correct` also
changes who is who, starts runs and makes videos, `erase` also removes people and purges. The file is JSON, and only its
owner reads it; `main.py ui --add-user` writes it. It is read again when it changes, also by a server that runs.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import InputError
from app.runs.folder.audit_log import COMMAND_LINE
from app.runs.ledger.identities import MACHINE

Role = Literal["look", "correct", "erase"]
ROLES: tuple[Role, ...] = get_args(Role)
SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 512
_LONGEST_NAME = 64
NOBODY = "ui"
"""Whose name actions carry where nobody logs in."""

_HASHER = PasswordHasher()
_ONE_HASH = threading.Lock()
"""One password at a time: each takes 64 MB and a core for a moment, and guessing is not made faster by many at once."""


@dataclass(frozen=True, slots=True)
class User:
    """name: what the audit log calls them.  password: an Argon2id hash."""

    name: str
    role: Role
    password: str


class Users:
    """The users of a server; from a file, or fixed. May be used from several threads."""

    def __init__(self, users: Mapping[str, User], file: Path | None = None) -> None:
        self._users = dict(users)
        self._file = file
        self._stamp = _stamp(file)
        self._lock = threading.Lock()
        self._stranger = hash_password(secrets.token_urlsafe(16))

    @classmethod
    def read(cls, file: Path) -> Users:
        """Read a list of users. Raises InputError if the file cannot be read, is no list of users, or names nobody."""
        users = read_users(file)
        if not users:
            raise InputError(f"--users {file}: nobody is in it yet; add somebody with --add-user NAME --role erase")
        return cls(users, file)

    @classmethod
    def only(cls, name: str, password: str) -> Users:
        """Return one user who may do everything."""
        return cls({name: User(check_name(name), "erase", hash_password(password))})

    def get(self, name: str) -> User | None:
        """Return a user as the file has it now; a file that cannot be read just now changes nothing."""
        with self._lock:
            stamp = _stamp(self._file)
            if self._file is not None and stamp != self._stamp:
                with suppress(InputError):
                    self._users, self._stamp = read_users(self._file), stamp
            return self._users.get(name)

    def check(self, name: str, password: str) -> User | None:
        """Return the user whose password this is. Takes as long for names that nobody has."""
        user = self.get(name)
        with _ONE_HASH:
            try:
                _HASHER.verify(user.password if user else self._stranger, password[:LONGEST_PASSWORD])
            except (VerificationError, InvalidHashError):
                return None
        return user


def may(role: Role, needed: Role) -> bool:
    """Return whether a role includes what is needed."""
    return ROLES.index(role) >= ROLES.index(needed)


def hash_password(password: str) -> str:
    """Return a salted Argon2id hash. Raises InputError for a password that is too short or too long."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InputError(f"a password needs {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    return _HASHER.hash(password)


def check_name(name: str) -> str:
    """Return the name. Raises InputError for one that the audit log could not tell from somebody else's."""
    reserved = (NOBODY, COMMAND_LINE)
    if not name or len(name) > _LONGEST_NAME or name != name.strip() or not name.isprintable():
        raise InputError(f"{name!r} is no user's name: 1 to {_LONGEST_NAME} printable characters")
    if name.startswith(MACHINE.rstrip(":")) or name in reserved or ":" in name:
        raise InputError(f"the name {name!r} is taken by the program itself; choose another")
    return name


def read_users(file: Path) -> dict[str, User]:
    """Return the users in a file by name, none if there is no file. Raises InputError if it is no list of users."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["users"]
        users = [User(check_name(entry["name"]), entry["role"], str(entry["password"])) for entry in entries]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"--users {file}: this is no file that --add-user wrote") from error
    wrong = [user.name for user in users if user.role not in ROLES or not user.password.startswith("$argon2")]
    if wrong:
        raise InputError(f"--users {file}: {wrong[0]} has no role of {', '.join(ROLES)}, or no hash of a password")
    return {user.name: user for user in users}


def add_user(file: Path, name: str, role: Role, password: str) -> list[User]:
    """Write a user into a file, in place of one of the same name, and return all."""
    users = read_users(file)
    users[check_name(name)] = User(name, role, hash_password(password))
    return _write(file, users)


def remove_user(file: Path, name: str) -> list[User]:
    """Take a user out of a file and return the others. Raises InputError if there is none of that name."""
    users = read_users(file)
    if name not in users:
        raise InputError(f"--users {file}: there is no user {name!r}")
    del users[name]
    return _write(file, users)


def _write(file: Path, users: Mapping[str, User]) -> list[User]:
    values: dict[str, Any] = {
        "users": [{"name": user.name, "role": user.role, "password": user.password} for user in users.values()]
    }
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(values, out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        new.replace(file)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise InputError(f"--users {file}: cannot be written ({error.strerror})") from error
    return list(users.values())


def _stamp(file: Path | None) -> tuple[int, int]:
    try:
        found = file.stat() if file is not None else None
    except OSError:
        return 0, 0
    return (found.st_mtime_ns, found.st_ino) if found is not None else (0, 0)
