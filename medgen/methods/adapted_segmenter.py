"""AdaptedSegmenter: labels of one domain, images of another, one segmentation for both."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medgen.losses import (
    cross_entropy_loss,
    dice_loss,
    discriminator_loss,
    generator_loss,
    undecided_loss,
)
from medgen.method import (
    Answer,
    Batch,
    Better,
    Clock,
    Losses,
    Method,
    Minimize,
    OptimizerSpec,
    Setting,
)
from medgen.methods.domain_probe import domain_probe
from medgen.methods.labelled import check_labelled, truth_of
from medgen.methods.terms import Term, Weight, weigh
from medgen.networks import (
    DEEP_MEDIC,
    DOMAIN_DISCRIMINATOR,
    DomainDiscriminatorOptions,
    SegmenterOptions,
    nameless_is,
)
from medgen.problems import ConfigurationError, Problem

Share = Annotated[float, Field(ge=0.0, le=1.0)]

PROBED = 512
"""Voxels of each patch that a diagnosis reads; more of one patch are much the same."""


class AdaptedSegmenter(Method):
    """Learn classes from a labelled domain so that they hold in another one, without labels there.

    Kamnitsas et al., Unsupervised domain adaptation in brain lesion segmentation with adversarial
    networks, IPMI 2017: while DeepMedic learns to segment, a discriminator learns to tell from its
    features which domain a patch is from, and the network to keep that from it:

        segmenter: segmentation loss - alpha * domain loss;  discriminator: domain loss

    `alpha` is 0 until the share `ramp_from` of the steps and grows linearly to `lambda_adversarial`
    at `ramp_to`: the paper's 0.05, from epoch 10 to 35 of 35. The paper's term has no lower bound:
    a network that outruns its discriminator gains by confusing it ever more, features run away,
    and the domain loss grows beyond log 2. Two others are bounded. `adversarial: confusion` asks
    that the discriminator be undecided (Tzeng et al., ICCV 2015), and pulls features back where it
    takes one domain for the other; `inverted`, that the target's features be taken for the
    source's (Tzeng et al., CVPR 2017), which pulls hardest where it is sure that they are not.

    The discriminator is shown patches that are drawn alike in both domains. Those that the losses
    learn from are drawn around labels, so that it would know the source by its lesions, and the
    network would learn to hide them. All patches go through the network in one pass: batch norms
    then see both domains together, as their statistics do in use.

    The discriminator moves `discriminator_moves` times in a step: where the segmenter outruns it,
    it is near chance though the domains are as far apart as before, as a diagnosis shows.

    With `lambda_adversarial: 0` nothing of the target is learned from, nor seen by batch norms
    (which adaptation shows it from the first step on); splits stay the same. Departures: soft Dice
    beside the cross-entropy, since half of the patches are drawn around labels; AdamW instead of
    RMSProp with momentum. `network: {name: unet}` adapts a U-Net.
    """

    answering: ClassVar[frozenset[str]] = frozenset({"segmenter"})
    diagnoses: Mapping[str, Better | None] = MappingProxyType(
        {"domain_advantage": "lower", "discriminator_advantage": None}
    )
    examines = (frozenset({"source"}), frozenset({"target"}))

    def __init__(
        self,
        setting: Setting,
        *,
        network: Annotated[SegmenterOptions, nameless_is(DEEP_MEDIC.name)] = DEEP_MEDIC,
        discriminator: DomainDiscriminatorOptions = DOMAIN_DISCRIMINATOR,
        taps: tuple[str, ...] = (),
        adversarial: Literal["reversal", "confusion", "inverted"] = "reversal",
        lambda_adversarial: Weight = 0.05,
        discriminator_moves: Annotated[int, Field(ge=1, le=20)] = 1,
        ramp_from: Share = 10 / 35,
        ramp_to: Share = 1.0,
        lambda_cross_entropy: Weight = 1.0,
        lambda_dice: Weight = 1.0,
        mask_loss: bool = True,
    ) -> None:
        super().__init__()
        check_labelled(network, lambda_cross_entropy=lambda_cross_entropy, lambda_dice=lambda_dice)
        _check(setting, ramp_from, ramp_to)
        self.taps = taps or network.default_taps
        network.check_taps(self.taps)
        self.adversarial = adversarial
        self.lambda_adversarial = lambda_adversarial
        self.discriminator_moves = discriminator_moves
        self.ramp_from, self.ramp_to = ramp_from, ramp_to
        self.lambda_cross_entropy = lambda_cross_entropy
        self.lambda_dice = lambda_dice
        self.mask_loss = mask_loss
        self.margin = network.margin
        self.divisor = network.divisor
        self.phase = network.phase
        self.minimum_patch = network.minimum_patch
        self.segmenter = network.build(
            source_channels=setting.source_channels,
            target_channels=max(2, setting.classes),
            activation="linear",
        )
        self.discriminator = discriminator.build(sum(network.taps[name] for name in self.taps))

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        """Read labelled cases, and the images of both domains as they come."""
        labelled = frozenset({"source", "label"} | ({"mask"} if self.mask_loss else set()))
        return labelled, frozenset({"source_at_large"}), frozenset({"target"})

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Answer images of either domain with the classes' probabilities."""
        return {
            "forward": Answer("labels", "source", "label"),
            "target": Answer("labels", "target", "label"),
        }

    def players(self) -> dict[str, nn.Module]:
        """Return the segmenter and the discriminator of domains."""
        return {"segmenter": self.segmenter, "discriminator": self.discriminator}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return AdamW for the segmenter, Adam for the discriminator."""
        return {
            "segmenter": OptimizerSpec("adamw", 1e-3, (0.9, 0.999), weight_decay=1e-2),
            "discriminator": OptimizerSpec("adam", 1e-3, (0.9, 0.999)),
        }

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Move the discriminator, then the segmenter against the moved discriminator."""
        truth = truth_of(batch, self.margin, masked=self.mask_loss)
        if self.lambda_adversarial == 0:
            total, losses = weigh(self._supervised(self.segmenter(batch["source"]), *truth))
            minimize("segmenter", total)
            return losses
        source, at_large, target = batch["source"], batch["source_at_large"], batch["target"]
        everything = torch.cat([source, at_large, target])
        logits, features = self.segmenter.tap(everything, self.taps)
        # Patches of both domains that were drawn alike, equally many.
        judged = features[len(source) :]

        for _ in range(self.discriminator_moves):
            discriminator = self._domain_loss(judged.detach())
            minimize("discriminator", discriminator)

        terms = self._supervised(logits[: len(source)], *truth)
        terms["adversarial"] = Term(
            self.lambda_adversarial, lambda: self._confusion(judged), ramp=self._ramp(clock)
        )
        total, losses = weigh(terms)
        minimize("segmenter", total)
        return {"discriminator": discriminator, **losses}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Return each class's probability; eval() and no_grad() are the caller's to choose."""
        if answer not in self.answers:
            raise ValueError(f"no answer {answer!r}; there is {', '.join(self.answers)}")
        logits: Tensor = self.segmenter(source)
        return logits.softmax(dim=1)

    @torch.no_grad()
    def diagnose(self, batch: Batch) -> Mapping[str, float]:
        """Return how well the domains are told apart by what the segmenter makes of them.

        Both figures are 0 for guessing and 1 for certainty. `domain_advantage` is that of a small
        network fitted afresh, on other cases than it is tried on; `discriminator_advantage` that of
        the discriminator in training, which may be near chance because it is beaten or because it
        is dead (roughly so: it learned from the trained weights, and judges their average). Without
        an adversarial term there is no such discriminator.
        """
        features: dict[str, Tensor] = {}
        right = []
        for domain, sign in (("source", 1.0), ("target", -1.0)):
            read = []
            for patch in batch[domain]:
                _, maps = self.segmenter.tap(patch[None], self.taps)
                right.append(float((sign * self.discriminator(maps) > 0).float().mean()))
                read.append(_thinned(maps))
            features[domain] = torch.cat(read)
        found = {"domain_advantage": domain_probe(features["source"], features["target"])}
        if self.lambda_adversarial > 0:
            accuracy = sum(right) / len(right)
            found["discriminator_advantage"] = max(0.0, 2.0 * accuracy - 1.0)
        return found

    def _ramp(self, clock: Clock) -> float:
        """Return the share of the adversarial term's weight that is in force."""
        done = (clock.progress - self.ramp_from) / (self.ramp_to - self.ramp_from)
        return min(1.0, max(0.0, done))

    def _supervised(self, logits: Tensor, label: Tensor, mask: Tensor | None) -> dict[str, Term]:
        return {
            "cross_entropy": Term(
                self.lambda_cross_entropy, lambda: cross_entropy_loss(logits, label, mask)
            ),
            "dice": Term(self.lambda_dice, lambda: dice_loss(logits, label, mask)),
        }

    def _domain_loss(self, features: Tensor) -> Tensor:
        """Return the cross-entropy of the discriminator; the first half is the source's."""
        of_source, of_target = self.discriminator(features).chunk(2)
        return discriminator_loss("bce", of_source, of_target)

    def _confusion(self, features: Tensor) -> Tensor:
        """Return what the segmenter lowers to be taken for one domain."""
        if self.adversarial == "reversal":
            return -self._domain_loss(features)
        if self.adversarial == "inverted":
            return generator_loss("bce", self.discriminator(features).chunk(2)[1])
        return undecided_loss(self.discriminator(features))


def _thinned(features: Tensor) -> Tensor:
    """Return some voxels (1, C, V, 1, 1) of features (1, C, x, y, z), spread evenly."""
    flat = features.flatten(2)
    count = flat.shape[2]
    chosen = torch.linspace(0, count - 1, min(PROBED, count), device=flat.device).long()
    return flat[:, :, chosen, None, None]


def _check(setting: Setting, ramp_from: float, ramp_to: float) -> None:
    """Refuse domains of different channels, and a ramp that ends before it begins.

    Raises:
        ConfigurationError: E_DOMAIN_CHANNELS, E_RAMP.
    """
    problems = []
    if setting.source_channels != setting.target_channels:
        message = (
            f"one network reads both domains, but the source has {setting.source_channels} columns "
            f"and the target has {setting.target_channels}"
        )
        advice = "give both roles as many columns, those that correspond in the same place"
        problems.append(Problem("E_DOMAIN_CHANNELS", message, advice))
    if not ramp_from < ramp_to:
        message = f"ramp_from ({ramp_from:g}) is not before ramp_to ({ramp_to:g})"
        advice = "the adversarial weight grows from the first to the second share of the steps"
        problems.append(Problem("E_RAMP", message, advice))
    if problems:
        raise ConfigurationError(problems)
