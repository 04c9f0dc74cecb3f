"""Weights of Ultralytics networks: found, downloaded, checked before they are trusted, read and written."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import yaml

from app.detect.bundled import DEFAULT_WEIGHTS, bundled_weights
from app.errors import InputError
from app.system.checksum import read_tensors, with_content
from app.system.openvino_cache import cache_folder
from app.system.untrusted import LIMITS, read_text, yaml_value

_log = logging.getLogger(__name__)

DOWNLOADS = "https://github.com/ultralytics/assets/releases"
KNOWN_WEIGHTS = {
    "06d12b04d437a78bb64efa54b4cfb8814b391f5f08fd5502d9f394c42c4c0e10": "yolo26n.pt, public COCO weights",
    "507a4762e0523e494d2fbcbd99502a638ce83a674629eaedf57f165d28c99277": "yolo11n.pt, public COCO weights",
}
"""sha256 of pickles that may be loaded without asking."""

_DESCRIPTION = "description_sha256"
"""Key in the metadata of weights of ours: the checksum of what the `.yaml` beside them says. Earlier ones lack it."""


@functools.cache
def load_ultralytics() -> None:
    """Import ultralytics with everything off that installs, reports, asks the network or writes outside our cache.

    Always call this before importing a part of ultralytics.
    """
    os.environ.update(
        YOLO_OFFLINE="1",  # no look-up of hosts, no update check, no usage reports
        YOLO_AUTOINSTALL="false",
        YOLO_VERBOSE="false",
        YOLO_CONFIG_DIR=str(cache_folder() / "ultralytics"),
        ULTRALYTICS_SAFE_LOAD="1",  # pickles: permitted classes only, unless we say otherwise; descriptions: no eval
    )
    threads = os.environ.get("OMP_NUM_THREADS")
    import ultralytics
    from ultralytics.utils import SETTINGS

    if threads is None:
        os.environ.pop("OMP_NUM_THREADS", None)  # ultralytics sets it to 1, for us and for every child process
    # Past SettingsManager.update, which would write to a settings file: the user's own, if somebody imported
    # ultralytics before us.
    integrations = ("clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")
    dict.update(SETTINGS, dict.fromkeys(("sync", "vscode_msg", "openvino_msg", *integrations), False))
    for handler in logging.getLogger("ultralytics").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)  # standard output belongs to results
    _log.debug("ultralytics %s", ultralytics.__version__)


def find_weights(weights: str) -> Path:
    """Return the file or folder for a value of the setting `detect.weights`, downloading an official network."""
    if weights == "auto":
        return bundled_weights(weights) or _download(DEFAULT_WEIGHTS)
    path = Path(weights)
    if path.exists():
        return path
    named = bundled_weights(weights)
    if named is not None:
        return named
    if path.name == weights and path.suffix == ".pt" and weights in _official_names():
        return _download(weights)
    raise InputError(
        f"detect.weights: there is no file {weights}, nor is it the name of an official Ultralytics network such as "
        f"{DEFAULT_WEIGHTS}; give a path to weights, or file:PATH for detections made elsewhere"
    )


def _official_names() -> frozenset[str]:
    load_ultralytics()
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    return GITHUB_ASSETS_NAMES


def _download(name: str) -> Path:
    """Return an official network in our cache folder, letting ultralytics download it the first time."""
    path = cache_folder() / "weights" / name
    if path.is_file():
        return path
    load_ultralytics()
    from ultralytics.utils.downloads import attempt_download_asset

    _log.warning("downloading %s from %s to %s", name, DOWNLOADS, path.parent)
    try:
        _check_reachable(DOWNLOADS)
        path.parent.mkdir(parents=True, exist_ok=True)
        found = Path(attempt_download_asset(path, progress=False))
    except OSError as error:  # ConnectionError too, and a cache folder that cannot be written
        reason = str(getattr(error, "reason", error))
        raise InputError(
            f"cannot download the detector {name} from {DOWNLOADS} ({reason}). Download it on another machine and give "
            "its path with --detector, or use detections made elsewhere: --detector file:det/det.txt"
        ) from error
    return found


def _check_reachable(url: str) -> None:
    """Raise OSError within seconds if there is no way to `url`; ultralytics would wait for half a minute."""
    with contextlib.suppress(urllib.error.HTTPError):  # an answer, if not the one that we hoped for
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5).close()


def check_trust(path: Path, sha256: str, trust_weights: bool) -> None:
    """Raise InputError unless the pickle is a known one, was downloaded by us, or is vouched for by the user."""
    downloaded = path.resolve().parent == (cache_folder() / "weights").resolve()
    if not (trust_weights or downloaded or sha256 in KNOWN_WEIGHTS):
        raise InputError(
            f"{path}: a .pt file can run any program while it is loaded, and the origin of this one is unknown "
            f"(sha256 {sha256}). If you trust who made it, add --trust-weights; else convert it to .onnx where it came "
            "from"
        )


def load_pickle(path: Path, trust_weights: bool) -> Any:
    """Return the DetectionModel in a `.pt` file."""
    load_ultralytics()
    from ultralytics.nn.tasks import torch_safe_load

    try:
        checkpoint, _ = torch_safe_load(path, safe_only=not trust_weights)
        model = checkpoint.get("ema") or checkpoint["model"]
    except Exception as error:  # a damaged or foreign pickle can raise anything
        reason = str(error).removeprefix("ERROR ❌️ ").strip().splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: not weights that Ultralytics can load ({reason}). Is the file whole, and is it an Ultralytics "
            "detector of YOLOv8 or later?"
        ) from error
    return _checked(model, path)


def _checked(model: Any, path: Path) -> Any:
    """Return `model` if it is a plain detection network. Raises InputError otherwise."""
    from ultralytics.nn.modules.head import Detect, v10Detect
    from ultralytics.nn.tasks import DetectionModel

    # Exact types: the subclasses have heads of other kinds (poses, outlines, open vocabulary).
    if type(model) is not DetectionModel or type(model.model[-1]) not in (Detect, v10Detect):
        raise InputError(
            f"{path}: a {type(model).__name__}, not a plain detection network; give one such as {DEFAULT_WEIGHTS}"
        )
    return model


def load_weights(path: Path) -> Any:
    """Return the DetectionModel of our own `NAME.safetensors` and `NAME.yaml`; nothing in them is executed."""
    load_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    description_path = path.with_suffix(".yaml")
    try:
        description = yaml_value(
            read_text(description_path, "the description of a network", LIMITS.yaml_bytes), description_path
        )
        described = _description_sha256(description)
        names = {int(number): str(name) for number, name in description["names"].items()}
        model = DetectionModel(description, ch=3, verbose=False)
    except InputError as error:
        raise InputError(f"{error}; the description of a network belongs beside {path.name}") from error
    except Exception as error:  # ultralytics raises anything for a description that it cannot build
        raise InputError(f"{description_path}: not the description of a network ({error!r})") from error
    try:
        tensors, metadata = read_tensors(path)
        if metadata.get(_DESCRIPTION, described) != described:
            raise InputError(
                f"{description_path}: damaged, or of other weights than {path.name} (the checksum in those does not "
                "fit); restore both from a copy"
            )
        model.load_state_dict(tensors)
    except (OSError, safetensors.SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{path}: not the weights of the network in {description_path.name}, or damaged ({reason})"
        ) from error
    model.names = names
    return _checked(model, path)


def save_weights(model: Any, path: Path) -> None:
    """Write a DetectionModel as `path` (`NAME.safetensors`, float16) and `NAME.yaml`, for `load_weights`."""
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in model.state_dict().items()
    }
    description = {**model.yaml, "names": dict(model.names)}
    description.pop("yaml_file", None)  # a path on this machine
    own = {_DESCRIPTION: _description_sha256(description)}
    metadata = with_content({name: tensor.numpy() for name, tensor in tensors.items()}, own)
    safetensors.torch.save_file(tensors, path, metadata=metadata)
    path.with_suffix(".yaml").write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")


def _description_sha256(description: Mapping[Any, Any]) -> str:
    """Return the checksum of what the `NAME.yaml` says, however it is written down."""
    return sha256(yaml.safe_dump(dict(description)).encode()).hexdigest()
