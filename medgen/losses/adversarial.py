"""Adversarial losses, each as in its paper, on logits.

| name            | discriminator, real | discriminator, fake | generator      |
|-----------------|---------------------|---------------------|----------------|
| `least_squares` | (x - 1)^2           | x^2                 | (x - 1)^2      |
| `bce`           | -log s(x)           | -log(1 - s(x))      | -log s(x)      |
| `hinge`         | max(0, 1 - x)       | max(0, 1 + x)       | -x             |

x are logits and s the logistic function; every loss is the mean over all patches. With smoothed
labels a real image is worth t in [0.7, 1.2] and a fake t in [0, 0.3] instead of 1 and 0:
(x - t)^2, or the cross-entropy -t log s(x) - (1 - t) log(1 - s(x)).
`least_squares`: Mao et al., ICCV 2017, with a = 0 and b = c = 1. `bce`: Goodfellow et al., NeurIPS
2014, with the non-saturating generator of its section 3. `hinge`: Lim and Ye, Geometric GAN, 2017.
"""

from __future__ import annotations

from typing import Literal, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

Adversarial = Literal["least_squares", "bce", "hinge"]

REAL_LABELS = (0.7, 1.2)
FAKE_LABELS = (0.0, 0.3)
"""The ranges of smoothed labels in the code of Ea-GAN (Yu et al., IEEE TMI 2019)."""


def discriminator_loss(
    kind: Adversarial, real: Tensor, fake: Tensor, *, smooth_labels: bool = False
) -> Tensor:
    """Reward a discriminator for high logits on real images and low ones on fakes.

    The two halves are averaged, as in pix2pix, so that no kind's discriminator outruns its
    generator by its scale. `real` and `fake` are logits of any shape; a scalar is returned.
    Smoothed labels are drawn anew for each logit of each call, from torch's global generator.

    Raises:
        ValueError: smoothed labels with the hinge loss, which has no labels.
    """
    real, fake = real.float(), fake.float()
    if smooth_labels:
        return 0.5 * (_judged(kind, real, REAL_LABELS) + _judged(kind, fake, FAKE_LABELS))
    match kind:
        case "least_squares":
            halves = (real - 1.0).square().mean() + fake.square().mean()
        case "bce":
            halves = F.softplus(-real).mean() + F.softplus(fake).mean()
        case "hinge":
            halves = F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()
        case _:
            assert_never(kind)
    return 0.5 * halves


def undecided_loss(logits: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits, of any shape, against even odds.

    A scalar, log 2 at least: there the discriminator takes nothing for either class. Tzeng et al.,
    Simultaneous deep transfer across domains and tasks, ICCV 2015, equation 5 for two domains.
    """
    logits = logits.float()
    return 0.5 * (F.softplus(logits) + F.softplus(-logits)).mean()


def generator_loss(kind: Adversarial, fake: Tensor) -> Tensor:
    """Reward a generator for high logits on its fakes, with a gradient that does not saturate.

    `fake` are logits of any shape; a scalar is returned.
    """
    fake = fake.float()
    match kind:
        case "least_squares":
            return (fake - 1.0).square().mean()
        case "bce":
            return F.softplus(-fake).mean()
        case "hinge":
            return -fake.mean()
        case _:
            assert_never(kind)


def _judged(kind: Adversarial, logits: Tensor, labels: tuple[float, float]) -> Tensor:
    """Compare logits with labels drawn uniformly from a range."""
    if kind == "hinge":
        raise ValueError("the hinge loss has no labels that could be smoothed")
    drawn = torch.empty_like(logits).uniform_(*labels)
    if kind == "least_squares":
        return (logits - drawn).square().mean()
    # The cross-entropy is linear in the label, also beyond one.
    return (F.softplus(logits) - drawn * logits).mean()
