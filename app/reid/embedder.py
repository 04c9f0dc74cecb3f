"""Embedding: boxes in full frames to appearance vectors, as one batch over all cameras.

`build_embedder` chooses the weights, the device and what runs the network. Both runners do the same sums: crop, scale,
normalise, the network, unit length, and the centring that the checkpoint asks for.
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
from app.errors import InputError
from app.reid import Embedder
from app.reid.calibrate import unit_rows
from app.reid.checkpoint import Checkpoint, load_checkpoint
from app.reid.preprocess import crop_on_cpu, crop_on_device
from app.system.device import choose_device
from app.system.openvino_cache import convert_once, core

log = logging.getLogger(__name__)

BUNDLED_FOLDER = Path(__file__).parent / "weights"
BUNDLED_FOR_GPU = ("osnet_x1_0", "osnet_x0_25")
BUNDLED_FOR_CPU = ("osnet_x0_25_elsewhere", "osnet_x0_25", "osnet_x1_0")
"""Bundled weights in the order in which `auto` prefers them."""

OPENVINO_OPTIONS = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
"""Arithmetic is float32, so that results do not depend on whether the processor has bfloat16."""

MOST_PAIRED_ERROR = 1e-3
"""1 - cosine of a crop's vector alone and in a pair; beyond it the network mixes up what it is given together."""


class CropsToVectors(nn.Module):
    """The whole network of an embedder: (N, H, W, 3) BGR crops in 0..255 to (N, D) vectors as OSNet makes them."""

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
        """Return (sum of Ni, D) vectors of the boxes, picture after picture, as the network makes them."""
        ...


class TorchRunner:
    """PyTorch, on a GPU or a CPU. On a GPU boxes are also cut out and scaled there."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, half: bool, buckets: Sequence[int]) -> None:
        self.name = f"torch, {device}"
        self._size = (checkpoint.preprocessing.height, checkpoint.preprocessing.width)
        self._device = device
        self._half = half and device.type == "cuda"
        file = checkpoint.network_file
        network = file.script_module() if file is not None else CropsToVectors(checkpoint)
        self._network = network.eval().to(device)
        if file is None:
            self._network = self._network.to(memory_format=torch.channels_last)
        self._dimension = checkpoint.dimension
        self._batch = file.batch if file is not None else None
        """How many crops the network takes at once, None for any number."""
        if device.type == "cuda":
            sizes = [self._batch] if self._batch else buckets
            for size in sizes:  # the first call at each size is slow: make it before the first frame
                self._vectors(torch.zeros((size, *self._size, 3), dtype=torch.uint8, device=device))

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
        vectors = torch.empty((len(crops), self._dimension), device=self._device)
        for start, count, bucket in batches(len(crops), [self._batch] if self._batch else buckets):
            batch = crops[start : start + count]
            if (self._device.type != "cpu" or self._batch) and count < bucket:
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
        self._dimension = checkpoint.dimension
        file = checkpoint.network_file
        self._output = file.output if file is not None else 0
        self._requests: dict[int, list[Any]] = {}
        for batch in (file.batch,) if file is not None and file.batch else (1, 2):
            try:
                network = self._read(checkpoint)
                network.reshape([batch, *self._size, 3])
                compiled = core().compile_model(network, "CPU", OPENVINO_OPTIONS)
            except RuntimeError as error:
                if batch == 2:  # it says that it takes any number, and has the number of its tracing written inside
                    break
                where = file.path if file is not None else checkpoint.architecture
                raise InputError(
                    f"{where}: OpenVINO cannot run this network ({str(error).splitlines()[-1]})"
                ) from error
            streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            self._requests[batch] = [compiled.create_infer_request() for _ in range(streams)]
        if file is not None and not self._answers_alike():
            del self._requests[2]

    def _read(self, checkpoint: Checkpoint) -> Any:
        """Return the `openvino.Model` that takes crops, N left open where the network does."""
        if checkpoint.network_file is not None:
            return checkpoint.network_file.openvino_model()
        shape = (-1, *self._size, 3)
        converted = convert_once(lambda: CropsToVectors(checkpoint).eval(), checkpoint.sha256, shape, "reid")
        return core().read_model(str(converted))

    def _answers_alike(self) -> bool:
        """Return whether crops in pairs have the vectors that each has alone, or the network takes no pairs."""
        if 2 not in self._requests:
            return True
        crops = np.random.default_rng(0).integers(0, 256, (2, *self._size, 3)).astype(np.uint8)
        found = np.zeros((2, 2, self._dimension), np.float32)
        for vectors, batch in zip(found, (1, 2), strict=True):
            try:
                self._run_batches(batch, crops, vectors)
            except ValueError:  # fewer vectors than crops
                return False
        alone, paired = (unit_rows(vectors) for vectors in found)
        return bool((alone * paired).sum(axis=1).min() > 1 - MOST_PAIRED_ERROR)

    def run(
        self,
        images: Sequence[NDArray[np.uint8]],
        boxes: Sequence[NDArray[np.floating[Any]]],
        buckets: Sequence[int],
    ) -> NDArray[np.float32]:
        """See `Runner.run`; `buckets` are not needed here."""
        crops = crop_on_cpu(images, boxes, *self._size)
        vectors = np.empty((len(crops), self._dimension), np.float32)
        if 1 not in self._requests:
            return self._run_filled(crops)
        in_pairs = 0
        if 2 in self._requests and len(crops) >= 2 * len(self._requests[2]):
            in_pairs = len(crops) // 2 * 2
            self._run_batches(2, crops[:in_pairs], vectors[:in_pairs])
        self._run_batches(1, crops[in_pairs:], vectors[in_pairs:])
        return vectors

    def _run_filled(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the (N, D) vectors of a network that takes a fixed number at once: the last batch is filled up."""
        (batch,) = self._requests
        missing = -len(crops) % batch
        filled = np.concatenate([crops, np.zeros((missing, *crops.shape[1:]), np.uint8)])
        vectors = np.empty((len(filled), self._dimension), np.float32)
        self._run_batches(batch, filled, vectors)
        return vectors[: len(crops)]

    def _run_batches(self, batch: int, crops: NDArray[np.uint8], vectors: NDArray[np.float32]) -> None:
        """Fill (N, D) `vectors` for (N, H, W, 3) `crops`, N a multiple of `batch`."""
        requests = self._requests[batch]
        running: deque[tuple[Any, int]] = deque()

        def collect() -> None:
            request, start = running.popleft()
            request.wait()
            vectors[start : start + batch] = request.get_output_tensor(self._output).data.reshape(batch, -1)

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
    """An `app.reid.Embedder` for one network, whatever runs it."""

    def __init__(self, checkpoint: Checkpoint, runner: Runner, max_batch: int) -> None:
        self.name = f"{checkpoint.architecture} ({runner.name})"
        self.weights_sha256 = checkpoint.sha256
        self.dimension = checkpoint.dimension
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
        """Return (N, D) vectors of N whole (H, W, 3) BGR pictures as the network makes them: for evaluation."""
        whole = [np.array([[0, 0, picture.shape[1], picture.shape[0]]], np.float32) for picture in pictures]
        return self._runner.run(pictures, whole, self._buckets)


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
    file = checkpoint.network_file
    if file is not None and not file.is_script:
        raise InputError(f"reid.backend: torch can't run {file.path}; use backend openvino or auto")
    return TorchRunner(checkpoint, device, settings.half, batch_buckets(settings.max_batch))


def _run_in_openvino(checkpoint: Checkpoint, device: torch.device, settings: ReidSettings) -> Runner:
    if device.type != "cpu":
        raise InputError(
            f"reid.backend: openvino (which exported networks need) runs on the CPU, not on {device}; use device cpu"
        )
    file = checkpoint.network_file
    if file is not None and file.is_script:
        raise InputError(
            f"reid.backend: openvino can't run {file.path}, which is TorchScript; use backend torch or auto"
        )
    return OpenVinoRunner(checkpoint)


RUNNERS: dict[str, Callable[[Checkpoint, torch.device, ReidSettings], Runner]] = {
    "torch": _run_in_torch,
    "openvino": _run_in_openvino,
}
"""What can run the network, by the name in the setting `reid.backend`."""


def embedder_of(checkpoint: Checkpoint, settings: ReidSettings) -> NetworkEmbedder:
    """Return an embedder for a checkpoint in memory, on the device and with the backend that the settings ask for."""
    file = checkpoint.network_file
    for_cpu = file is not None and not file.is_script and settings.device == "auto"  # OpenVINO is for the CPU here
    device = choose_device("cpu" if for_cpu else settings.device, "reid.device")
    backend = settings.backend
    if backend == "auto" and file is not None:
        backend = "torch" if file.is_script else "openvino"
    elif backend == "auto":
        backend = "openvino" if device.type == "cpu" else "torch"
    return NetworkEmbedder(checkpoint, RUNNERS[backend](checkpoint, device, settings), settings.max_batch)


def build_embedder(settings: ReidSettings) -> Embedder | None:
    """Return the embedder that the settings ask for; None means that people are followed by motion only.

    >>> embedder = build_embedder(settings.reid)
    >>> [vectors] = embedder.embed([np.zeros((240, 320, 3), np.uint8)], [np.array([[10.0, 20.0, 50.0, 140.0]])])
    >>> vectors.shape == (1, embedder.dimension)
    True
    """
    if settings.weights == "none":
        return None
    weights = find_weights(settings.weights, choose_device(settings.device, "reid.device"))
    if weights is None:
        log.warning(
            "No ReID weights are bundled with this installation: people are followed by motion only and are not "
            "recognised across cameras. Give a weight file with --reid FILE, or make one with 'main.py train'."
        )
        return None
    return embedder_of(load_for_use(weights, settings), settings)


def load_for_use(weights: Path, settings: ReidSettings) -> Checkpoint:
    """Read a weight file whose distances will be read as probabilities, and say so if that is a guess."""
    checkpoint = load_checkpoint(weights, trust=settings.trust_weights)
    if not checkpoint.is_calibrated:
        log.warning(
            "%s is not calibrated: what its distances mean is assumed. After a run, fit it to your footage: "
            "main.py calibrate-reid --reid %s --run RUN",
            weights,
            weights,
        )
    return checkpoint
