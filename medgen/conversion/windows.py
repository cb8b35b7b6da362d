"""A method's answer to a whole encoded source, window by window, on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medgen.config import ConvertConfig
from medgen.conversion.blending import blend
from medgen.conversion.decoding import Keep
from medgen.conversion.progress import Progress
from medgen.conversion.tiling import Tiling, plan_tiling
from medgen.method import Method

WINDOWS_AT_ONCE = {"cuda": 4}
"""Windows in one batch by device type; elsewhere one, since batching gains nothing on a CPU."""


@dataclass(frozen=True, eq=False)
class Windowed:
    """An encoded answer, and how its windows lay."""

    encoded: Tensor
    """(K, X, Y, Z) float32 on the CPU."""
    tiling: Tiling
    skipped: int
    """Windows without a voxel to answer."""
    spared: tuple[str, ...] = ()
    """What was given up for want of memory, in words; empty where nothing was."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Answer encoded sources with a method that stands on `device` in eval mode."""

    method: Method
    answer: str
    settings: ConvertConfig
    device: torch.device
    precision: Literal["bf16", "fp32"]
    patch: tuple[int, int, int]
    """The training patch in voxels."""
    limit_bytes: int | None = None
    """Memory that one conversion may take; None: what there is."""

    def tiling(self, shape: tuple[int, ...]) -> Tiling:
        """Lay the windows over a volume of `shape` voxels.

        Raises:
            ConfigurationError: E_WINDOW.
        """
        return plan_tiling(
            shape,
            patch=self.patch,
            window=self.settings.window,
            overlap=self.settings.overlap_voxels,
            margin=self.method.margin,
            divisor=self.method.divisor,
            phase=self.method.phase,
            fixed=self.method.window,
        )

    def __call__(
        self,
        source: NDArray[np.float32],
        *,
        background: NDArray[np.float32],
        keep: Keep = None,
        progress: Progress | None = None,
    ) -> Windowed:
        """Answer a source (C, X, Y, Z), a located method's coordinates included.

        Args:
            source: encoded channels.
            background: the K encoded values of a voxel where nothing is.
            keep: voxels (X, Y, Z) to answer; None: all.
            progress: see `Progress`.
        """

        def predict(windows: Tensor) -> Tensor:
            if windows.device.type == "cuda":
                windows = windows.contiguous(memory_format=torch.channels_last_3d)
            return self.method.infer(windows, self.answer)

        tiling = self.tiling(source.shape[1:])
        at_once = WINDOWS_AT_ONCE.get(self.device.type, 1)
        # no_grad, not inference_mode: a latent search needs gradients and switches them on itself.
        with (
            torch.no_grad(),
            torch.autocast(
                self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
            ),
        ):
            encoded, skipped = blend(
                torch.from_numpy(np.ascontiguousarray(source)),
                tiling,
                predict,
                background=torch.as_tensor(background),
                keep=None if keep is None else torch.from_numpy(keep),
                padding=self.settings.padding,
                batch=max(at_once, self.method.windows_at_once),
                device=self.device,
                progress=progress,
            )
        return Windowed(encoded.cpu(), tiling, skipped)
