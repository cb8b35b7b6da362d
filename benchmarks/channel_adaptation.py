"""A shift that adaptation should undo, by how much of the image the labelled class fills.

    python benchmarks/channel_adaptation.py [--shares 0.15 0.05 0.01] [--seeds 0 1 2] [--steps 300]

Blobs in noise. The first channel shows them faintly in both domains; the second clearly at the
source, and not at all at the target, where it is as bright everywhere as in a blob. A network that
learned from the source trusts the second channel and marks too much at the target; one that lets go
of it does well in both. Everything else is alike, and trained on unlimited fresh patches: what this
shows is whether the adversarial game can be won at all. Prints Dice on fresh patches.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from medgen.method import Clock, Setting
from medgen.methods import AdaptedSegmenter
from medgen.networks import DomainDiscriminatorOptions, UNetOptions

VOXELS, BATCH, TESTED, RATE = 12, 4, 32, 3e-3
NETWORK = UNetOptions(channels=(8, 16), features=4, residual_units=1)
JUDGE = DomainDiscriminatorOptions(channels=16, layers=2)
ROWS: dict[str, dict[str, Any]] = {
    "source only": {"lambda_adversarial": 0.0},
    "adapted by confusion": {"lambda_adversarial": 1.0, "adversarial": "confusion"},
    "adapted by inversion": {"lambda_adversarial": 1.0, "adversarial": "inverted"},
    "adapted by reversal": {"lambda_adversarial": 1.0, "adversarial": "reversal"},
}
DOMAINS = ("target", "source")


def main() -> None:
    """Train every row for every share and seed, and print Dice as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shares", nargs="+", type=float, default=[0.15, 0.05, 0.01])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300)
    chosen = parser.parse_args()
    print("| share of the voxels | row | target Dice | source Dice |\n|---:|---|---:|---:|")
    for share in chosen.shares:
        for title, options in ROWS.items():
            found = [trained(share, seed, chosen.steps, options) for seed in chosen.seeds]
            cells = []
            for domain in DOMAINS:
                values = [each[domain] for each in found]
                spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
                cells.append(f"{statistics.fmean(values):.2f}{spread}")
            print(f"| {share:g} | {title} | {' | '.join(cells)} |", flush=True)


def trained(share: float, seed: int, steps: int, options: dict[str, Any]) -> dict[str, float]:
    """Train one row, and return Dice by domain."""
    torch.manual_seed(seed)
    setting = Setting(2, 2, "linear", classes=2)
    schedule: dict[str, Any] = {"ramp_from": 0.2, "ramp_to": 0.5, **options}
    method = AdaptedSegmenter(setting, network=NETWORK, discriminator=JUDGE, **schedule)
    generator = torch.Generator().manual_seed(seed)
    moves = Moves(method)
    for step in range(steps):
        moves.scale(min(1.0, 2.0 * (1.0 - step / steps)))
        labels = [blobs(share, BATCH, generator) for _ in range(3)]
        batch = {
            "source": image(labels[0], "source", generator),
            "label": labels[0],
            "mask": torch.ones_like(labels[0], dtype=torch.float32),
            "source_at_large": image(labels[1], "source", generator),
            "target": image(labels[2], "target", generator),
        }
        method.train_step(batch, moves, Clock(step, "", step / steps, step / steps))
    method.eval()
    unseen = torch.Generator().manual_seed(1_000_003)
    return {domain: dice(method, share, domain, unseen) for domain in DOMAINS}


class Moves:
    """Adam for every player."""

    def __init__(self, method: AdaptedSegmenter) -> None:
        self.players = {name: list(p.parameters()) for name, p in method.players().items()}
        self.optimizers = {n: torch.optim.Adam(own, lr=RATE) for n, own in self.players.items()}

    def __call__(self, player: str, loss: Tensor) -> None:
        """Move one player."""
        self.optimizers[player].zero_grad()
        torch.autograd.backward(loss, inputs=self.players[player])
        nn.utils.clip_grad_norm_(self.players[player], 1.0)
        self.optimizers[player].step()

    def scale(self, factor: float) -> None:
        """Set the learning rates."""
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = RATE * factor


def blobs(share: float, count: int, generator: torch.Generator) -> Tensor:
    """Return labels (count, 1, X, Y, Z) of smooth blobs that fill a share of each patch."""
    coarse = torch.randn(count, 1, *(VOXELS // 2 + 2,) * 3, generator=generator)
    smooth = functional.avg_pool3d(coarse, 3, stride=1, padding=1)
    fine = functional.interpolate(smooth, size=(VOXELS,) * 3, mode="trilinear")
    edge = fine.flatten(1).quantile(1.0 - share, dim=1).reshape(-1, 1, 1, 1, 1)
    return (fine > edge).long()


def image(label: Tensor, domain: str, generator: torch.Generator) -> Tensor:
    """Return two channels: the same in both domains, and the one that differs."""
    shown = label.float() - 0.5

    def noise(spread: float) -> Tensor:
        return spread * torch.randn(label.shape, generator=generator)

    first = shown + noise(0.6)
    second = (shown if domain == "source" else torch.full_like(shown, 0.5)) + noise(0.2)
    return torch.cat([first, second], dim=1)


@torch.no_grad()
def dice(method: AdaptedSegmenter, share: float, domain: str, generator: torch.Generator) -> float:
    """Return Dice over all test patches of a domain together."""
    label = blobs(share, TESTED, generator)
    found = method.infer(image(label, domain, generator)).argmax(1, keepdim=True)
    return float(2 * (found * label).sum() / (found.sum() + label.sum()))


if __name__ == "__main__":
    main()
