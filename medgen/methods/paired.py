"""What all methods share that learn one image from another of the same case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from medgen.losses import SSIM_WINDOW, anatomical_loss, hide_outside, ssim_loss
from medgen.method import Answer, Batch, Method, Setting
from medgen.methods.terms import Term
from medgen.networks import GeneratorOptions, trim


class Pair(NamedTuple):
    """The images of one step: all but the first on the grid of the generator's answer."""

    wide: Tensor
    """The source with the generator's margin around it."""
    source: Tensor
    target: Tensor
    mask: Tensor | None
    """Where the losses count; None: everywhere."""

    def shown(self, image: Tensor) -> Tensor:
        """Return an image as other networks are shown it: constant outside the mask.

        There a masked loss leaves the generator untrained and the target may hold a table, a
        mould or nothing at all. Shown that, a discriminator would tell fakes by it and the
        generator would spend itself there; so real and fake are given the same constant.
        """
        return image if self.mask is None else hide_outside(image, self.mask)


class Paired(Method):
    """A method whose generator turns a source into the target of the same case."""

    answering: ClassVar[frozenset[str]] = frozenset({"generator"})

    def __init__(
        self,
        setting: Setting,
        generator: GeneratorOptions,
        *,
        mask_loss: bool,
        lambda_ssim: float = 0.0,
        lambda_features: float = 0.0,
    ) -> None:
        super().__init__()
        self.mask_loss = mask_loss
        self.lambda_ssim = lambda_ssim
        self.lambda_features = lambda_features
        self.margin = generator.margin
        self.divisor = generator.divisor
        self.phase = generator.phase
        self.minimum_patch = max(generator.minimum_patch, SSIM_WINDOW if lambda_ssim > 0 else 1)
        self.generator = generator.build(
            source_channels=setting.source_channels,
            target_channels=setting.target_channels,
            activation=setting.head,
        )

    @property
    def needs_features(self) -> bool:
        """Tell whether the anatomical term has a weight."""
        return self.lambda_features > 0

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        """Read pairs, and the mask where the losses are masked."""
        return (frozenset({"source", "target"} | ({"mask"} if self.mask_loss else set())),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Answer with the target's image."""
        return {"forward": Answer("image", "source", "target")}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Translate an encoded source; eval() and no_grad() are the caller's to choose."""
        if answer not in self.answers:
            raise ValueError(f"no answer {answer!r}; there is {', '.join(self.answers)}")
        translated: Tensor = self.generator(source)
        return translated

    def pair(self, batch: Batch) -> Pair:
        """Return the batch's images, those that meet the answer trimmed to its grid."""
        return Pair(
            wide=batch["source"],
            source=trim(batch["source"], self.margin),
            target=trim(batch["target"], self.margin),
            mask=trim(batch["mask"], self.margin) if self.mask_loss else None,
        )

    def likeness(self, pair: Pair, fake: Tensor) -> dict[str, Term]:
        """Return the terms that any objective may be given beside its own, off by default.

        `ssim`: one minus the structural similarity, as Zhao et al., Loss functions for image
        restoration with neural networks, IEEE Trans. Comput. Imaging 3, 2017, mix it with L1. It is
        measured from the scale's low end, whose distance from the high end is its range.
        `features`: how differently a frozen segmenter sees answer and target, as the leaders of
        the SynthRAD2025 challenge train; training lends the segmenter.
        """
        return {
            "ssim": Term(
                self.lambda_ssim,
                lambda: ssim_loss(
                    _raised(pair.shown(fake)), _raised(pair.shown(pair.target)), pair.mask
                ),
            ),
            "features": Term(self.lambda_features, lambda: self._anatomical(pair, fake)),
        }

    def _anatomical(self, pair: Pair, fake: Tensor) -> Tensor:
        """Compare answer and target by the features of the network that training has lent."""
        if self.feature_extractor is None:
            raise RuntimeError("lend the method a feature_extractor: lambda_features is not zero")
        with torch.no_grad():
            wanted = self.feature_extractor(pair.shown(pair.target))
        return anatomical_loss(self.feature_extractor(pair.shown(fake)), wanted)


def _raised(image: Tensor) -> Tensor:
    """Return an encoded image with its scale's low end at zero, as the SSIM wants it.

    It compares levels by their ratio. Of encoded images as they are, the same error would weigh
    hundreds of times more where the scale is zero, in its middle, than at its ends.
    """
    return image + 1.0
