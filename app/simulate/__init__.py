"""Synthetic multi-camera scenes with exact truth, rendered by the program itself.

======================  ==================================================================================
`looks`                 what each person looks like
`figure`                skeleton and poses of a walk
`tailor`, `clothes`     surfaces of points, and people dressed with them
`sprites`               pictures of people from any side, made once and kept
`plan`, `cameras`       the floor plan and the calibrated cameras
`scenery`, `props`      streets, house fronts and things that stand about
`people`                who walks where, when
`scene`                 the endless stream of pictures with truth: `Scene.frames()`
`detections`, `files`   detections made from the truth; everything on disk: `simulate()`
======================  ==================================================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.config import SimulateSettings


def simulate(output: Path, settings: SimulateSettings) -> dict[str, Any]:
    """Render a scene into the folder `output` (see `app.simulate.files`) and return its description."""
    from app.simulate.files import write_scene

    return write_scene(output, settings)
