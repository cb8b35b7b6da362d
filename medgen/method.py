"""The seam: what a training loop, a converter and a method know of each other.

A method is a game between one or more *players*, each lowered by its own optimizer. The loop lends
it one move, `minimize`; the converter asks it for one thing, `infer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple, Protocol

from torch import Tensor, nn

Batch = Mapping[str, Tensor]
"""Tensors (B, C, X, Y, Z): images encoded to [-1, 1], masks 0/1, labels as class indices.

Images and masks are float32, labels int64. Keys: `source`, `target`, `label`, `mask`, and of a
group's case its body with the rim around it, `source_body` and `target_body`, outside of which
conversion fills the answer with background. `source_at_large` is a source whose patches lie as a
target's do, and not around what is labelled.
"""

Losses = dict[str, Tensor]
"""Scalar losses by name, for the log."""

Head = Literal["tanh", "linear"]

Better = Literal["lower", "higher"]

FeatureExtractor = Callable[[Tensor], tuple[Tensor, ...]]
"""Turn an image (B, C, X, Y, Z) in the target's encoding into the features of a frozen network.

One map per level, finest first. Gradients flow to the image; nothing of the network is trained.
"""


class Minimize(Protocol):
    """Lower one loss by moving one player, and nobody else."""

    def __call__(self, player: str, loss: Tensor) -> None:
        """Step the optimizer of `player` down the gradient of `loss`, a scalar."""


class Clock(NamedTuple):
    """Where the run is; ramps are functions of it, never of local counters."""

    step: int
    stage: str
    progress: float
    """Fraction of the stage's steps that are done, in [0, 1]."""
    run_progress: float
    """Fraction of the run's steps that are done, in [0, 1]."""


@dataclass(frozen=True)
class Stage:
    """A part of the run in which only some players move; the others are frozen in eval()."""

    name: str
    players: frozenset[str]
    fraction: float
    """Share of the run's steps."""


@dataclass(frozen=True)
class Answer:
    """One thing that `infer` can be asked for."""

    kind: Literal["image", "labels", "anomaly"]
    source: str
    """The role whose image goes in."""
    target: str
    """The role whose intensity scale, or whose classes, decode what comes out."""


@dataclass(frozen=True)
class OptimizerSpec:
    """The optimizer of one player; betas are ignored by optimizers without them, as RMSProp."""

    name: Literal["adam", "adamw", "rmsprop"] = "adam"
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Setting:
    """What the data decides for a method: channel counts and the answer's last activation.

    `head` is tanh for a target with a fixed window and linear for every unbounded scale.
    """

    source_channels: int
    target_channels: int
    head: Head
    classes: int = 0
    """Classes of the label role, the background included; 0 where there is no label role."""
    source_head: Head = "linear"
    """The same for an answer in the source's scale."""
    source_background: tuple[float, ...] = ()
    """What the source holds where nothing is, encoded, by channel; empty: -1 in each."""
    target_background: tuple[float, ...] = ()
    """The same of the target."""


class Method(nn.Module, ABC):
    """A game between one or more players, and what the winner is used for."""

    answering: ClassVar[frozenset[str]]
    """The players that `infer` uses: averaged and exported; the others stay in training/."""

    stages: tuple[Stage, ...] = ()
    """Empty: one stage in which every player moves."""

    margin: int = 0
    """Voxels of real context that `infer` consumes on each side."""

    divisor: int = 1
    """Output sizes are multiples of this."""

    phase: int | None = None
    """Window starts are multiples of this, counted from the padded origin; None: of the divisor."""

    minimum_patch: int = 1
    """The shortest training patch along an axis, in voxels."""

    window: tuple[int, int, int] | None = None
    """The fixed input size, or None where any size will do."""

    windows_at_once: int = 1
    """How many windows `infer` should be given in one batch, on any device, where there are so
    many: dense layers and latent searches cost little more for several than for one."""

    search_steps: int = 0
    """Steps in which `infer` searches for a latent, one like the other; 0 where it does not."""

    located: bool = False
    """Every source has three more channels: where each voxel lies in the body, -1 to 1 along each
    axis from one end of the body's box to the other; see `medgen.data.position`."""

    examines: tuple[frozenset[str], ...] = ()
    """What `diagnose` is shown of validation cases, in groups as `reads`; empty: nothing."""

    diagnoses: Mapping[str, Better | None] = MappingProxyType({})
    """The figures of `diagnose`, and which way each of them gets better, if either."""

    feature_extractor: FeatureExtractor | None = None
    """Lent by training where `needs_features` says so; it owns no parameter of the method."""

    @property
    def needs_features(self) -> bool:
        """Tell whether a training step compares images by a frozen network's features."""
        return False

    @property
    @abstractmethod
    def reads(self) -> tuple[frozenset[str], ...]:
        """The batch's keys in groups; the keys of one group come from one case and one crop."""

    @property
    @abstractmethod
    def answers(self) -> Mapping[str, Answer]:
        """What `infer` can be asked for, by name; the first is the default of `convert`."""

    @abstractmethod
    def players(self) -> dict[str, nn.Module]:
        """Return the players by name; together they own every parameter exactly once."""

    @abstractmethod
    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        """Return the paper's optimizer of each player; the configuration may override it."""

    @abstractmethod
    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        """Make every move of one step and return the losses for the log."""

    @abstractmethod
    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        """Answer an encoded source (B, C, X, Y, Z) by a fresh fp32 tensor, less the margin.

        An image answer is encoded by the target's scale; a labels answer holds a probability per
        class (B, classes, X, Y, Z), the background first, which sum to one. An anomaly answer
        (B, C + 1, X, Y, Z) holds the signed residual of each source channel, source less
        reconstruction, and last the window's score, the same at each of its voxels: the higher,
        the less usual.
        """

    def diagnose(self, batch: Batch) -> Mapping[str, float]:
        """Return label-free health figures on fixed validation patches, the same in every call.

        The first half of the batch, along its first axis, comes from other cases than the second,
        where a group has more than one case. Called in eval(); leaves the global RNG alone.
        """
        return {}

    def pairs(self, answer: Answer) -> bool:
        """Tell whether training sees an answer's source and target of the same case."""
        return any({answer.source, answer.target} <= keys for keys in self.reads)


class Generative(Method):
    """A method whose players draw new images from a latent vector."""

    latent: int
    """Numbers in a latent vector."""

    @abstractmethod
    def generate(self, latent: Tensor, place: Tensor | None = None) -> Tensor:
        """Return encoded images (B, C, *window), fresh and in fp32, of latents (B, latent).

        Latents are drawn from N(0, I). `place` (B, 3), in [-1, 1], is where in the body a window's
        centre lies; a located method takes the body's middle where it is left out. Called in
        eval() and under no_grad(); leaves no trace.
        """
