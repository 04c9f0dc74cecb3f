"""Entry point: `python main.py --sources cam1.mp4 cam2.mp4`. All logic is in `app.cli.parser`."""

from app.cli.parser import main
from app.system.interrupts import leave

if __name__ == "__main__":
    leave(main())
