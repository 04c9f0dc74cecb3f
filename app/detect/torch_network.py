"""Running a detection network with PyTorch: on a GPU, or on the CPU where OpenVINO is not wanted."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


class TorchNetwork:
    """Runs a network with PyTorch on a GPU, or on the CPU where OpenVINO is not wanted."""

    def __init__(self, module: torch.nn.Module, device: torch.device, half: bool) -> None:
        self._dtype = torch.float16 if half else torch.float32
        self._module = module.to(device, self._dtype).to(memory_format=torch.channels_last)
        self._device = device

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run (B, H, W, 3) uint8 BGR images; return the first output (B, …) float32."""
        pictures = torch.from_numpy(images).to(self._device, non_blocking=True)
        pictures = pictures.flip(-1).permute(0, 3, 1, 2).to(self._dtype).div_(255)
        output = self._module(pictures)
        if isinstance(output, (list, tuple)):
            output = output[0]
        return output.float().cpu().numpy()
