"""ReID weight files: ours, which say everything that embedding needs, and Torchreid's.

Our files are safetensors: they cannot run code. The network's tensors lie beside the calibration's
(`calibration.center`, `.distances`, `.probabilities`); the header holds the rest as JSON (architecture, head, input
size, colours, training data, scores, sha256 of the recipe). Matrices may be kept in half precision.
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from app.errors import InputError
from app.reid.calibrate import Calibration
from app.reid.network_files import FORMAT, NetworkFile, OpenedFile, is_network_file, open_network_file
from app.reid.osnet import FEATURE_DIMENSION, OSNETS, Neck, OSNet, Pooling, architecture_of, torchreid_names
from app.reid.preprocess import Preprocessing
from app.reid.unseen_places import sidecar, with_sidecar
from app.system.checksum import file_sha256, read_tensors, with_content
from app.system.untrusted import reading

Metric = Literal["euclidean", "cosine"]
"""How evaluation compares vectors: as the network makes them, or their directions. Embedding always uses directions."""

_CALIBRATION_FIELDS = ("center", "distances", "probabilities")


@dataclass(frozen=True)
class Checkpoint:
    """A network and all that is known of it.

    state: the network's tensors by name, float32.
    facts: whatever the trainer recorded, as JSON values: training data, scores, recipe and its sha256.
    sha256: of the file that it was read from; empty for one that was never in a file.
    network_file: a network that can be run but not trained or changed; `state` is empty then.
    is_calibrated: whether the calibration was fitted for this network, and not assumed.
    """

    architecture: str
    state: Mapping[str, Tensor]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    calibration: Calibration = field(default_factory=lambda: Calibration.default(FEATURE_DIMENSION))
    pooling: Pooling = "average"
    neck: Neck = "relu"
    metric: Metric = "euclidean"
    facts: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    network_file: NetworkFile | None = None
    is_calibrated: bool = True

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return len(self.calibration.center)

    def network(self) -> OSNet:
        """Build the network with its weights, in evaluation mode, on the CPU.

        Raises InputError for an exported network.
        """
        if self.network_file is not None:
            raise InputError(
                f"{self.network_file.path}: an exported network can only be run; give the weights it came from"
            )
        network: OSNet = OSNETS[self.architecture](pooling=self.pooling, neck=self.neck)
        network.load_state_dict(dict(self.state))
        return network.eval()


def load_checkpoint(path: Path, own_curve: bool = False, trust: bool = False) -> Checkpoint:
    """Read `.safetensors` (ours, or a bare OSNet state dict), a Torchreid `.pth`, `.pt` or `.pth.tar`, or a network of
    any maker as `.onnx`, OpenVINO's `.xml` or TorchScript (see `app.reid.network_files`).

    A state dict without our header is taken to expect what Torchreid's networks expect: RGB, 256 × 128, ImageNet's mean
    and deviation. Without a calibration of its own it has `Calibration.default`. One that lies beside the file (see
    `app.reid.unseen_places`) is taken instead of the file's own curve, unless `own_curve`.
    trust: whether a TorchScript program may be run. Raises InputError if it is none of these.
    """
    checkpoint = _load(path, trust)
    if own_curve:
        return checkpoint
    found = with_sidecar(path, checkpoint.sha256, checkpoint.calibration)
    return replace(
        checkpoint, calibration=found, is_calibrated=checkpoint.is_calibrated or found is not checkpoint.calibration
    )


def _load(path: Path, trust: bool) -> Checkpoint:
    if not path.is_file():
        raise InputError(f"{path}: there is no such ReID weight file")
    if is_network_file(path):
        return _of_network_file(open_network_file(path, trust))
    if path.suffix == ".safetensors":
        state, header = _read_safetensors(path)
    else:
        state, header = _read_pickle(path), {}
    if header.get("format") == FORMAT:
        checkpoint = _from_header(path, state, header)
    else:
        names = torchreid_names(state)
        architecture = architecture_of(names)
        if architecture is None:
            raise InputError(f"{path}: these are not the weights of an OSNet; known are {', '.join(OSNETS)}")
        checkpoint = Checkpoint(architecture, _as_float32(names), sha256=file_sha256(path), is_calibrated=False)
    wrong = [name for name, value in checkpoint.state.items() if not torch.isfinite(value).all()]
    if wrong:
        raise InputError(f"{path}: {wrong[0]} and {len(wrong) - 1} more tensors hold numbers that are none: damaged")
    try:
        checkpoint.network()
    except RuntimeError as error:
        raise InputError(f"{path}: does not fit {checkpoint.architecture}: {error}") from error
    return checkpoint


def save_checkpoint(path: Path, checkpoint: Checkpoint, half: bool = False) -> None:
    """Write a checkpoint in one step: it appears under its name complete, or not at all.

    half: keep matrices and filters as float16 (vectors, such as running variances, stay float32).
    """
    tensors = {}
    for name, tensor in checkpoint.state.items():
        if name.endswith("num_batches_tracked"):
            continue
        value = tensor.detach().cpu().float().contiguous()
        tensors[name] = value.half() if half and value.ndim > 1 else value
    for name in _CALIBRATION_FIELDS:
        tensors[f"calibration.{name}"] = torch.from_numpy(np.array(getattr(checkpoint.calibration, name), np.float32))
    header = {
        "format": FORMAT,
        "architecture": checkpoint.architecture,
        "pooling": checkpoint.pooling,
        "neck": checkpoint.neck,
        "metric": checkpoint.metric,
        "colour_order": "RGB",
        "preprocessing": json.dumps(asdict(checkpoint.preprocessing)),
        "facts": json.dumps(checkpoint.facts, sort_keys=True),
    }
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    save_file(tensors, unfinished, metadata=with_content(_arrays(tensors), header))
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)
    sidecar(path).unlink(missing_ok=True)  # it was of the weights that were there before


def exported_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what an exported network carries besides its weights, as JSON values."""
    calibration = checkpoint.calibration
    return {
        "format": FORMAT,
        "architecture": checkpoint.architecture,
        "pooling": checkpoint.pooling,
        "neck": checkpoint.neck,
        "metric": checkpoint.metric,
        "input": "crops: (N, H, W, 3) float32, BGR, 0..255; the network reorders and normalises",
        "preprocessing": asdict(checkpoint.preprocessing),
        "calibration": {name: getattr(calibration, name).tolist() for name in _CALIBRATION_FIELDS},
        "facts": dict(checkpoint.facts),
        "weights_sha256": checkpoint.sha256,
    }


def _of_network_file(opened: OpenedFile) -> Checkpoint:
    given, network = opened.facts, opened.network
    if not given:
        return Checkpoint(
            opened.name,
            {},
            network.prepared,
            Calibration.unknown(network.dimension),
            metric=opened.metric,
            sha256=opened.sha256,
            network_file=network,
            is_calibrated=False,
        )
    with reading(network.path, "how pictures are prepared for this network"):
        calibration = Calibration(*(np.array(given["calibration"][name], np.float32) for name in _CALIBRATION_FIELDS))
        size = given["preprocessing"]
        return Checkpoint(
            given["architecture"],
            {},
            Preprocessing(size["height"], size["width"], tuple(size["mean"]), tuple(size["std"])),
            calibration,
            given["pooling"],
            given["neck"],
            given["metric"],
            given["facts"],
            opened.sha256,
            network,
        )


def _from_header(path: Path, state: dict[str, Tensor], header: Mapping[str, str]) -> Checkpoint:
    try:
        calibration = Calibration(*(state.pop(f"calibration.{name}").float().numpy() for name in _CALIBRATION_FIELDS))
        preprocessing = json.loads(header["preprocessing"])
        architecture = header["architecture"]
        if architecture not in OSNETS or header["colour_order"] != "RGB":
            raise ValueError(f"unknown architecture {architecture} or colour order {header['colour_order']}")
        return Checkpoint(
            architecture=architecture,
            state=_as_float32(state),
            preprocessing=Preprocessing(
                height=int(preprocessing["height"]),
                width=int(preprocessing["width"]),
                mean=tuple(preprocessing["mean"]),
                std=tuple(preprocessing["std"]),
            ),
            calibration=calibration,
            pooling="gem" if header["pooling"] == "gem" else "average",
            neck="bnneck" if header["neck"] == "bnneck" else "relu",
            metric="cosine" if header["metric"] == "cosine" else "euclidean",
            facts=json.loads(header["facts"]),
            sha256=file_sha256(path),
        )
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged, or written by a newer version of this program ({error})") from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with reading(path, "these weights"):
            return read_tensors(path)
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file, or cut short ({error})") from error


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: holds more than tensors, or is no PyTorch file; loading it could run any program, so it is "
            "refused. If you trust its maker, convert it once: python -c \"import torch; c = torch.load('IN', "
            "weights_only=False); torch.save(c.get('state_dict', c), 'OUT.pth')\""
        ) from error
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, LookupError, AttributeError, TypeError,
            OverflowError, MemoryError, ImportError) as error:  # fmt: skip
        raise InputError(f"{path}: not a PyTorch weight file, or cut short ({error})") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path}: no state dict (a mapping of names to tensors) was found in it")
    return dict(content)


def _as_float32(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
