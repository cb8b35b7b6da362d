"""What the SSIM loss and the edge map cost, beside the same figures by dense convolutions.

    python benchmarks/losses.py [--sizes 64 96] [--repeats 5]

Forward and backward, one sample of one channel, float32. The ways take turns within one process,
so that whatever else the machine does meets all alike; each is run once before, unmeasured. The
values of the two ways must agree to 1e-5, and their gradients to one percent of the norm (an L1
loss has another sign where rounding decides which of two voxels is the larger).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from monai.losses.ssim_loss import SSIMLoss
from torch import Tensor
from torch.nn import functional

from medgen.losses import l1_loss, sobel_edges, ssim_loss

Loss = Callable[[Tensor, Tensor], Tensor]

AGREEMENT, AGREEMENT_OF_GRADIENTS = 1e-5, 0.01


def main() -> None:
    """Time both losses at each size and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96], help="voxels of an edge")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    rivals: dict[str, tuple[Loss, str, Loss]] = {
        "SSIM": (ssim_loss, "MONAI SSIMLoss", SSIMLoss(spatial_dims=3, data_range=2.0)),
        "edges": (_separable_edges, "one conv3d of 3 kernels of 27", _dense_edges),
    }
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {chosen.device}")
    print("| loss | size | medgen, s | the other | s | times as long | values, gradients apart |")
    print("|---|---:|---:|---|---:|---:|---:|")
    for name, (mine, other, theirs) in rivals.items():
        for size in chosen.sizes:
            pair = _images(size, chosen.device)
            value, gradient = _compare(mine, theirs, *pair)
            times = _timed({"mine": mine, "theirs": theirs}, *pair, repeats=chosen.repeats)
            middle = {way: statistics.median(each) for way, each in times.items()}
            ratio = middle["theirs"] / middle["mine"]
            print(
                f"| {name} | {size}^3 | {_written(times['mine'])} | {other} "
                f"| {_written(times['theirs'])} | {ratio:.1f} | {value:.0e}, {gradient:.0e} |",
                flush=True,
            )


def _images(size: int, device: str) -> tuple[Tensor, Tensor]:
    """Return a prediction that wants a gradient, and its smooth target."""
    generator = torch.Generator().manual_seed(size)
    coarse = torch.rand(1, 1, 8, 8, 8, generator=generator) * 2 - 1
    target = functional.interpolate(coarse, size=(size,) * 3, mode="trilinear")
    prediction = target + 0.1 * torch.randn(target.shape, generator=generator)
    return prediction.to(device).requires_grad_(), target.to(device)


def _separable_edges(prediction: Tensor, target: Tensor) -> Tensor:
    return l1_loss(sobel_edges(prediction), sobel_edges(target))


def _dense_edges(prediction: Tensor, target: Tensor) -> Tensor:
    slab = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    kernel = torch.stack([slab, torch.zeros_like(slab), -slab])
    kernels = torch.stack([kernel, kernel.movedim(0, 1), kernel.movedim(0, 2)])[:, None]
    maps = []
    for image in (prediction, target):
        padded = functional.pad(image, (1,) * 6, value=-1.0)
        rises = functional.conv3d(padded, kernels.to(image.device))
        norm = torch.linalg.vector_norm(rises, dim=1, keepdim=True)
        maps.append(2.0 * torch.tanh(norm / 4.0) - 1.0)
    return l1_loss(*maps)


def _compare(mine: Loss, theirs: Loss, prediction: Tensor, target: Tensor) -> tuple[float, float]:
    """Return how far apart values are, and gradients, as a share of their norm."""
    values, gradients = [], []
    for loss in (mine, theirs):
        value = loss(prediction, target)
        gradients.append(torch.autograd.grad(value, prediction)[0])
        values.append(value.item())
    apart = abs(values[0] - values[1])
    share = float((gradients[0] - gradients[1]).norm() / gradients[1].norm())
    if not (apart < AGREEMENT and share < AGREEMENT_OF_GRADIENTS):
        raise SystemExit(f"the two ways differ by {apart:.1e} and {share:.1e}")
    return apart, share


def _timed(
    ways: Mapping[str, Loss], prediction: Tensor, target: Tensor, *, repeats: int
) -> dict[str, list[float]]:
    """Return the seconds of each way, forward and backward."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, loss in ways.items():
            begun = time.perf_counter()
            (gradient,) = torch.autograd.grad(loss(prediction, target), prediction)
            gradient.sum().item()
            times[way].append(time.perf_counter() - begun)
    return times


def _written(times: list[float]) -> str:
    return f"{statistics.median(times):.3f} ({min(times):.3f}-{max(times):.3f})"


if __name__ == "__main__":
    main()
