"""Networks converted once to OpenVINO and kept in the user's cache folder; shared by `app.detect` and `app.reid`.

A network is known by the sha256 of its weights, the input shape, what was done to it (`variant`) and the versions of
the converter, so an entry never has to be checked for age. An entry is a folder which appears under its name in one
step (write under a temporary name, flush, rename): two processes may convert the same network at once, and one that is
killed leaves nothing that another would read. The folder may be deleted at any time.

Importing this module imports neither OpenVINO nor torch.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from app.errors import InputError

if TYPE_CHECKING:
    import torch

CONVERTER_VERSION = 1
"""Raise it when `convert_once` writes something else for the same network."""

_one_conversion = threading.RLock()  # torch cannot trace in two threads at once


def cache_folder() -> Path:
    """Return the folder for everything that can be made again: the variable OMNITRACK_CACHE, else the user's own."""
    chosen = os.environ.get("OMNITRACK_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("omnitrack", appauthor=False))


@functools.cache
def load_openvino() -> Any:
    """Import and return the module `openvino`, with its usage reports off.

    OpenVINO reports its own import and every conversion to its makers, through the package `openvino_telemetry`; where
    that cannot be imported it uses a stub. Nothing may leave this machine, so the import is made to fail. Always get
    OpenVINO from here: imported elsewhere first, it would have sent its report already.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@functools.cache
def core() -> Any:
    """Return the OpenVINO runtime of this process; compiled networks of one runtime share their worker threads."""
    return load_openvino().Core()


def convert_once(
    build_module: Callable[[], torch.nn.Module],
    weights_sha256: str,
    input_shape: Sequence[int],
    variant: str = "",
    example_shape: Sequence[int] | None = None,
) -> Path:
    """Return the path of the OpenVINO `.xml` file of a network, converting it if that was not done before.

    build_module: called only when a conversion is needed; returns the network in evaluation mode, in float32 on the
        CPU, with one input tensor.
    weights_sha256: sha256 of the weight file or of the weights.
    input_shape: shape of the input tensor (float32); -1 leaves a side open.
    variant: what else distinguishes the network that `build_module` makes, for example changes to its head.
    example_shape: shape of the input while the network is traced; by default open sides are 2 (not 1, which a tracer
        may take for a side that broadcasts).

    Weights are stored in float32. Raises InputError if the cache folder cannot be written.
    """
    openvino = load_openvino()
    shape = tuple(int(side) for side in input_shape)
    identity = "\n".join([weights_sha256, str(shape), variant, str(CONVERTER_VERSION), openvino.get_version()])
    key = hashlib.sha256(identity.encode()).hexdigest()[:32]
    entries = cache_folder() / "openvino"
    entry = entries / key
    network = entry / "network.xml"
    if network.is_file():
        return network

    converted = _convert(build_module, shape, example_shape or [side if side > 0 else 2 for side in shape])
    try:
        entries.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=entries))
    except OSError as error:
        raise InputError(
            f"{entries}: cannot keep converted networks here ({error.strerror}); set OMNITRACK_CACHE to a folder that "
            "can be written"
        ) from error
    try:
        openvino.save_model(converted, unfinished / "network.xml", compress_to_fp16=False)
        for file in unfinished.iterdir():
            _flush(file)
        unfinished.rename(entry)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not network.is_file():  # else another process was faster, and made the same
            raise InputError(f"{entry}: cannot keep a converted network here ({error.strerror})") from error
    return network


def compile_on_cpu(network: Any) -> Any:
    """Return the `openvino.CompiledModel` of an `openvino.Model` or of a network file (Path).

    All cores work on one request, so that it ends as soon as possible. Arithmetic is float32: results do not depend on
    whether the processor has bfloat16.
    """
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    return core().compile_model(network, "CPU", options)


def _convert(build_module: Callable[[], torch.nn.Module], shape: Sequence[int], example_shape: Sequence[int]) -> Any:
    """Return the `openvino.Model` of a network."""
    import torch

    openvino = load_openvino()
    example = torch.zeros(*example_shape)
    with _one_conversion, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # tracing warns of every size that becomes a constant, which is wanted here
        return openvino.convert_model(build_module(), example_input=example, input=[openvino.PartialShape(list(shape))])


def _flush(file: Path) -> None:
    """Force a file's content to the disk, so that no rename can reach it first."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
