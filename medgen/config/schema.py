"""What a configuration may hold: blocks, keys, types, ranges and defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from medgen.config.anomaly import AnomalyConfig
from medgen.config.scales import Scale, SharedScale
from medgen.config.values import Fraction, Millilitres, Millimetres, Number, Strict, Voxels, Whole


class Role(Strict):
    """The columns that fill a role, and the rows that may fill it."""

    columns: tuple[str, ...] = Field(min_length=1)
    where: Mapping[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _list_is_columns(cls, value: Any) -> Any:
        return {"columns": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _each_column_once(self) -> Role:
        twice = sorted({c for c in self.columns if self.columns.count(c) > 1})
        if twice:
            raise ValueError(f"column {', '.join(map(repr, twice))} stands there twice")
        return self


class Roles(Strict):
    """Which columns of the table play which part."""

    source: Role
    target: Role | None = None
    label: Role | None = None
    mask: str = "auto"
    """A column, or `auto`: the body measured on the first source column."""

    def turned(self) -> Roles:
        """Return the roles of the opposite direction: the target is the source of its answer."""
        if self.target is None:
            raise ValueError("without a target there is no other direction")
        return self.model_copy(update={"source": self.target, "target": self.source})

    def columns(self) -> tuple[str, ...]:
        """Return every column that the roles name, each once, in order."""
        named = [c for role in (self.source, self.target, self.label) if role for c in role.columns]
        named += [] if self.mask == "auto" else [self.mask]
        return tuple(dict.fromkeys(named))


BACKGROUND = "background"
"""The class name under which `labels` lists values to be taken for background."""

_SIDED = re.compile(r"(?i)(?<![a-z])(left|right|lh|rh)(?![a-z])")
_ClassName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_ -]{0,39}$")]
_LabelValue = Annotated[Whole, Field(ge=0, le=255)]


def _one_value_is_a_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


LabelValues = Annotated[
    tuple[_LabelValue, ...], Field(min_length=1), BeforeValidator(_one_value_is_a_list)
]
"""The values of one class; several are merged, and the first is what an answer holds."""


class Split(Strict):
    """Shares of patients held out of training; a `split` column in the table wins."""

    validation: Fraction = 0.1
    test: Fraction = 0.1
    calibrate: Fraction = 0.0
    seed: Whole = 0

    @model_validator(mode="after")
    def _something_is_left(self) -> Split:
        if self.validation + self.test + self.calibrate >= 1.0:
            raise ValueError("validation + test + calibrate leave no patient to train on")
        return self


class PreprocessingConfig(Strict):
    """The working grid."""

    spacing_mm: tuple[Millimetres, Millimetres, Millimetres] = (2.0, 2.0, 2.0)
    crop: Literal["mask", "none"] = "mask"
    crop_margin_mm: Annotated[Number, Field(ge=0.0)] = 10.0
    min_overlap: Fraction = 0.5
    """Least Dice overlap of the body outlines of the columns used as a pair."""


class Augmentation(Strict):
    """Random changes of training patches."""

    flip_axes: tuple[Annotated[Whole, Field(ge=0, le=2)], ...] = (0,)
    rotate_degrees: Annotated[Number, Field(ge=0.0, le=180.0)] = 5.0
    scale: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0
    intensity: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.1
    """Relative gain, offset and gamma jitter of sources scaled by `percentile` or `z_score`."""


class BestBy(Strict):
    """The validation score that picks the best weights."""

    name: str = "mae"
    mode: Literal["min", "max"] = "min"
    penalties: Mapping[str, Annotated[Number, Field(gt=0.0)]] = {}
    """What counts against the score: figures of the method's diagnosis, and by how much."""

    @property
    def described(self) -> str:
        """Return what decides, as a formula."""
        sign = "+" if self.mode == "min" else "-"
        return " ".join([self.name, *(f"{sign} {w:g} {n}" for n, w in self.penalties.items())])


class Validate(Strict):
    """Validation on whole volumes, through the converter."""

    every_steps: Annotated[Whole, Field(gt=0)] = 1000
    profile: str = "hu"
    best_by: BestBy = BestBy()
    keep_all: bool = False
    """Keep the weights of every validation in the run's training/, not the best ones' alone."""


class TrainConfig(Strict):
    """The loop."""

    steps: Annotated[Whole, Field(gt=0)] = 20000
    batch_size: Annotated[Whole, Field(gt=0)] = 2
    patch: tuple[Voxels, Voxels, Voxels] = (64, 64, 64)
    inside_mask: Fraction = 0.9
    """Share of patches centred in the mask."""
    foreground: Fraction = 0.5
    """Share of patches centred on a labelled voxel, every class as often; only with labels."""
    augment: Augmentation = Augmentation()
    decay_from: Fraction = 0.5
    gradient_clip: Annotated[Number, Field(ge=0.0)] = 1.0
    """Largest norm of a player's gradient; 0 switches clipping off."""
    ema: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.999
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: Annotated[Whole, Field(ge=0)] = 0
    save_every_steps: Annotated[Whole, Field(gt=0)] = 500
    validate_: Validate = Field(default=Validate(), alias="validate")


class ConvertConfig(Strict):
    """Whole volumes by windows."""

    window: Literal["auto"] | tuple[Voxels, Voxels, Voxels] = "auto"
    overlap_voxels: Annotated[Whole, Field(ge=0)] = 16
    padding: Literal["edge", "reflect"] = "edge"
    compile: bool = False
    """Answer by compiled code: faster where many volumes pay for compiling, a minute or more.

    Windows of `auto` are then the training patch, so that it is done once.
    """
    interpolation: Literal["linear", "spline"] = "linear"
    fill_outside_body: bool = True
    """Give voxels beyond the source's (slightly dilated) body the answer's background."""
    keep_largest: tuple[str, ...] = ()
    """Classes of which only the largest connected part is kept: organs, not lesions."""
    minimum_ml: Mapping[str, Millilitres] = {}
    """By class, the volume below which a connected part becomes background; after keep_largest."""
    lesions: tuple[str, ...] = ()
    """Classes whose connected parts are listed in CASE_lesions.tsv beside an answer."""
    anomaly: AnomalyConfig = AnomalyConfig()
    """What is made of the residuals of methods that score anomalies."""


class Chain(Strict):
    """Runs in a row over whole volumes: each stage sees the answers of the one before it.

    Progressive refinement (Wang et al., NeuroImage 2018) replaces the source by the answer;
    auto-context (Nie et al., MICCAI 2017) appends it as one more channel.
    """

    stages: Annotated[Whole, Field(ge=1, le=4)] = 2
    """1 is an ordinary run."""
    folds: Annotated[Whole, Field(ge=1, le=10)] = 3
    """Models per stage that answer the training cases they did not see; with 1, as in the papers,
    the stage's own model answers them, and the next one learns from answers that flatter it."""
    feed: Literal["append", "replace"] = "append"

    @property
    def in_a_stage(self) -> int:
        """Return how many networks an earlier stage takes: one of all cases, one for each fold."""
        return 1 + (self.folds if self.folds > 1 else 0)

    @property
    def trainings(self) -> int:
        """Return how many networks are trained in all."""
        return (self.stages - 1) * self.in_a_stage + 1


class Config(Strict):
    """A whole training, as a file."""

    roles: Roles
    split: Split = Split()
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    intensity: Mapping[str, Scale]
    labels: Mapping[_ClassName, LabelValues] = {}
    """The classes of the label role by name; `background` may list values that count as such."""
    method: str
    methods: Mapping[str, Mapping[str, Any]] = {}
    train: TrainConfig = TrainConfig()
    chain: Chain | None = None
    convert: ConvertConfig = ConvertConfig()

    @property
    def fed_column(self) -> str | None:
        """Return the name under which a chain's last stage gets the answers of the one before."""
        if self.chain is None or self.chain.stages == 1 or self.roles.target is None:
            return None
        return f"{self.roles.target.columns[0]}_stage_{self.chain.stages - 1}"

    def at_stage(self, stage: int) -> Config:
        """Return the configuration of one stage, which is the last one of a shorter chain."""
        assert self.chain is not None
        return self.model_copy(update={"chain": self.chain.model_copy(update={"stages": stage})})

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Config:
        faults = [*self._scale_faults(), *self._label_faults(), *self._chain_faults()]
        column, sources = self.convert.anomaly.column, self.roles.source.columns
        if column is not None and column not in sources:
            known = ", ".join(sources)
            faults.append(f"convert.anomaly.column: {column!r} is not a source column ({known})")
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _scale_faults(self) -> Iterator[str]:
        """Name each image column without a scale, or with one that no source shares."""
        sources = self.roles.source.columns
        targets = self.roles.target.columns if self.roles.target else ()
        for column in dict.fromkeys((*sources, *targets)):
            if column not in self.intensity:
                yield f"intensity: column {column!r} has no scale"
        for column, scale in self.intensity.items():
            if isinstance(scale, SharedScale) and scale.column not in sources:
                yield (
                    f"intensity.{column}: shares the scale of {scale.column!r}, "
                    f"which is not a source column ({', '.join(sources)})"
                )
            elif isinstance(scale, SharedScale) and isinstance(
                self.intensity.get(scale.column), SharedScale
            ):
                yield f"intensity.{column}: shares with {scale.column!r}, which has no own scale"

    def _chain_faults(self) -> Iterator[str]:
        """Name what keeps a stage's answers from being fed to the next."""
        if self.chain is None:
            return
        targets = self.roles.target.columns if self.roles.target else ()
        if len(targets) != 1:
            yield f"chain: feeds one target column to the next stage, and there are {len(targets)}"
            return
        fed = [f"{targets[0]}_stage_{stage}" for stage in range(1, self.chain.stages)]
        for column in self.roles.columns():
            if column in fed:
                yield f"chain: {column!r} is the name of what is fed; rename that column"

    def _label_faults(self) -> Iterator[str]:
        """Name what is wrong with the classes."""
        classes = {name: values for name, values in self.labels.items() if name != BACKGROUND}
        sides = sorted(name for name in classes if _SIDED.search(name))
        if sides and 0 in self.train.augment.flip_axes:
            yield (
                f"train.augment.flip_axes: {sides[0]!r} has a side, and axis 0 is mirrored in "
                "training; write `augment: {flip_axes: []}`"
            )
        for key in ("keep_largest", "minimum_ml", "lesions"):
            for name in getattr(self.convert, key):
                if name not in classes:
                    yield f"convert.{key}: {name!r} is not one of `labels`"
        if self.roles.label is None:
            if self.labels:
                yield "labels: there is no label role; add `label: [COLUMN]` under roles"
            return
        if len(self.roles.label.columns) > 1:
            yield "roles.label: give one column; its values tell the classes apart"
        if not classes:
            yield "labels: name the classes of the label column, e.g. `labels: {lesion: 1}`"
        if any(0 in values for values in classes.values()):
            yield "labels: 0 is the background; a class cannot have it"
        owners: dict[int, list[str]] = {}
        for name, values in self.labels.items():
            for value in dict.fromkeys(values):
                owners.setdefault(value, []).append(name)
        for value, names in owners.items():
            if len(names) > 1:
                yield f"labels: value {value} belongs to {' and '.join(names)}"

    def as_json(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values, complete with its defaults."""
        return self.model_dump(mode="json", by_alias=True)
