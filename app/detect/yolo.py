"""Ultralytics networks: `.pt`, our own `.safetensors`, `.onnx`, OpenVINO folders and TensorRT engines.

Besides training, this is the only file that imports ultralytics, and it takes no more than needed: reading weights,
building a network from its description, running TensorRT engines. Pictures, boxes and overlaps are handled in
`network.py`, outputs in `yolo_outputs.py`.

A `.pt` file is a pickle, which may run any program while it is loaded. One of unknown origin is refused unless the
user says otherwise; a known one is still loaded with a list of permitted classes only. Our own weights are numbers
(`NAME.safetensors`) beside a description of the network (`NAME.yaml`), and run nothing.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import yaml

from app.config import DetectSettings
from app.detect.network import CloseUps
from app.detect.openvino_network import OpenVinoNetwork
from app.detect.torch_network import TorchNetwork
from app.detect.yolo_outputs import STRIDE, Run, YoloNetwork, person_classes, read_columns, read_people, read_rows
from app.errors import InputError
from app.system.checksum import check_content, file_sha256, with_content
from app.system.device import choose_device
from app.system.openvino_cache import cache_folder, convert_once
from app.system.untrusted import LIMITS, read_text, yaml_value

_log = logging.getLogger(__name__)

CLOSE_UP_SHARE = 0.7
"""From this share of the largest person on that a network has learned, its second look is the better one."""
BUNDLED_FOLDER = Path(__file__).parent / "weights"
DEFAULT_BUNDLED = "person_n"
"""Which of the bundled weights `auto` takes."""
DEFAULT_WEIGHTS = "yolo26n.pt"
DOWNLOADS = "https://github.com/ultralytics/assets/releases"
KNOWN_WEIGHTS = {
    "06d12b04d437a78bb64efa54b4cfb8814b391f5f08fd5502d9f394c42c4c0e10": "yolo26n.pt, public COCO weights",
    "507a4762e0523e494d2fbcbd99502a638ce83a674629eaedf57f165d28c99277": "yolo11n.pt, public COCO weights",
}
"""sha256 of pickles that may be loaded without asking."""


def open_yolo(settings: DetectSettings) -> YoloNetwork:
    """Find, check, load and, on a CPU, convert the network that the settings ask for.

    Raises InputError that says what to do.
    """
    path = find_weights(settings.weights)
    suffix = ".xml" if path.is_dir() else path.suffix.lower()
    if suffix in (".pt", ".safetensors"):
        return _open_module(path, settings)
    if suffix in (".onnx", ".xml"):
        return _open_on_cpu(path, settings)
    if suffix == ".engine":
        return _open_engine(path, settings)
    raise InputError(
        f"{path}: unknown kind of weight file; give .pt, .safetensors, .onnx, .engine, an OpenVINO folder, or "
        "file:PATH for detections made elsewhere"
    )


# --- Ultralytics, silent and offline ---------------------------------------------------------------------------------


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


# --- Finding weights -------------------------------------------------------------------------------------------------


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


def bundled_weights(weights: str) -> Path | None:
    """Return the file that comes with the program for a value of `detect.weights`, None if it stands for another."""
    name = DEFAULT_BUNDLED if weights == "auto" else weights
    file = BUNDLED_FOLDER / f"{name}.safetensors"
    return file if Path(name).name == name and file.is_file() else None


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


# --- Weights that ultralytics knows as a module ----------------------------------------------------------------------


def _open_module(path: Path, settings: DetectSettings) -> YoloNetwork:
    """Open `.pt` or `.safetensors`: PyTorch on a GPU, OpenVINO on a CPU, unless the settings say otherwise."""
    device = choose_device("cpu" if settings.backend == "openvino" else settings.device, "detect.device")
    sha256 = file_sha256(path)
    if path.suffix.lower() == ".pt":
        _check_trust(path, sha256, settings.trust_weights)
        model = _load_pickle(path, settings.trust_weights)
    else:
        model = load_weights(path)
    people = person_classes(model.names, settings.person_names, path)
    module = trim_to_people(model, people)
    if settings.backend == "openvino" or (settings.backend == "auto" and device.type == "cpu"):
        network = convert_once(
            partial(_with_open_size, module),
            sha256,
            (-1, 3, -1, -1),
            variant=f"class {', '.join(map(str, people))} only, {torch.__version__}",
            example_shape=(2, 3, 2 * STRIDE, 3 * STRIDE),
        )
        run: Run = OpenVinoNetwork(network, rgb=True, divisor=255)
        name = f"{path.name} (openvino, cpu)"
    else:
        half = settings.half and device.type == "cuda"
        run = TorchNetwork(module, device, half)
        name = f"{path.name} (torch, {device}{', half' if half else ''})"
    stated = {key: model.yaml[key] for key in ("largest_person_px", "max_overlap_iou") if key in model.yaml}
    return YoloNetwork(name, path, run, read_people, settings.image_size_px, **stated)


def close_ups(network: YoloNetwork, settings: DetectSettings) -> CloseUps | None:
    """Return the second look that a network needs for large people, None for one that knows people of any size."""
    small, largest = settings.close_up_size_px, network.largest_person_px
    if largest is None or largest >= settings.image_size_px or not 0 < small < settings.image_size_px:
        return None
    least = CLOSE_UP_SHARE * largest / settings.image_size_px
    return CloseUps(replace(network, longer_side=small), least)


def trim_to_people(model: Any, people: Sequence[int]) -> torch.nn.Module:
    """Return a copy of an `ultralytics` DetectionModel for inference that knows no classes but the P of `people`.

    It takes (B, 3, H, W) RGB in [0, 1] and returns (B, 4 + P, A): x1 y1 x2 y2 scores, for each of A anchors. The other
    classes are cut out of the last convolutions; a tenth of the work at 80 classes, with their sigmoids and sorting.
    """
    model = copy.deepcopy(model).float().eval().fuse(verbose=False)
    head = model.model[-1]
    for branch in head.one2one_cv3 if head.end2end else head.cv3:
        scores = branch[-1]
        scores.weight = torch.nn.Parameter(scores.weight[list(people)].clone(), requires_grad=False)
        scores.bias = torch.nn.Parameter(scores.bias[list(people)].clone(), requires_grad=False)
        scores.out_channels = len(people)
    head.nc = len(people)
    head.export = True  # return predictions only
    head.xyxy = True
    head.postprocess = _to_columns
    return model.requires_grad_(False)


def _to_columns(rows: torch.Tensor) -> torch.Tensor:
    """In place of the end-to-end head's choice of the best boxes: (B, A, 4 + P) to (B, 4 + P, A)."""
    return rows.permute(0, 2, 1)


def _with_open_size(module: Any) -> torch.nn.Module:
    """Return a copy of a trimmed network whose anchors follow the input's size when it is traced."""
    module = copy.deepcopy(module)
    module.model[-1].dynamic = True
    return module


def _check_trust(path: Path, sha256: str, trust_weights: bool) -> None:
    """Raise InputError unless the pickle is a known one, was downloaded by us, or is vouched for by the user."""
    downloaded = path.resolve().parent == (cache_folder() / "weights").resolve()
    if not (trust_weights or downloaded or sha256 in KNOWN_WEIGHTS):
        raise InputError(
            f"{path}: a .pt file can run any program while it is loaded, and the origin of this one is unknown "
            f"(sha256 {sha256}). If you trust who made it, add --trust-weights; else convert it to .onnx where it came "
            "from"
        )


def _load_pickle(path: Path, trust_weights: bool) -> Any:
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
        names = {int(number): str(name) for number, name in description["names"].items()}
        model = DetectionModel(description, ch=3, verbose=False)
    except InputError as error:
        raise InputError(f"{error}; the description of a network belongs beside {path.name}") from error
    except Exception as error:  # ultralytics raises anything for a description that it cannot build
        raise InputError(f"{description_path}: not the description of a network ({error!r})") from error
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        check_content(path, {name: tensor.numpy() for name, tensor in tensors.items()}, metadata)
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
    metadata = with_content({name: tensor.numpy() for name, tensor in tensors.items()}, {})
    safetensors.torch.save_file(tensors, path, metadata=metadata)
    description = {**model.yaml, "names": dict(model.names)}
    description.pop("yaml_file", None)  # a path on this machine
    path.with_suffix(".yaml").write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")


# --- Exported networks -----------------------------------------------------------------------------------------------


def _open_on_cpu(path: Path, settings: DetectSettings) -> YoloNetwork:
    """Open `.onnx`, `.xml` or a folder with a `.xml`, by OpenVINO."""
    if settings.backend == "torch" or settings.device.startswith("cuda"):
        raise InputError(
            f"{path}: .onnx and OpenVINO files run on the CPU, by OpenVINO; for a GPU give the .pt or a TensorRT "
            ".engine, else leave detect.device and detect.backend at auto"
        )
    if path.is_dir():
        files = sorted(path.glob("*.xml"))
        if len(files) != 1:
            raise InputError(f"{path}: an OpenVINO folder has one .xml file, this one has {len(files)}")
        path = files[0]
    network = OpenVinoNetwork(path, rgb=True, divisor=255)
    name = f"{path.name} (openvino, cpu)"
    return _exported(path, settings, name, network, network.output_shape, network.fixed_size)


def _open_engine(path: Path, settings: DetectSettings) -> YoloNetwork:
    """Open a TensorRT engine, by ultralytics."""
    device = choose_device("cuda" if settings.device == "auto" else settings.device, "detect.device")
    if device.type != "cuda":
        raise InputError(f"{path}: a TensorRT engine needs an NVIDIA GPU; set detect.device to cuda, or give the .pt")
    load_ultralytics()
    from ultralytics.nn.autobackend import AutoBackend

    try:
        backend = AutoBackend(str(path), device=device, fp16=settings.half, fuse=False, verbose=False)
    except Exception as error:  # no TensorRT, another version of it, another GPU: each fails in its own way
        raise InputError(
            f"{path}: TensorRT cannot load this engine ({error}). It must be made on this kind of GPU with the "
            "installed version of the package tensorrt"
        ) from error
    fixed_size = None if backend.dynamic else tuple(backend.imgsz)
    run = TorchNetwork(backend, device, half=backend.fp16)
    output_shape = list(backend.bindings[backend.output_names[0]].shape)
    return _exported(path, settings, f"{path.name} (tensorrt, {device})", run, output_shape, fixed_size)


def _exported(
    path: Path,
    settings: DetectSettings,
    name: str,
    run: Run,
    output_shape: list[int | None],
    fixed_size: Any,
) -> YoloNetwork:
    """Return a network whose file was written by `ultralytics export`, with the way to read its output.

    Such a network gives (B, K, 6) rows x1 y1 x2 y2 score class, or (B, 4 + classes, A) columns
    centre x, centre y, width, height and the scores of all classes.
    """
    load_ultralytics()
    from ultralytics.nn.backends.base import BaseBackend

    described = BaseBackend.read_metadata(path)
    if described.get("task", "detect") != "detect" or len(output_shape) != 3:
        raise InputError(f"{path}: not a detection network (task {described.get('task')}, output {output_shape})")
    names = described.get("names")
    of_rows = output_shape[2] == 6
    if names:
        people = person_classes(
            yaml_value(names, path) if isinstance(names, str) else names, settings.person_names, path
        )
    elif settings.person_names:
        raise InputError(f"detect.person_names: {path.name} does not name its classes")
    else:
        people = [0]
        _log.warning("%s does not name its classes; the first one is taken for people", path)
    if not of_rows and (output_shape[1] is None or output_shape[1] <= 4 + max(people)):
        raise InputError(f"{path}: the output {output_shape} is not that of an Ultralytics detector")
    read = partial(read_rows if of_rows else read_columns, people)
    return YoloNetwork(name, path, run, read, settings.image_size_px, fixed_size)
