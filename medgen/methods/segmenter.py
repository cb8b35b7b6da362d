"""Segmenter: a network that names each voxel's class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from medgen.losses import cross_entropy_loss, dice_loss, shrink_label
from medgen.method import Answer, Batch, Clock, Losses, Method, Minimize, OptimizerSpec, Setting
from medgen.methods.labelled import check_labelled, truth_of
from medgen.networks import UNET, Decoder, DecoderBlock, Head, SegmenterOptions, Tapped
from medgen.problems import ConfigurationError, Problem

Weight = Annotated[float, Field(ge=0.0)]


class Segmenter(Method):
    """Learn each voxel's class from labelled cases, by cross-entropy and Dice together.

    The pair of losses, foreground-balanced patches and deep supervision as in Isensee et al.,
    nnU-Net, Nature Methods 2021; residual units as in Kerfoot et al., STACOM 2018
    (`network: {residual_units: 0}` is a plain U-Net; `{name: deep_medic}` is that of Kamnitsas et
    al., Medical Image Analysis 2017). Optimised by AdamW (Loshchilov and Hutter,
    ICLR 2019) instead of nnU-Net's SGD, which wants far more steps.
    """

    answering: ClassVar[frozenset[str]] = frozenset({"segmenter"})

    def __init__(
        self,
        setting: Setting,
        *,
        network: SegmenterOptions = UNET,
        lambda_cross_entropy: Weight = 1.0,
        lambda_dice: Weight = 1.0,
        deep_supervision: bool = False,
        mask_loss: bool = True,
    ) -> None:
        super().__init__()
        check_labelled(network, lambda_cross_entropy=lambda_cross_entropy, lambda_dice=lambda_dice)
        _check_supervision(network, deep_supervision)
        self.lambda_cross_entropy = lambda_cross_entropy
        self.lambda_dice = lambda_dice
        self.mask_loss = mask_loss
        self.margin = network.margin
        self.divisor = network.divisor
        self.phase = network.phase
        self.minimum_patch = network.minimum_patch
        classes = max(2, setting.classes)
        self.segmenter = _Supervised(
            network.build(
                source_channels=setting.source_channels,
                target_channels=classes,
                activation="linear",
            ),
            _coarser(network) if deep_supervision else (),
            classes,
        )

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        """Read labelled cases, and the mask where the losses are masked."""
        return (frozenset({"source", "label"} | ({"mask"} if self.mask_loss else set())),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Answer with the classes' probabilities."""
        return {"forward": Answer("labels", "source", "label")}

    def players(self) -> dict[str, nn.Module]:
        """Return the segmenter, alone."""
        return {"segmenter": self.segmenter}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return AdamW."""
        return {
            "segmenter": OptimizerSpec(
                name="adamw", learning_rate=1e-3, betas=(0.9, 0.999), weight_decay=1e-2
            )
        }

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Lower both losses, at every supervised level of the decoder."""
        label, mask = truth_of(batch, self.margin, masked=self.mask_loss)
        levels = self.segmenter.logits(batch["source"])
        cross_entropy = _over_levels(cross_entropy_loss, levels, label, mask)
        dice = _over_levels(dice_loss, levels, label, mask)
        minimize("segmenter", self.lambda_cross_entropy * cross_entropy + self.lambda_dice * dice)
        return {"cross_entropy": cross_entropy, "dice": dice}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Return each class's probability; eval() and no_grad() are the caller's to choose."""
        if answer not in self.answers:
            raise ValueError(f"no answer {answer!r}; there is {', '.join(self.answers)}")
        logits: Tensor = self.segmenter.network(source)
        return logits.softmax(dim=1)

    def features(self, source: Tensor) -> tuple[Tensor, ...]:
        """Return the decoder's features of an encoded source, at full resolution and downwards.

        What a feature loss or a distance between distributions compares images by; the caller
        freezes the method and chooses eval().
        """
        network = self.segmenter.network
        assert isinstance(network, Decoder)  # whoever lends features has refused other networks
        return network.decode(source)


class _Supervised(nn.Module):
    """A network with a head of its own at coarser levels of the decoder, for training only."""

    def __init__(self, network: Tapped, coarser: Sequence[int], classes: int) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleList(Head(features, classes, "linear") for features in coarser)

    def logits(self, source: Tensor) -> list[Tensor]:
        """Return the logits (B, K, ...) at full resolution, then those of the coarser heads."""
        if not self.heads:
            return [self.network(source)]
        assert isinstance(self.network, Decoder)  # others are refused deep supervision
        finest, *coarser = self.network.decode(source)
        answers = [head(features) for head, features in zip(self.heads, coarser, strict=True)]
        return [self.network.head(finest), *answers]


def _coarser(network: SegmenterOptions) -> tuple[int, ...]:
    """Return the features of the decoder's levels but the finest."""
    return network.decoder_channels[1:] if isinstance(network, DecoderBlock) else ()


def _check_supervision(network: SegmenterOptions, deep_supervision: bool) -> None:
    """Refuse losses at coarser levels of a network that has none.

    Raises:
        ConfigurationError: E_DEEP_SUPERVISION.
    """
    if deep_supervision and not isinstance(network, DecoderBlock):
        message = f"deep_supervision is of a decoder's levels, which {network.name} does not have"
        advice = "leave deep_supervision out, or choose network: {name: unet}"
        raise ConfigurationError(Problem("E_DEEP_SUPERVISION", message, advice))


def _over_levels(
    loss: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    levels: Sequence[Tensor],
    label: Tensor,
    mask: Tensor | None,
) -> Tensor:
    """Return a loss's mean over levels, each halving of the grid with half the weight."""
    weights = [0.5**level for level in range(len(levels))]
    total = sum(
        weight
        * loss(
            logits,
            shrink_label(label, logits.shape[2:]),
            None if mask is None else shrink_label(mask, logits.shape[2:]),
        )
        for weight, logits in zip(weights, levels, strict=True)
    )
    return torch.as_tensor(total) / sum(weights)
