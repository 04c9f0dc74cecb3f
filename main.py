"""Entry point: `python main.py --sources cam1.mp4 cam2.mp4`. All logic is in `app.cli`."""

import sys

from app.cli import main

if __name__ == "__main__":
    sys.exit(main())
