"""ReID weights as files that other programs run: ONNX, OpenVINO, TorchScript, TensorRT.

The exported network takes `crops`, (N, H, W, 3) float32 BGR in 0..255 of the size that the weights were trained for,
and returns `vectors`, (N, 512) as OSNet makes them: reordering of colours and normalisation are inside. What else a
reader needs (size, metric, centre and calibration curve, training data) travels as JSON under the key `omnitrack`:
in ONNX's metadata, OpenVINO's runtime information, an extra file of the TorchScript archive, or, for TensorRT, which
keeps none, in a file beside the engine. `--reid` takes all but TensorRT engines back.

No file appears under its name before the network in it was run and compared with the one it was made from.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from app.errors import InputError, RunError
from app.reid.calibrate import unit_rows
from app.reid.checkpoint import Checkpoint, exported_facts, load_checkpoint
from app.reid.embedder import OPENVINO_OPTIONS, CropsToVectors, require_weights
from app.reid.network_files import EXPORT_KEY
from app.system.openvino_cache import core, load_openvino

MAX_COSINE_ERROR = 1e-3
"""A larger difference in direction between the exported network's vectors and the original's is refused."""

LARGEST_BATCH = 64
"""Of a TensorRT engine, which is built for a range of batch sizes; the other formats take any."""

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""The exported network as a function of (N, H, W, 3) crops."""


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """How a format is written into a folder, and what its file must be called.

    write: given the network and its facts as JSON, writes `network` + suffix (and what belongs to it) into the folder.
    load: reads that file back and returns it as a function.
    """

    suffix: str
    write: Callable[[CropsToVectors, str, Path], None]
    load: Callable[[Path], Run]


def export_reid(weights: str, format_name: str, output: Path) -> dict[str, Any]:
    """Write weights in another format.

    weights: file or bundled name. format_name: one of `FORMATS`. output: the file to write; its ending must fit.
    Returns `file`, `format`, `max_cosine_error` (over made-up pictures, alone and in batches) and `bytes`.
    Raises InputError for weights or a format that can't be used here, RunError if the exported network answers
    differently, by more than `MAX_COSINE_ERROR`.
    """
    chosen = FORMATS[format_name]
    if output.suffix != chosen.suffix:
        raise InputError(f"--output {output}: the name of a file for {format_name} ends in {chosen.suffix}")
    if not output.parent.is_dir():
        raise InputError(f"--output {output}: there is no folder {output.parent}")
    taken = [path for path in (output, output.with_suffix(".bin")) if path.exists()]
    if taken and (taken[0] == output or chosen.suffix == ".xml"):
        raise InputError(f"--output {taken[0]} is there already; give another name, or delete it")
    checkpoint = load_checkpoint(require_weights(weights, "--weights"))
    network = CropsToVectors(checkpoint).eval()
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-") as name:
        made = Path(name) / f"network{chosen.suffix}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracers warn of every size that becomes a constant, which is wanted here
            chosen.write(network, json.dumps(exported_facts(checkpoint)), made)
            error = max_cosine_error(checkpoint, chosen.load(made))
        if not error <= MAX_COSINE_ERROR:
            raise RunError(
                f"the exported network's vectors differ from the original's by a cosine of {error:.2g}, and "
                f"{MAX_COSINE_ERROR:g} is allowed: nothing was written"
            )
        parts = sorted(Path(name).iterdir(), key=lambda part: part.suffix == chosen.suffix)
        size = sum(part.stat().st_size for part in parts)
        for part in parts:  # the file itself comes last, when what belongs to it is there
            part.replace(output.with_suffix(part.suffix))
    return {
        "file": str(output),
        "format": format_name,
        "max_cosine_error": error,
        "bytes": size,
    }


def max_cosine_error(checkpoint: Checkpoint, run: Run) -> float:
    """Return the largest 1 - cosine between vectors of `run` and of the checkpoint's own network, on made-up pictures.

    They are run alone and in batches, so that a batch size frozen by a tracer is noticed.
    """
    size = checkpoint.preprocessing
    random = np.random.default_rng(0)
    crops = np.stack(
        [
            cv2.resize(random.uniform(0, 255, (rows, 4, 3)).astype(np.float32), (size.width, size.height))
            for rows in (3, 5, 8, 16, 24, 32)
        ]
    )
    with torch.inference_mode():
        expected = unit_rows(checkpoint.network()(size.normalise(torch.from_numpy(crops))).numpy())
    parts = [run(crops[:1]), run(crops[1:3]), run(crops[3:])]
    found = unit_rows(np.concatenate(parts).astype(np.float32))
    return float(1 - np.einsum("nd,nd->n", expected.astype(np.float64), found.astype(np.float64)).min())


def _example(network: CropsToVectors) -> torch.Tensor:
    size = network.preprocessing
    return torch.zeros(2, size.height, size.width, 3)


def _write_onnx(network: CropsToVectors, facts: str, file: Path) -> None:
    try:
        import onnx
    except ImportError as error:
        raise InputError("export to ONNX needs the package onnx: pip install 'omnitrack[export]'") from error
    open_batch = {"crops": {0: "batch"}, "vectors": {0: "batch"}}
    torch.onnx.export(
        network, (_example(network),), str(file), input_names=["crops"], output_names=["vectors"],
        dynamic_axes=open_batch, opset_version=17, dynamo=False,
    )  # fmt: skip
    model = onnx.load(str(file))
    model.doc_string = "crops: (N, H, W, 3) float32 BGR in 0..255; vectors: (N, 512), to be scaled to length 1"
    model.metadata_props.add(key=EXPORT_KEY, value=facts)
    onnx.save(model, str(file))


def _write_openvino(network: CropsToVectors, facts: str, file: Path) -> None:
    openvino = load_openvino()
    size = network.preprocessing
    shape = openvino.PartialShape([-1, size.height, size.width, 3])
    with torch.inference_mode():
        model = openvino.convert_model(network, example_input=_example(network), input=[shape])
    model.set_rt_info(facts, [EXPORT_KEY])
    openvino.save_model(model, str(file), compress_to_fp16=False)


def _load_with_openvino(file: Path) -> Run:
    compiled = core().compile_model(core().read_model(str(file)), "CPU", OPENVINO_OPTIONS)
    return lambda crops: np.array(compiled(crops)[0])


def _write_torchscript(network: CropsToVectors, facts: str, file: Path) -> None:
    with torch.inference_mode():
        traced = torch.jit.trace(network, _example(network), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, file, _extra_files={EXPORT_KEY: facts})


def _load_torchscript(file: Path) -> Run:
    loaded = torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]

    def run(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return loaded(torch.from_numpy(crops)).numpy()

    return run


def _write_tensorrt(network: CropsToVectors, facts: str, file: Path) -> None:
    tensorrt = _tensorrt()
    size = network.preprocessing
    onnx_file = file.with_suffix(".onnx")
    _write_onnx(network, facts, onnx_file)
    log = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(log)
    definition = builder.create_network(0)
    parser = tensorrt.OnnxParser(definition, log)
    if not parser.parse(onnx_file.read_bytes()):
        said = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
        raise RunError(f"TensorRT cannot read the network: {said}")
    onnx_file.unlink()
    profile = builder.create_optimization_profile()
    shapes = [(batch, size.height, size.width, 3) for batch in (1, 16, LARGEST_BATCH)]
    profile.set_shape("crops", *shapes)
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(definition, config)
    if engine is None:
        raise RunError("TensorRT could not build an engine for this GPU; its messages above say why")
    file.write_bytes(bytes(engine))
    file.with_suffix(".json").write_text(facts, encoding="utf-8")


def _load_tensorrt(file: Path) -> Run:
    tensorrt = _tensorrt()
    engine = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING)).deserialize_cuda_engine(file.read_bytes())
    context = engine.create_execution_context()

    def run(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        given = torch.from_numpy(crops).cuda().contiguous()
        context.set_input_shape("crops", tuple(given.shape))
        vectors = torch.empty(tuple(context.get_tensor_shape("vectors")), device="cuda")
        context.set_tensor_address("crops", given.data_ptr())
        context.set_tensor_address("vectors", vectors.data_ptr())
        context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
        return vectors.cpu().numpy()

    return run


def _tensorrt() -> Any:
    if not torch.cuda.is_available():
        raise InputError("--format tensorrt: an engine is built on the GPU that runs it, and PyTorch finds none here")
    try:
        import tensorrt
    except ImportError as error:
        raise InputError("--format tensorrt: the package tensorrt is not installed: pip install tensorrt") from error
    return tensorrt


FORMATS: dict[str, ExportFormat] = {
    "onnx": ExportFormat(".onnx", _write_onnx, _load_with_openvino),
    "openvino": ExportFormat(".xml", _write_openvino, _load_with_openvino),
    "torchscript": ExportFormat(".pt", _write_torchscript, _load_torchscript),
    "tensorrt": ExportFormat(".engine", _write_tensorrt, _load_tensorrt),
}
