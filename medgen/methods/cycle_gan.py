"""CycleGAN: two domains without pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from medgen.losses import (
    Adversarial,
    discriminator_loss,
    generator_loss,
    hide_outside,
    l1_loss,
    mutual_information_loss,
    normalised_gradient_loss,
)
from medgen.method import Answer, Batch, Clock, Losses, Method, Minimize, OptimizerSpec, Setting
from medgen.methods.image_pool import ImagePool
from medgen.methods.terms import Term, Weight, weigh
from medgen.networks import (
    PATCH_DISCRIMINATOR,
    RESNET,
    DiscriminatorOptions,
    GeneratorOptions,
    nameless_is,
)
from medgen.problems import ConfigurationError, Problem

Structure = Literal["normalised_gradients", "mutual_information"]
STRUCTURES = {
    "normalised_gradients": normalised_gradient_loss,
    "mutual_information": mutual_information_loss,
}
OTHER = {"source": "target", "target": "source"}
DIRECTIONS = {"forward": "source", "backward": "target"}
"""The domain that each direction starts from."""


class Image(NamedTuple):
    """A patch of one domain, real or translated, and the body that lies in it."""

    values: Tensor
    body: Tensor | None
    """(B, 1, X, Y, Z), of the case that the patch comes from; None: not told."""
    background: Tensor
    """(1, C, 1, 1, 1): what the domain holds outside the body."""

    @property
    def shown(self) -> Tensor:
        """Return the values as a discriminator sees them: the background outside the body."""
        if self.body is None:
            return self.values
        return hide_outside(self.values, self.body, self.background)


class CycleGAN(Method):
    """Learn to carry images of one domain to another, and back, from cases that have only one.

    Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks,
    ICCV 2017; MR to CT by Wolterink et al., Deep MR to CT synthesis using unpaired data, SASHIMI
    2017. Least squares, cycle weight 10, identity weight half of it, residual generators, 70-voxel
    patch discriminators, pools of 50 past fakes; the generators move first. Departures: three
    dimensions, and upsampling by resizing instead of fractional strides, which leave a
    checkerboard.

    No loss of the paper ties the polarity of an answer to that of its source: a generator that
    inverts and one that inverts back are a perfect cycle. Two terms anchor it. Identity: an image
    that already is of the target's domain stays as it is. Background: outside the body, which the
    data knows and conversion fills, an answer holds the background of its domain; where this term
    has a weight, discriminators see that background outside the body, so that they judge no table
    or coil, and cycle and identity count inside it. With `lambda_background` 0 and
    `lambda_identity` 0 the method is the paper's, less what kept it from inverting.

    `structure` keeps anatomy in place: `normalised_gradients` (Haber and Modersitzki, MICCAI 2006)
    or local `mutual_information` between an answer and its source. Neither sees an inversion.

    `checkpointing` computes each generator's pass again when its gradient is needed instead of
    keeping its features: about a third of the memory, for 1.2 to 1.4 times the arithmetic.
    """

    answering: ClassVar[frozenset[str]] = frozenset({"generators"})
    source_background: Tensor
    target_background: Tensor

    def __init__(
        self,
        setting: Setting,
        *,
        generator: Annotated[GeneratorOptions, nameless_is("resnet_generator")] = RESNET,
        discriminator: DiscriminatorOptions = PATCH_DISCRIMINATOR,
        adversarial: Adversarial = "least_squares",
        lambda_cycle: Weight = 10.0,
        lambda_identity: Weight = 0.5,
        lambda_background: Weight = 10.0,
        structure: Structure = "normalised_gradients",
        lambda_structure: Weight = 0.0,
        pool: Annotated[int, Field(ge=0)] = 50,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        _check(setting, generator, lambda_identity)
        self.adversarial: Adversarial = adversarial
        self.lambda_cycle = lambda_cycle
        self.lambda_identity = lambda_identity
        self.lambda_background = lambda_background
        self.lambda_structure = lambda_structure
        self.structure: Structure = structure
        self.checkpointing = checkpointing
        self.divisor = generator.divisor
        self.phase = generator.phase
        self.minimum_patch = max(generator.minimum_patch, discriminator.minimum_patch)
        channels = {"source": setting.source_channels, "target": setting.target_channels}
        heads = {"source": setting.source_head, "target": setting.head}
        self.generators = nn.ModuleDict(
            {
                f"to_{domain}": generator.build(
                    source_channels=channels[other],
                    target_channels=channels[domain],
                    activation=heads[domain],
                )
                for domain, other in OTHER.items()
            }
        )
        self.discriminators = nn.ModuleDict(
            {
                domain: discriminator.build(source_channels=0, target_channels=count)
                for domain, count in channels.items()
            }
        )
        _check_norms(self.generators)
        self.pools = nn.ModuleDict({domain: ImagePool(pool) for domain in channels})
        backgrounds = {"source": setting.source_background, "target": setting.target_background}
        for domain, levels in backgrounds.items():
            values = torch.tensor(levels or (-1.0,) * channels[domain])
            name = f"{domain}_background"
            self.register_buffer(name, values.reshape(1, -1, 1, 1, 1), persistent=False)

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        """Read each domain by itself, and the bodies where the background has a weight."""
        bodies = self.lambda_background > 0
        return tuple(
            frozenset({domain, f"{domain}_body"} if bodies else {domain}) for domain in OTHER
        )

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Answer in both directions."""
        return {
            direction: Answer("image", domain, OTHER[domain])
            for direction, domain in DIRECTIONS.items()
        }

    def players(self) -> dict[str, nn.Module]:
        """Return both generators, which move together, and both discriminators."""
        return {"generators": self.generators, "discriminators": self.discriminators}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return the paper's Adam for both: 2e-4, betas (0.5, 0.999)."""
        return {"generators": OptimizerSpec(), "discriminators": OptimizerSpec()}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Translate an image of the answer's source; eval() and no_grad() are the caller's."""
        if answer not in self.answers:
            raise ValueError(f"no answer {answer!r}; there is {', '.join(self.answers)}")
        translated: Tensor = self._generator(answer)(source)
        return translated

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Move the generators, then the discriminators on new and past fakes."""
        source, target = self._real(batch, "source"), self._real(batch, "target")
        fake_target = self._translated("forward", source)
        fake_source = self._translated("backward", target)

        total, losses = weigh(
            {
                "adversarial": Term(
                    1.0,
                    lambda: (
                        self._fooled("target", fake_target) + self._fooled("source", fake_source)
                    ),
                ),
                "cycle": Term(
                    self.lambda_cycle,
                    lambda: (
                        self._back("backward", fake_target, source)
                        + self._back("forward", fake_source, target)
                    ),
                ),
                "identity": Term(
                    self.lambda_cycle * self.lambda_identity,
                    lambda: (
                        self._back("forward", target, target)
                        + self._back("backward", source, source)
                    ),
                ),
                "background": Term(
                    self.lambda_background, lambda: _outside(fake_target) + _outside(fake_source)
                ),
                "structure": Term(
                    self.lambda_structure,
                    lambda: self._moved(source, fake_target) + self._moved(target, fake_source),
                ),
            }
        )
        minimize("generators", total)

        discriminator = self._told("target", target, fake_target) + self._told(
            "source", source, fake_source
        )
        minimize("discriminators", discriminator)
        return {"discriminator": discriminator, **losses}

    def _real(self, batch: Batch, domain: str) -> Image:
        return Image(batch[domain], batch.get(f"{domain}_body"), self._background(domain))

    def _background(self, domain: str) -> Tensor:
        return self.source_background if domain == "source" else self.target_background

    def _translated(self, direction: str, image: Image) -> Image:
        """Return an image in the other domain, over the same body."""
        background = self._background(OTHER[DIRECTIONS[direction]])
        return Image(self._generate(direction, image.values), image.body, background)

    def _generator(self, direction: str) -> nn.Module:
        return self.generators[f"to_{OTHER[DIRECTIONS[direction]]}"]

    def _generate(self, direction: str, image: Tensor) -> Tensor:
        generator = self._generator(direction)
        generated: Tensor
        if self.checkpointing:
            generated = checkpoint(generator, image, use_reentrant=False)
        else:
            generated = generator(image)
        return generated

    def _back(self, direction: str, image: Image, wanted: Image) -> Tensor:
        """Return how far a generator's answer to an image is from the one it should give back."""
        return l1_loss(self._generate(direction, image.values), wanted.values, wanted.body)

    def _fooled(self, domain: str, fake: Image) -> Tensor:
        logits = self.discriminators[domain](_nothing(fake.values), fake.shown)
        return generator_loss(self.adversarial, logits)

    def _told(self, domain: str, real: Image, fake: Image) -> Tensor:
        """Return how well a discriminator tells real images from fakes, some of them old."""
        pool = self.pools[domain]
        assert isinstance(pool, ImagePool)
        old = pool.exchange(fake.shown)
        judge = self.discriminators[domain]
        logits = judge.judge(_nothing(real.values), real.shown, old)  # type: ignore[operator]
        return discriminator_loss(self.adversarial, *logits)

    def _moved(self, image: Image, fake: Image) -> Tensor:
        """Return how much of an image's structure its translation has lost."""
        return STRUCTURES[self.structure](image.values, fake.values, image.body)


def _nothing(image: Tensor) -> Tensor:
    """Return the source that a discriminator of images alone is given: no channel."""
    return image[:, :0]


def _outside(fake: Image) -> Tensor:
    """Return how far an answer is from its background outside the body."""
    assert fake.body is not None  # `reads` asks for it where the term has a weight
    return l1_loss(fake.values, fake.background.expand_as(fake.values), 1.0 - fake.body)


def _check_norms(generators: nn.Module) -> None:
    """Refuse generators whose answer in use depends on statistics gathered in training.

    Each generator meets real images, fakes and images of its own answer's domain: their common
    statistics are those of none. (Computing a pass twice would count it twice, too.)

    Raises:
        ConfigurationError: E_CYCLE_NORM.
    """
    if any(isinstance(module, nn.BatchNorm3d) for module in generators.modules()):
        message = "batch norm would mix the statistics of both domains and of the fakes"
        advice = "set norm: instance in the generator's block, or choose another generator"
        raise ConfigurationError(Problem("E_CYCLE_NORM", message, advice))


def _check(setting: Setting, generator: GeneratorOptions, lambda_identity: float) -> None:
    """Refuse what cannot go in a circle.

    Raises:
        ConfigurationError: E_CYCLE_MARGIN, E_IDENTITY_CHANNELS.
    """
    problems = []
    if generator.margin:
        message = (
            f"{generator.name} consumes {generator.margin} voxels on each side, so that an answer "
            "cannot be carried back to its source"
        )
        advice = "choose a generator without a margin, such as resnet_generator or unet"
        problems.append(Problem("E_CYCLE_MARGIN", message, advice))
    if lambda_identity > 0 and setting.source_channels != setting.target_channels:
        message = (
            f"the identity term shows a generator images of its own answer's domain, but the "
            f"source has {setting.source_channels} channels and the target has "
            f"{setting.target_channels}"
        )
        advice = "set lambda_identity: 0, or give both roles as many columns"
        problems.append(Problem("E_IDENTITY_CHANNELS", message, advice))
    if problems:
        raise ConfigurationError(problems)
