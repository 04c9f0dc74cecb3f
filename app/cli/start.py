"""Commands that need no run: the browser interface, a made-up scene."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from app.cli.options import Command, settings_of
from app.cli.output import say
from app.errors import InputError


def add_ui(command: Command) -> None:
    ui = command("ui", _ui, "look at runs, search and correct them in the browser", settings=True)
    ui.add_argument("folders", type=Path, nargs="*", metavar="RUN", help="runs to show (default: all under runs/)")
    ui.add_argument("--host", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1, this machine only)")
    ui.add_argument("--port", type=int, metavar="N", help="port to listen on (default: 7860)")
    ui.add_argument("--users", type=Path, metavar="FILE", help="ask for name and password of one of the users in FILE")
    ui.add_argument("--auth", default="", metavar="USER:FILE", help="or of one user, with the password in FILE")
    ui.add_argument("--add-user", metavar="NAME", help="write a user into the --users file and end; the password is "
                    "asked for, or comes from OMNITRACK_PASSWORD")  # fmt: skip
    ui.add_argument("--role", choices=["look", "correct", "erase"], help="what --add-user may do: look and search; "
                    "correct, start runs, make videos as well; erase and purge as well")  # fmt: skip
    ui.add_argument("--remove-user", metavar="NAME", help="take a user out of the --users file and end")
    ui.add_argument("--tls-certificate", type=Path, metavar="FILE", help="serve https with this certificate (PEM)")
    ui.add_argument("--tls-key", type=Path, metavar="FILE", help="the key of the certificate (PEM, without a password)")


def _ui(options: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(options, {"ui.host": ("--host", options.host), "ui.port": ("--port", options.port)})
    if options.add_user or options.remove_user or options.role:
        from app.cli.users import change_users

        listed = change_users(options.users, options.add_user, options.role, options.remove_user)
        if not options.json:
            say("\n".join(f"{user['name']}: {user['role']}" for user in listed) or "nobody")
        return {"users": listed}
    if options.users and options.auth:
        raise InputError("give --users or --auth, not both")
    if (options.tls_certificate is None) is not (options.tls_key is None):
        raise InputError("--tls-certificate and --tls-key belong together")
    from app.ui.server import read_login, run_ui
    from app.ui.users import Users

    users = Users.read(options.users) if options.users else read_login(options.auth) if options.auth else None
    certificate = (options.tls_certificate, options.tls_key) if options.tls_key else None
    run_ui(options.folders, settings, users, certificate, (lambda text: None) if options.json else say)
    return {}


def add_simulate(command: Command) -> None:
    simulate = command("simulate", _simulate, "make a multi-camera scene with exact truth", settings=True)
    simulate.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write into")
    simulate.add_argument("--cameras", type=int, metavar="N", help="number of cameras (setting simulate.cameras)")
    simulate.add_argument("--people", type=int, metavar="N", help="number of people (setting simulate.people)")
    simulate.add_argument(
        "--seconds", type=float, metavar="S", help="length of each recording (setting simulate.seconds)"
    )
    simulate.add_argument("--seed", type=int, metavar="N", help="another seed is another scene (setting simulate.seed)")


def _simulate(options: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(
        options,
        {
            "simulate.cameras": ("--cameras", options.cameras),
            "simulate.people": ("--people", options.people),
            "simulate.seconds": ("--seconds", options.seconds),
            "simulate.seed": ("--seed", options.seed),
        },
    )
    from app.simulate import simulate

    summary = simulate(options.output, settings.simulate)
    if not options.json:
        say(f"wrote a scene of {settings.simulate.cameras} cameras to {options.output}")
    return summary
