"""Networks that come as files to be run: ONNX, OpenVINO and TorchScript, ours (`app.reid.export`) and other makers'.

What a file of another maker does not say comes from `NAME.yaml` beside it or from its family (`app.reid.families`).
A TorchScript file is a program, and is loaded only for a user who trusts its maker.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from app.errors import InputError
from app.reid.families import FAMILIES, Description, Seen, description_file, prepared_as, read_description
from app.reid.preprocess import Preprocessing
from app.system.checksum import file_sha256
from app.system.openvino_cache import core, load_openvino
from app.system.untrusted import reading

FORMAT = "omnitrack-reid-1"
EXPORT_KEY = "omnitrack"
"""Under which an exported network (`app.reid.export`) carries what is in our headers, as JSON."""

OPENVINO_ENDINGS = (".onnx", ".xml")
AS_EXPORTED = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "colours": "BGR", "scale": 1.0, "channels_last": True}
"""How our own exports take pictures: as they are, (N, H, W, 3) BGR in 0..255."""

LARGEST_DIMENSION = 65_536


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """A network that can be run but not trained or changed.

    prepared: how it takes pictures. dimension: length of its vectors. output: which of its outputs they are.
    batch: how many pictures it takes at once, None for any number.
    """

    path: Path
    prepared: Preprocessing
    dimension: int
    output: int = 0
    batch: int | None = None

    @property
    def is_script(self) -> bool:
        return self.path.suffix not in OPENVINO_ENDINGS

    def openvino_model(self) -> Any:
        """Return the `openvino.Model` that takes (N, H, W, 3) uint8 BGR crops and prepares them itself."""
        openvino = load_openvino()
        prepared = self.prepared
        builder = openvino.preprocess.PrePostProcessor(_read_model(self.path))
        pictures = builder.input(0)
        pictures.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        pictures.tensor().set_color_format(openvino.preprocess.ColorFormat.BGR)
        pictures.tensor().set_shape(openvino.PartialShape([self.batch or -1, prepared.height, prepared.width, 3]))
        pictures.model().set_layout(openvino.Layout("NHWC" if prepared.channels_last else "NCHW"))
        steps = pictures.preprocess().convert_element_type(openvino.Type.f32)
        if prepared.colours == "RGB":
            steps.convert_color(openvino.preprocess.ColorFormat.RGB)
        steps.scale(prepared.scale).mean(list(prepared.mean)).scale(list(prepared.std))
        builder.output(self.output).tensor().set_element_type(openvino.Type.f32)
        return builder.build()

    def script_module(self) -> nn.Module:
        """Return the TorchScript program as a module: (N, H, W, 3) BGR crops in 0..255 to (N, D) vectors."""
        return _Script(self)


class _Script(nn.Module):
    def __init__(self, file: NetworkFile) -> None:
        super().__init__()
        self.file = file
        self.network = _load_script(file.path)[0]

    def forward(self, crops: Tensor) -> Tensor:
        return _vectors_of(self.network(self.file.prepared.normalise(crops)), self.file.output)


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A network file, and what is known of it: `facts` is the content of our own header, {} for another maker's."""

    network: NetworkFile
    name: str
    metric: Literal["cosine", "euclidean"]
    sha256: str
    facts: Mapping[str, Any]


def is_network_file(path: Path) -> bool:
    """Say whether a weight file is a network to be run, and not tensors alone. Reads no more than a list of names."""
    if path.suffix in OPENVINO_ENDINGS:
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") or "/code/" in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def open_network_file(path: Path, trust: bool) -> OpenedFile:
    """Read what is known of a network file.

    trust: whether a TorchScript program may be loaded, which runs it. Raises InputError that names the file, and the
    key of `NAME.yaml` where that is wrong or missing.
    """
    described = read_description(path)
    if path.suffix in OPENVINO_ENDINGS:
        model = _read_model(path)
        place = ["framework", EXPORT_KEY] if path.suffix == ".onnx" else [EXPORT_KEY]
        own = model.get_rt_info(place).astype(str) if model.has_rt_info(place) else ""
        files = [path] if path.suffix == ".onnx" else [path, path.with_suffix(".bin")]
    else:
        if not trust:
            raise InputError(
                f"{path}: a TorchScript file is a program, which could do anything on this machine while it is loaded "
                "or run. If you trust who made it, add --trust-weights (or --set reid.trust_weights=true); else ask "
                "for ONNX"
            )
        script, own = _load_script(path)
        files = [path]
    with reading(path, "this network"):
        sums = [file_sha256(file) for file in files]
    facts = _own_facts(path, own)
    if facts:
        with reading(path, "how pictures are prepared for this network"):
            size = {side: int(facts["preprocessing"][side]) for side in ("height", "width")}
            prepared = Preprocessing(**size, **AS_EXPORTED)  # type: ignore[arg-type]  # values of one dict have one type
            dimension, metric = len(facts["calibration"]["center"]), facts["metric"]
        identity = sums[0] if len(sums) == 1 else sha256("\n".join(sums).encode()).hexdigest()
        return OpenedFile(NetworkFile(path, prepared, dimension), path.stem, metric, identity, facts)
    if path.suffix in OPENVINO_ENDINGS:
        network, name = _of_model(path, model, described)
    else:
        network, name = _of_script(path, script, described)
    # What a vector is depends on how pictures were prepared, so that is part of what tells networks apart.
    how = json.dumps([getattr(network.prepared, field.name) for field in fields(Preprocessing)] + [network.output])
    identity = sha256("\n".join([*sums, how]).encode()).hexdigest()
    return OpenedFile(network, name, described.metric or "cosine", identity, {})


def _own_facts(path: Path, text: str) -> dict[str, Any]:
    with reading(path, "how pictures are prepared for this network"):
        found = json.loads(text) if text else {}
        return found if found.get("format") == FORMAT else {}


# --- ONNX and OpenVINO -----------------------------------------------------------------------------------------------


def _read_model(path: Path) -> Any:
    try:
        return core().read_model(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: not a network that OpenVINO can read ({str(error).splitlines()[0]})") from error


def _of_model(path: Path, model: Any, described: Description) -> tuple[NetworkFile, str]:
    """Return an ONNX or OpenVINO network of another maker, and what to call it."""
    if len(model.inputs) != 1:
        inputs = ", ".join(sorted(name for given in model.inputs for name in given.get_names()))
        raise InputError(
            f"{path}: takes {len(model.inputs)} inputs ({inputs}); a ReID network takes pictures alone. Export it "
            "without the others, such as camera or view"
        )
    shape = _sides(model.input(0).get_partial_shape())
    last = _channels_last(path, shape, described)
    batch, height, width = (shape[0], *(shape[1:3] if last else shape[2:4]))
    for side, in_file in (("height", height), ("width", width)):
        said = getattr(described, side)
        if None not in (said, in_file) and said != in_file:
            raise InputError(f"{description_file(path)}: {side}: {said} is said, but the network takes {in_file}")
    size = _size(path, (height or described.height, width or described.width), described)
    own_mean = _own_mean(model)
    with reading(path, "this network"):
        sides = (*size, 3) if last else (3, *size)
        model.reshape([batch or 1, *sides])
    names = [min(out.get_names(), default="") for out in model.outputs]
    shapes = [_sides(out.get_partial_shape()) for out in model.outputs]
    output = _output(path, names, shapes, batch or 1, described)
    dimension = int(np.prod([side or 0 for side in shapes[output][1:]]))
    _check_dimension(path, dimension)
    every_name = frozenset(name for out in model.outputs for name in out.get_names())
    prepared = prepared_as(path, Seen(*size, dimension, every_name, own_mean), described, last)
    return NetworkFile(path, prepared, dimension, output, batch), path.stem


def _sides(shape: Any) -> list[int | None]:
    if shape.rank.is_dynamic:
        return []
    return [side.get_length() if side.is_static else None for side in shape]


def _channels_last(path: Path, shape: list[int | None], described: Description) -> bool:
    if len(shape) != 4:
        raise InputError(f"{path}: takes an input of {len(shape)} sides; a ReID network takes pictures, of four sides")
    channels = {"NCHW": shape[1], "NHWC": shape[3]}
    if described.layout is not None:
        if channels[described.layout] not in (3, None):
            raise InputError(f"{description_file(path)}: layout: {described.layout} does not fit an input of {shape}")
        return described.layout == "NHWC"
    fitting = [layout for layout, side in channels.items() if side == 3]
    if len(fitting) != 1:
        raise InputError(
            f"{path}: an input of {shape} does not say where its three colours are; write into "
            f"{description_file(path)}: layout: NCHW (or NHWC)"
        )
    return fitting[0] == "NHWC"


def _size(path: Path, sides: tuple[int | None, int | None], described: Description) -> tuple[int, int]:
    height, width = sides
    if described.family is not None and None in sides:
        usual = FAMILIES[described.family].prepared
        height, width = height or usual.height, width or usual.width
    if height is None or width is None:
        raise InputError(
            f"{path}: does not say the size of its input; write into {description_file(path)}: height: and width: in "
            "pixels, such as 256 and 128"
        )
    return height, width


def _output(path: Path, names: list[str], shapes: list[list[int | None]], batch: int, described: Description) -> int:
    """Return which output is the vector: the one that the user names, else the only one that can be."""
    wanted = described.output
    if wanted is not None:
        found = wanted if isinstance(wanted, int) else names.index(wanted) if wanted in names else -1
        if not 0 <= found < len(names):
            raise InputError(f"{description_file(path)}: output: {wanted} is none of {', '.join(names)}")
        return found
    possible = [
        number
        for number, shape in enumerate(shapes)
        if len(shape) >= 2 and shape[0] == batch and None not in shape and sum(side != 1 for side in shape[1:]) == 1
    ]
    if len(possible) != 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in zip(names, shapes, strict=True))
        raise InputError(
            f"{path}: which of its outputs is the vector of a person ({listed})? A vector is (pictures, length). Write "
            f"its name into {description_file(path)}: output: NAME"
        )
    return possible[0]


def _check_dimension(path: Path, dimension: int) -> None:
    if not 2 <= dimension <= LARGEST_DIMENSION:
        raise InputError(f"{path}: gives vectors of {dimension} numbers, which cannot tell people apart")


def _own_mean(model: Any) -> tuple[float, ...] | None:
    """Return what a network subtracts from its input before anything else, in units of that; None if nothing."""
    node, factor, offset = model.input(0).node, np.ones(3), np.zeros(3)
    touched = False
    while True:
        following = [use.get_node() for use in node.output(0).get_target_inputs()]
        if len(following) != 1:
            break
        kind = following[0].get_type_name()
        if kind in ("Subtract", "Add", "Multiply", "Divide"):
            other = [value.get_node() for value in following[0].input_values() if value.get_node() != node]
            numbers = _constant(other[0]) if len(other) == 1 else None
            if numbers is None:
                break
            if kind in ("Multiply", "Divide"):
                scale = numbers if kind == "Multiply" else 1 / np.where(numbers, numbers, np.inf)
                factor, offset = factor * scale, offset * scale
            else:
                offset = offset + (numbers if kind == "Add" else -numbers)
            touched = True
        elif kind not in ("Convert", "Transpose"):
            break
        node = following[0]
    if not touched or not factor.all():
        return None
    return tuple((-offset / factor).tolist())


def _constant(node: Any) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Return the three numbers of a constant, one for each colour; None for anything else."""
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    numbers = np.asarray(node.data, np.float64).ravel()
    return np.broadcast_to(numbers, 3) if numbers.size in (1, 3) else None


# --- TorchScript -----------------------------------------------------------------------------------------------------


def _load_script(path: Path) -> tuple[Any, str]:
    """Return a TorchScript program on the CPU, and what our own export wrote into it."""
    extra = {EXPORT_KEY: ""}
    with reading(path, "this TorchScript program"):
        program = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)  # type: ignore[no-untyped-call]  # PyTorch's
    text = extra[EXPORT_KEY]
    return program.eval(), text.decode() if isinstance(text, bytes) else text


def _of_script(path: Path, program: Any, described: Description) -> tuple[NetworkFile, str]:
    """Return a TorchScript network of another maker, and what to call it. The file says nothing of its input."""
    height, width = _size(path, (described.height, described.width), described)
    last = described.layout == "NHWC"
    wanted = described.output or 0
    if isinstance(wanted, str):
        raise InputError(f"{description_file(path)}: output: a TorchScript program's outputs have numbers, from 0")
    sides = (height, width, 3) if last else (3, height, width)
    with reading(path, "this TorchScript program, which was given one picture"), torch.inference_mode():
        vectors = _vectors_of(program(torch.zeros(described.batch or 1, *sides)), wanted)
    _check_dimension(path, vectors.shape[1])
    seen = Seen(height, width, vectors.shape[1], is_hidden=True)
    prepared = prepared_as(path, seen, described, last)
    return NetworkFile(path, prepared, vectors.shape[1], wanted, described.batch), path.stem


def _vectors_of(answer: Any, output: int) -> Tensor:
    """Return the (N, D) float32 vectors in what a program returned: a tensor, several, or several by name."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    vectors: Tensor = answer[output] if isinstance(answer, (list, tuple)) else answer
    return vectors.flatten(1).float()
