"""Denoising autoencoder: what a network takes away as if it were noise is unusual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from medgen.config.values import Voxels
from medgen.losses import l1_loss, l2_loss
from medgen.method import Answer, Batch, Clock, Losses, Method, Minimize, OptimizerSpec, Setting
from medgen.methods.placed import PLACES
from medgen.methods.residuals import anomaly_of
from medgen.networks import UNET, GeneratorOptions, trim

ABOVE = 0.02
"""How far above the background, in encoded units, a voxel is not background: a hundredth of the
scale, the paper's threshold."""


class DenoisingAutoencoder(Method):
    """Learn to take coarse noise away from healthy images, from healthy cases alone.

    Kascenas, Pugeault and O'Neil, Denoising autoencoders for unsupervised anomaly detection in
    brain MRI, MIDL 2022. Normal noise drawn on a coarse grid, upsampled and shifted at random is
    added to what is not background, each channel its own; a U-Net answers with the image without
    it, by the squared error. Lesions are blobs that do not belong there as well, so they are taken
    away too. At conversion nothing is added: the residual is the source less the answer, and a
    window's score the mean of its size.

    Their images span [0, 1] and have noise of deviation 0.2, one cell for 8 of 128 pixels; here
    images span [-1, 1], so that 0.4 is the same. Departures: three dimensions, of whose upsampling
    a little less noise is left between the cells' centres; errors count in the background as well,
    since a dark voxel inside the body is answered too; and the default U-Net.
    """

    answering: ClassVar[frozenset[str]] = frozenset({"autoencoder"})

    def __init__(
        self,
        setting: Setting,
        *,
        network: GeneratorOptions = UNET,
        noise: Annotated[float, Field(gt=0.0)] = 0.4,
        noise_voxels: Voxels = 8,
        loss: Literal["l2", "l1"] = "l2",
        located: bool = False,
    ) -> None:
        super().__init__()
        self.noise = noise
        self.noise_voxels = noise_voxels
        self.loss: Literal["l2", "l1"] = loss
        self.located = located
        self.channels = setting.source_channels
        self.background = setting.source_background or (-1.0,) * self.channels
        self.margin = network.margin
        self.divisor = network.divisor
        self.phase = network.phase
        self.minimum_patch = network.minimum_patch
        self.autoencoder = network.build(
            source_channels=self.channels + (PLACES if located else 0),
            target_channels=self.channels,
            activation=setting.source_head,
        )

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        """Read sources of healthy cases."""
        return (frozenset({"source"}),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Answer with residual and score."""
        return {"forward": Answer("anomaly", "source", "source")}

    def players(self) -> dict[str, nn.Module]:
        """Return the autoencoder, alone."""
        return {"autoencoder": self.autoencoder}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return the paper's Adam, without its AMSGrad."""
        spec = OptimizerSpec(learning_rate=1e-4, betas=(0.9, 0.999), weight_decay=1e-5)
        return {"autoencoder": spec}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Lower the error of what is left when the noise is taken away."""
        source = batch["source"]
        images, places = source[:, : self.channels], source[:, self.channels :]
        noisy = torch.cat([self.corrupted(images), places], dim=1)
        compare = l2_loss if self.loss == "l2" else l1_loss
        loss = compare(self.autoencoder(noisy), trim(images, self.margin))
        minimize("autoencoder", loss)
        return {self.loss: loss}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Answer without noise; eval() and no_grad() are the caller's to choose."""
        if answer not in self.answers:
            raise ValueError(f"no answer {answer!r}; there is {', '.join(self.answers)}")
        images = trim(source[:, : self.channels].float(), self.margin)
        cleaned = self.autoencoder(source)
        return anomaly_of(images, cleaned, (images - cleaned).abs().flatten(1).mean(1))

    def corrupted(self, images: Tensor) -> Tensor:
        """Return images (B, C, X, Y, Z) with noise where any channel is above its background."""
        background = images.new_tensor(self.background)[:, None, None, None]
        anything = (images > background + ABOVE).any(dim=1, keepdim=True)
        noise = coarse_noise(images.shape, self.noise_voxels, device=images.device)
        return images + torch.where(anything, self.noise * noise.to(images.dtype), 0.0)


def coarse_noise(
    shape: Sequence[int], cell_voxels: int, *, device: torch.device | None = None
) -> Tensor:
    """Draw smooth noise (B, C, X, Y, Z), float32, from torch's global generator.

    Values of N(0, 1) for cells of some voxels along each axis, interpolated linearly between the
    cells' centres; where the first cell begins is drawn too, for the whole batch.
    """
    *kind, x, y, z = shape
    # A cell for each end, from whose centre to the next the first and the last voxels are.
    cells = [-(-length // cell_voxels) + 2 for length in (x, y, z)]
    coarse = torch.randn(*kind, *cells, device=device)
    fine = F.interpolate(coarse, scale_factor=cell_voxels, mode="trilinear", align_corners=False)
    starts = cell_voxels // 2 + torch.randint(cell_voxels, (3,))
    for axis, length in enumerate((x, y, z)):
        # By indices: a slice would ask for the number, which `medgen plan` has none of.
        index = starts[axis] + torch.arange(length)
        fine = fine.index_select(axis + 2, index.to(fine.device))
    return fine
