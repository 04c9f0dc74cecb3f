"""Entry point: `python main.py --sources cam1.mp4 cam2.mp4`. All logic is in `app.cli.parser`."""

import os
import sys

_OURS = ("app", "omnitrack")


def where_to_run(package: str) -> str:
    """Return what to run instead where `package`, which somebody else made, is missing in this Python."""
    folder = os.path.dirname(os.path.abspath(__file__))
    ready = os.path.join(folder, ".venv", "bin", "python")
    here = f"the package {package} is missing in this Python ({sys.executable})"
    if not os.path.exists(ready):
        return f"{here}: run 'make demo' once, which sets up .venv, and then .venv/bin/python main.py …"
    if os.path.abspath(sys.executable) == ready:
        return f"{here}: run 'make clean demo', which sets it up anew"
    return f"{here}: run {ready} main.py … instead"


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 (whatever Python is there may read this file)
        sys.exit(
            "error: Python 3.11 or newer is needed: run 'make demo PYTHON=python3.12', then .venv/bin/python main.py"
        )
    from app.cli.parser import main
    from app.system.interrupts import leave

    try:
        status = main()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing in _OURS:
            raise
        sys.stderr.write(f"error: {where_to_run(missing)}\n")
        status = 2
    leave(status)
