"""Every method in a size for tests, and a loop that does the least a loop can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from medgen.method import Batch, Clock, Losses, Method, Setting
from medgen.methods import METHODS
from medgen.networks import (
    ContextDiscriminatorOptions,
    ContextFCNOptions,
    DcganOptions,
    DeepMedicOptions,
    DenseAutoencoderOptions,
    DomainDiscriminatorOptions,
    PatchDiscriminatorOptions,
    Pix2PixUNetOptions,
    ResidualEncoderUNetOptions,
    ResidualGanOptions,
    ResNetGeneratorOptions,
    UNetOptions,
)

PATCH = 16
CLOCK = Clock(step=0, stage="", progress=0.0, run_progress=0.0)

GENERATOR = UNetOptions(channels=(4, 8, 16), features=4, residual_units=1)
DISCRIMINATOR = PatchDiscriminatorOptions(channels=4, layers=1)
BATCH_NORMED = PatchDiscriminatorOptions(channels=4, layers=1, norm="batch", padding=2)
PIX2PIX = Pix2PixUNetOptions(channels=4, levels=3)
FCN = ContextFCNOptions(channels=2)

DEEP_MEDIC = DeepMedicOptions(
    subsampling=(2,), channels=(8, 12, 12), hidden=(12,), dropout=0.0, residual=True
)
DOMAINS = DomainDiscriminatorOptions(channels=4, layers=2)

DCGAN = DcganOptions(window=(8, 8, 8), channels=32, levels=2, latent=16)
RESIDUAL_GAN = ResidualGanOptions(window=(8, 8, 8), channels=8, levels=2, latent=16)
DENSE = DenseAutoencoderOptions(
    window=(16, 16, 16), channels=(8, 8), kernel=3, bottleneck=4, latent=16
)

SMALL: Mapping[str, Mapping[str, Any]] = {
    "adapted_segmenter": {"network": GENERATOR, "discriminator": DOMAINS},
    "ano_gan": {"network": DCGAN, "search_steps": 20, "search_rate": 0.1},
    "conditional_gan": {"generator": GENERATOR, "discriminator": DISCRIMINATOR},
    "context_aware_gan": {
        "generator": FCN,
        "discriminator": ContextDiscriminatorOptions(channels=4, hidden=(8, 4)),
    },
    "cycle_gan": {
        "generator": GENERATOR,
        "discriminator": DISCRIMINATOR,
        "lambda_identity": 0.0,  # the laws' second kind of data has other channels in each domain
        "pool": 3,
    },
    "denoising_autoencoder": {"network": GENERATOR},
    "ea_gan": {"generator": PIX2PIX, "discriminator": BATCH_NORMED},
    "f_ano_gan": {"network": RESIDUAL_GAN, "critic_steps": 1},
    "regression": {"generator": GENERATOR},
    "segmenter": {"network": GENERATOR, "deep_supervision": True},
    "vae": {"network": DENSE},
    "vae_gan": {"network": DENSE, "lambda_l1": 1.0},
}
"""Options that make a method small enough for the fast tier; a new method adds its own."""

SETTINGS = {
    "one bounded channel": Setting(source_channels=1, target_channels=1, head="tanh", classes=2),
    "two channels, unbounded": Setting(
        source_channels=2, target_channels=1, head="linear", classes=3
    ),
    "two domains of two channels": Setting(
        source_channels=2, target_channels=2, head="linear", classes=3
    ),
}

ALIKE = {"adapted_segmenter"}
"""Methods that read source and target by one network: as many channels in both."""

KINDS = (
    ("one bounded channel", "two channels, unbounded"),
    ("one bounded channel", "two domains of two channels"),
)
"""The kinds of data that a method meets, and one that reads both domains alike."""

VARIANTS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "gea_gan": (
        "ea_gan",
        "one bounded channel",
        {
            "generator": GENERATOR,
            "discriminator": BATCH_NORMED,
            "edges": "generator",
            "smooth_labels": True,
        },
    ),
    "cycle_gan_every_term": (
        "cycle_gan",
        "one bounded channel",
        {
            "generator": ResNetGeneratorOptions(channels=4, blocks=1, kernel=3),
            "discriminator": DISCRIMINATOR,
            "lambda_structure": 1.0,
            "checkpointing": True,
        },
    ),
    "cycle_gan_as_published": (
        "cycle_gan",
        "one bounded channel",
        {"generator": GENERATOR, "discriminator": DISCRIMINATOR, "lambda_background": 0.0},
    ),
    "ano_gan_located": (
        "ano_gan",
        "two channels, unbounded",
        {"network": DCGAN, "search_steps": 20, "search_rate": 0.1, "located": True},
    ),
    "ano_gan_of_slices": (
        "ano_gan",
        "one bounded channel",
        {
            "network": DCGAN.model_copy(update={"window": (16, 16, 1), "spatial_dims": 2}),
            "search_steps": 20,
            "search_rate": 0.1,
        },
    ),
    "f_ano_gan_located": (
        "f_ano_gan",
        "two channels, unbounded",
        {
            "network": RESIDUAL_GAN.model_copy(update={"encoded": "linear"}),
            "located": True,
            "critic_steps": 1,
        },
    ),
    "f_ano_gan_of_slices": (
        "f_ano_gan",
        "one bounded channel",
        {
            "network": RESIDUAL_GAN.model_copy(update={"window": (16, 16, 1), "spatial_dims": 2}),
            "critic_steps": 1,
        },
    ),
    "vae_located_and_restored": (
        "vae",
        "two channels, unbounded",
        {"network": DENSE, "located": True, "restoration_steps": 5, "beta_warm_up": 0.5},
    ),
    "vae_of_slices": (
        "vae",
        "one bounded channel",
        {"network": DENSE.model_copy(update={"window": (16, 16, 1), "spatial_dims": 2})},
    ),
    "vae_gan_located": (
        "vae_gan",
        "two channels, unbounded",
        {"network": DENSE, "located": True, "lambda_l1": 1.0, "beta_warm_up": 0.5},
    ),
    "vae_gan_of_slices": (
        "vae_gan",
        "one bounded channel",
        {
            "network": DENSE.model_copy(update={"window": (16, 16, 1), "spatial_dims": 2}),
            "lambda_l1": 1.0,
        },
    ),
    "denoising_autoencoder_located": (
        "denoising_autoencoder",
        "two channels, unbounded",
        {"network": GENERATOR, "located": True, "loss": "l1"},
    ),
    "adapted_deep_medic": (
        "adapted_segmenter",
        "two domains of two channels",
        {
            "network": DEEP_MEDIC,
            "discriminator": DOMAINS,
            "taps": ("layer_2", "hidden_1"),
            "adversarial": "inverted",
        },
    ),
    "segmenter_deep_medic": (
        "segmenter",
        "two channels, unbounded",
        {"network": DEEP_MEDIC},
    ),
    "conditional_gan_every_term": (
        "conditional_gan",
        "two channels, unbounded",
        {
            "generator": GENERATOR.model_copy(update={"long_residual": True}),
            "discriminator": DISCRIMINATOR,
            "lambda_perceptual": 20.0,
            "lambda_style": 1.0,
            "lambda_ssim": 10.0,
            "lambda_features": 10.0,
        },
    ),
    "regression_residual_encoder": (
        "regression",
        "two channels, unbounded",
        {
            "generator": ResidualEncoderUNetOptions(channels=(4, 8), blocks=(1, 1)),
            "lambda_ssim": 1.0,
        },
    ),
}
"""Options that change how a method goes, by a name of their own: method, kind of data, options."""


def features(image: Tensor) -> tuple[Tensor, ...]:
    """Return two levels of a frozen network, which belongs to no player."""
    generator = torch.Generator().manual_seed(7)
    first = torch.randn(4, image.shape[1], 3, 3, 3, generator=generator)
    second = torch.randn(4, 4, 3, 3, 3, generator=generator)
    fine = torch.nn.functional.conv3d(image, first, padding=1).relu()
    return fine, torch.nn.functional.conv3d(fine, second, padding=1, stride=2)


def places(size: int, shape: tuple[int, ...]) -> Tensor:
    """Return coordinates (B, 3, X, Y, Z): each patch lies elsewhere in the body."""
    axes = torch.meshgrid(*(torch.linspace(-0.2, 0.2, n) for n in shape), indexing="ij")
    shifts = torch.linspace(-0.5, 0.5, size)[:, None, None, None, None]
    return torch.stack(axes)[None] + shifts


class Game:
    """A method, its data and its players' optimizers; calling it makes one move."""

    def __init__(self, method: Method, setting: Setting, *, speed: float = 1.0) -> None:
        self.method = method
        self.setting = setting
        self.moves: list[str] = []
        self.watch: Callable[[str], None] | None = None
        """Called with the player's name after each of its moves."""
        self._parameters = {
            name: list(player.parameters()) for name, player in method.players().items()
        }
        self._optimizers = {
            name: torch.optim.Adam(
                self._parameters[name], lr=speed * spec.learning_rate, betas=spec.betas
            )
            for name, spec in method.optimizers().items()
        }

    def __call__(self, player: str, loss: Tensor) -> None:
        """Lower a loss by moving one player: the least that `Minimize` promises."""
        assert loss.shape == (), "a move takes a scalar"
        assert loss.dtype == torch.float32, "losses are computed outside autocast"
        self._optimizers[player].zero_grad()
        with torch.autocast("cpu", enabled=False):
            loss.backward(inputs=self._parameters[player])
            self._optimizers[player].step()
        self.moves.append(player)
        if self.watch is not None:
            self.watch(player)

    def batch(self, seed: int = 0, size: int = 2) -> dict[str, Tensor]:
        """Make a batch of smooth random images; the target follows from the source."""
        generator = torch.Generator().manual_seed(seed)
        shape = self.method.window or (PATCH + 2 * self.method.margin,) * 3
        coarse = torch.randn(size, self.setting.source_channels, 4, 4, 4, generator=generator)
        source = torch.nn.functional.interpolate(coarse, shape, mode="trilinear").tanh()
        first = source[:, :1]
        everything = {
            "source": source,
            "source_at_large": source.flip(2),
            "target": torch.where(first > 0.2, 0.8, 0.3 * first - 0.4).repeat(
                1, max(1, self.setting.target_channels), 1, 1, 1
            ),
            "label": ((first > 0.2).long() + (first > 0.6).long()).clamp(
                max=max(1, self.setting.classes - 1)
            ),
            "mask": torch.ones_like(first),
            "source_body": (first > -0.8).float(),
            "target_body": (first > -0.6).float(),
        }
        if self.method.located:
            everything["source"] = torch.cat([source, places(size, shape)], dim=1)
        return {key: everything[key] for key in frozenset().union(*self.method.reads)}

    def play(self, batch: Batch, *, bf16: bool = False, clock: Clock = CLOCK) -> Losses:
        """Make one training step."""
        # A cached cast would outlive the move that makes it stale.
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16, cache_enabled=False):
            return self.method.train_step(batch, self, clock)

    def clocks(self) -> list[Clock]:
        """Return the start, the middle and the end of every stage."""
        names = [stage.name for stage in self.method.stages] or [""]
        return [
            Clock(step, name, progress, (number + progress) / len(names))
            for number, name in enumerate(names)
            for step, progress in enumerate((0.0, 0.5, 1.0))
        ]


@pytest.fixture(
    params=[
        *((name, data) for name in sorted(METHODS) for data in KINDS[name in ALIKE]),
        *((name, data) for name, (_, data, _) in VARIANTS.items()),
    ],
    ids="-".join,
)
def make_game(request: pytest.FixtureRequest) -> Callable[..., Game]:
    """Return a factory of equal games; `speed` multiplies the paper's learning rates.

    Each method meets each kind of data, a variant one of them.
    """
    assert SMALL.keys() >= METHODS.keys(), "give it its small options in tests/laws/conftest.py"
    name, data = request.param
    method, _, options = VARIANTS.get(name) or (name, data, SMALL[name])
    setting = SETTINGS[data]

    def make(*, speed: float = 1.0) -> Game:
        torch.manual_seed(0)
        built = METHODS[method](setting, **options)
        if built.needs_features:
            built.feature_extractor = features
        return Game(built, setting, speed=speed)

    return make


@pytest.fixture
def game(make_game: Callable[..., Game]) -> Game:
    """Return a fresh game."""
    return make_game()
