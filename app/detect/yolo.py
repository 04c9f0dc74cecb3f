"""Ultralytics networks: `.pt`, our own `.safetensors`, `.onnx`, OpenVINO folders and TensorRT engines.

Besides training, this file and `yolo_weights.py` alone import ultralytics, and take no more than needed: reading
weights, building a network from its description, running TensorRT engines. Pictures, boxes and overlaps are handled in
`network.py`, outputs in `yolo_outputs.py`.

A `.pt` file is a pickle, which may run any program while it is loaded. One of unknown origin is refused unless the
user says otherwise; a known one is still loaded with a list of permitted classes only. Our own weights are numbers
(`NAME.safetensors`) beside a description of the network (`NAME.yaml`), and run nothing.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from app.config import DetectSettings
from app.detect.network import CloseUps
from app.detect.openvino_network import OpenVinoNetwork
from app.detect.torch_network import TorchNetwork
from app.detect.yolo_outputs import STRIDE, Infer, YoloNetwork, person_classes, read_columns, read_people, read_rows
from app.detect.yolo_weights import check_trust, find_weights, load_pickle, load_ultralytics, load_weights
from app.errors import InputError
from app.system.checksum import file_sha256
from app.system.device import choose_device
from app.system.openvino_cache import convert_once
from app.system.untrusted import yaml_value

_log = logging.getLogger(__name__)

CLOSE_UP_SHARE = 0.7
"""From this share of the largest person on that a network has learned, its second look is the better one."""


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


# --- Finding weights -------------------------------------------------------------------------------------------------


# --- Weights that ultralytics knows as a module ----------------------------------------------------------------------


def _open_module(path: Path, settings: DetectSettings) -> YoloNetwork:
    """Open `.pt` or `.safetensors`: PyTorch on a GPU, OpenVINO on a CPU, unless the settings say otherwise."""
    device = choose_device("cpu" if settings.backend == "openvino" else settings.device, "detect.device")
    sha256 = file_sha256(path)
    if path.suffix.lower() == ".pt":
        check_trust(path, sha256, settings.trust_weights)
        model = load_pickle(path, settings.trust_weights)
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
        run: Infer = OpenVinoNetwork(network, rgb=True, divisor=255)
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
    run: Infer,
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
