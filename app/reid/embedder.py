"""Embedding: boxes in full frames to appearance vectors, as one batch over all cameras.

`build_embedder` chooses the weights, the device and what runs the network. Both runners do the same sums: crop, scale,
normalise, OSNet, unit length, and the centring that the checkpoint asks for.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.config import ReidSettings
from app.detect.device import choose_device
from app.errors import InputError
from app.openvino_cache import convert_once, core
from app.reid import Embedder
from app.reid.checkpoint import Checkpoint, load_checkpoint
from app.reid.osnet import FEATURE_DIMENSION
from app.reid.preprocess import crop_on_cpu, crop_on_device

log = logging.getLogger(__name__)

BUNDLED_FOLDER = Path(__file__).parent / "weights"
BUNDLED_FOR_GPU = ("osnet_x1_0", "osnet_x0_25")
BUNDLED_FOR_CPU = ("osnet_x0_25", "osnet_x1_0")
"""Bundled weights in the order in which `auto` prefers them."""

OPENVINO_OPTIONS = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
"""Arithmetic is float32, so that results do not depend on whether the processor has bfloat16."""


class CropsToVectors(nn.Module):
    """The whole network of an embedder: (N, H, W, 3) BGR crops in 0..255 to (N, 512) vectors as OSNet makes them."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.preprocessing = checkpoint.preprocessing
        self.network = checkpoint.network()
        fuse_batch_norms(self.network)

    def forward(self, crops: Tensor) -> Tensor:
        return self.network(self.preprocessing.normalise(crops)).float()


def fuse_batch_norms(network: nn.Module) -> None:
    """Multiply every BatchNorm of an evaluation-mode network into the convolution before it, in place."""
    for module in network.modules():
        convolution = getattr(module, "conv2" if hasattr(module, "conv2") else "conv", None)
        norm = getattr(module, "bn", None)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            fused = nn.utils.fusion.fuse_conv_bn_eval(convolution, norm)
            setattr(module, "conv2" if convolution is getattr(module, "conv2", None) else "conv", fused)
            module.bn = nn.Identity()


class Runner(Protocol):
    """Runs the network of a checkpoint on batches whose sizes come from a short list."""

    name: str

    def run(
        self,
        images: Sequence[NDArray[np.uint8]],
        boxes: Sequence[NDArray[np.floating[Any]]],
        buckets: Sequence[int],
    ) -> NDArray[np.float32]:
        """Return (sum of Ni, 512) vectors of the boxes, picture after picture, as the network makes them."""
        ...


class TorchRunner:
    """PyTorch, on a GPU or a CPU. On a GPU boxes are also cut out and scaled there."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, half: bool, buckets: Sequence[int]) -> None:
        self.name = f"torch, {device}"
        self._size = (checkpoint.preprocessing.height, checkpoint.preprocessing.width)
        self._device = device
        self._half = half and device.type == "cuda"
        self._network = CropsToVectors(checkpoint).eval().to(device).to(memory_format=torch.channels_last)
        if device.type == "cuda":
            for bucket in buckets:  # the first call at each size is slow: make it before the first frame
                self._vectors(torch.zeros((bucket, *self._size, 3), dtype=torch.uint8, device=device))

    def run(
        self,
        images: Sequence[NDArray[np.uint8]],
        boxes: Sequence[NDArray[np.floating[Any]]],
        buckets: Sequence[int],
    ) -> NDArray[np.float32]:
        """See `Runner.run`."""
        if self._device.type == "cpu":
            crops = torch.from_numpy(crop_on_cpu(images, boxes, *self._size))
        else:
            crops = crop_on_device(images, boxes, *self._size, self._device)
        vectors = torch.empty((len(crops), FEATURE_DIMENSION), device=self._device)
        for start, count, bucket in batches(len(crops), buckets):
            batch = crops[start : start + count]
            if self._device.type != "cpu" and count < bucket:
                batch = nn.functional.pad(batch, (0, 0, 0, 0, 0, 0, 0, bucket - count))
            vectors[start : start + count] = self._vectors(batch)[:count]
        return vectors.cpu().numpy()

    @torch.inference_mode()
    def _vectors(self, crops: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.float16, enabled=self._half):
            return self._network(crops)


class OpenVinoRunner:
    """OpenVINO on the CPU: as many small batches side by side as there are cores, each on one core.

    Measured on two cores with x0.25: batches of one or two in two streams embed as many crops a second as any larger
    batch, nearly twice as many as one batch on all cores or as a network whose batch size is left open, and keep both
    cores busy without having to wait for each other inside a layer.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.name = "openvino, cpu"
        self._size = (checkpoint.preprocessing.height, checkpoint.preprocessing.width)
        file = checkpoint.network_file or convert_once(
            lambda: CropsToVectors(checkpoint).eval(), checkpoint.sha256, (-1, *self._size, 3), "reid"
        )
        self._requests: dict[int, list[Any]] = {}
        for batch in (1, 2):
            network = core().read_model(str(file))
            network.reshape([batch, *self._size, 3])
            compiled = core().compile_model(network, "CPU", OPENVINO_OPTIONS)
            streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            self._requests[batch] = [compiled.create_infer_request() for _ in range(streams)]

    def run(
        self,
        images: Sequence[NDArray[np.uint8]],
        boxes: Sequence[NDArray[np.floating[Any]]],
        buckets: Sequence[int],
    ) -> NDArray[np.float32]:
        """See `Runner.run`; `buckets` are not needed here."""
        crops = crop_on_cpu(images, boxes, *self._size)
        vectors = np.empty((len(crops), FEATURE_DIMENSION), np.float32)
        in_pairs = len(crops) // 2 * 2 if len(crops) >= 2 * len(self._requests[2]) else 0
        self._run_batches(2, crops[:in_pairs], vectors[:in_pairs])
        self._run_batches(1, crops[in_pairs:], vectors[in_pairs:])
        return vectors

    def _run_batches(self, batch: int, crops: NDArray[np.uint8], vectors: NDArray[np.float32]) -> None:
        """Fill (N, 512) `vectors` for (N, H, W, 3) `crops`, N a multiple of `batch`."""
        requests = self._requests[batch]
        running: deque[tuple[Any, int]] = deque()

        def collect() -> None:
            request, start = running.popleft()
            request.wait()
            vectors[start : start + batch] = request.get_output_tensor().data

        for turn, start in enumerate(range(0, len(crops), batch)):
            if len(running) == len(requests):
                collect()
            request = requests[turn % len(requests)]
            request.get_input_tensor().data[:] = crops[start : start + batch]
            request.start_async()
            running.append((request, start))
        while running:
            collect()


class NetworkEmbedder:
    """An `app.reid.Embedder` for an OSNet, whatever runs it."""

    def __init__(self, checkpoint: Checkpoint, runner: Runner, max_batch: int) -> None:
        self.name = f"{checkpoint.architecture} ({runner.name})"
        self.weights_sha256 = checkpoint.sha256
        self.dimension = FEATURE_DIMENSION
        self.calibration = checkpoint.calibration
        self._runner = runner
        self._buckets = batch_buckets(max_batch)

    def embed(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.floating[Any]]]
    ) -> list[NDArray[np.float32]]:
        """See `app.reid.Embedder.embed`."""
        unit = unit_rows(self._runner.run(images, boxes, self._buckets))
        ends = np.cumsum([len(rows) for rows in boxes])
        return np.split(self.calibration.centered(unit), ends[:-1]) if len(boxes) else []

    def raw_vectors(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return (N, 512) vectors of N whole (H, W, 3) BGR pictures as the network makes them: for evaluation."""
        whole = [np.array([[0, 0, picture.shape[1], picture.shape[0]]], np.float32) for picture in pictures]
        return self._runner.run(pictures, whole, self._buckets)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (N, D) rows scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def batch_buckets(max_batch: int) -> list[int]:
    """Return the batch sizes that are ever run: powers of two up to `max_batch`, and `max_batch` itself."""
    sizes = [1]
    while sizes[-1] * 2 < max_batch:
        sizes.append(sizes[-1] * 2)
    return sizes if max_batch == 1 else [*sizes, max_batch]


def batches(count: int, buckets: Sequence[int]) -> list[tuple[int, int, int]]:
    """Divide `count` rows into batches: (first row, rows, bucket that they are padded to)."""
    divided = []
    start = 0
    while start < count:
        rows = min(count - start, buckets[-1])
        bucket = next(size for size in buckets if size >= rows)
        divided.append((start, rows, bucket))
        start += rows
    return divided


def find_weights(weights: str, device: torch.device, setting: str = "reid.weights") -> Path | None:
    """Turn the value of a setting into a file; None if `auto` finds no bundled weights.

    Raises InputError for a name or path that does not exist, which names `setting`.
    """
    if weights == "auto":
        names = BUNDLED_FOR_GPU if device.type == "cuda" else BUNDLED_FOR_CPU
        candidates = [BUNDLED_FOLDER / f"{name}.safetensors" for name in names]
        return next((file for file in candidates if file.is_file()), None)
    bundled = BUNDLED_FOLDER / f"{weights}.safetensors"
    if bundled.is_file():
        return bundled
    path = Path(weights)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in BUNDLED_FOLDER.glob("*.safetensors"))) or "none"
        raise InputError(f"{setting}: there is no file {weights!r} and no bundled weights of that name ({known})")
    return path


def require_weights(weights: str, setting: str) -> Path:
    """Return the file that `setting` names, as `find_weights` does on a CPU. Raises InputError where there is none."""
    path = find_weights(weights, torch.device("cpu"), setting)
    if path is None:
        raise InputError(f"{setting}: no ReID weights are bundled with this installation; name a file")
    return path


def _run_in_torch(checkpoint: Checkpoint, device: torch.device, settings: ReidSettings) -> Runner:
    if checkpoint.network_file is not None:
        raise InputError(f"reid.backend: torch can't run {checkpoint.network_file}; use backend openvino or auto")
    return TorchRunner(checkpoint, device, settings.half, batch_buckets(settings.max_batch))


def _run_in_openvino(checkpoint: Checkpoint, device: torch.device, settings: ReidSettings) -> Runner:
    if device.type != "cpu":
        raise InputError(
            f"reid.backend: openvino (which exported networks need) runs on the CPU, not on {device}; use device cpu"
        )
    return OpenVinoRunner(checkpoint)


RUNNERS: dict[str, Callable[[Checkpoint, torch.device, ReidSettings], Runner]] = {
    "torch": _run_in_torch,
    "openvino": _run_in_openvino,
}
"""What can run the network, by the name in the setting `reid.backend`."""


def embedder_of(checkpoint: Checkpoint, settings: ReidSettings) -> NetworkEmbedder:
    """Return an embedder for a checkpoint in memory, on the device and with the backend that the settings ask for."""
    device = choose_device(settings.device, "reid.device")
    backend = settings.backend
    if backend == "auto":
        backend = "openvino" if device.type == "cpu" or checkpoint.network_file else "torch"
    return NetworkEmbedder(checkpoint, RUNNERS[backend](checkpoint, device, settings), settings.max_batch)


def build_embedder(settings: ReidSettings) -> Embedder | None:
    """Return the embedder that the settings ask for; None means that people are followed by motion only."""
    if settings.weights == "none":
        return None
    weights = find_weights(settings.weights, choose_device(settings.device, "reid.device"))
    if weights is None:
        log.warning(
            "No ReID weights are bundled with this installation: people are followed by motion only and are not "
            "recognised across cameras. Give a weight file with --reid FILE, or make one with 'main.py train'."
        )
        return None
    return embedder_of(load_checkpoint(weights), settings)
