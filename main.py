"""Entry point: `python main.py --sources cam1.mp4 cam2.mp4`. All logic is in `app.cli`."""

from app.cli import main
from app.interrupt import leave

if __name__ == "__main__":
    leave(main())
