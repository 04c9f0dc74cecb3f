"""OmniTrack: follow people across many cameras.

Importing this package does no work, except that it tells the libraries we build on to keep quiet: nothing that
this program sees may leave the machine, so telemetry, update checks and silent package installs are switched off
before any of those libraries is imported.
"""

import os

__version__ = "0.1.0"

_QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "OPENVINO_TELEMETRY_DISABLE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
}
for _name, _value in _QUIET.items():
    os.environ.setdefault(_name, _value)
