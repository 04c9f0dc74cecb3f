"""The users of the browser interface, from the command line: who may come in, and what each may do."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Any

from app.errors import InputError

PASSWORD_VARIABLE = "OMNITRACK_PASSWORD"


def change_users(file: Path | None, added: str | None, role: Any, removed: str | None) -> list[dict[str, str]]:
    """Write a user into the file of users, or take one out, and return the names and roles of all.

    Raises InputError if the options do not fit together, or the password is asked for where nobody can type it.
    """
    from app.ui.users import add_user, check_name, remove_user

    if file is None:
        raise InputError("--add-user and --remove-user need --users FILE: where the users are written")
    if (added is None) is not (role is None):
        raise InputError("--add-user NAME and --role look|correct|erase belong together")
    if (added is None) is (removed is None):
        raise InputError("give --add-user or --remove-user, one at a time")
    if removed is not None:
        users = remove_user(file, removed)
    else:
        users = add_user(file, check_name(str(added)), role, _password(str(added)))
    return [{"name": user.name, "role": user.role} for user in users]


def _password(name: str) -> str:
    given = os.environ.get(PASSWORD_VARIABLE)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise InputError(f"the password is asked for on a terminal; elsewhere put it into {PASSWORD_VARIABLE}")
    password = getpass.getpass(f"Password of {name}: ")
    if getpass.getpass("Again: ") != password:
        raise InputError("the two passwords differ; nothing was written")
    return password
