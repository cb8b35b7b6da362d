"""A trained segmenter, frozen, whose features another training compares images by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medgen.config import CohortScale, Config, Scale, WindowScale
from medgen.data import Codec, measure
from medgen.data.intensity import unit_of
from medgen.method import FeatureExtractor, Method
from medgen.methods import METHODS
from medgen.methods.segmenter import Segmenter
from medgen.networks import DecoderBlock
from medgen.problems import ConfigurationError, Problem
from medgen.runs.assembly import options_of
from medgen.runs.folder import RunFolder
from medgen.runs.model import load_model, read_run_files

SPACING_TOLERANCE = 0.01
"""Largest relative difference of the two working grids: features are shapes in voxels."""

Cohort = Mapping[str, tuple[float, float]]
"""The fitted range of each cohort-scaled column."""


@dataclass(frozen=True, eq=False)
class Lent:
    """What a training borrows from a segmenter's run."""

    extractor: FeatureExtractor
    weights_digest: str
    """SHA-256 of the segmenter's weights: a resumed training must borrow the same."""


def lend_features(run: Path, config: Config, cohort: Cohort, device: torch.device) -> Lent:
    """Freeze a run's segmenter and lend its features of images in this configuration's encoding.

    The extractor takes images (B, C, X, Y, Z) of the configuration's target columns, encoded by
    their scales, and returns the decoder's maps, finest first. Between the two encodings lies a
    line per column. Where the segmenter's source is a window, its ends clip as they did in its
    training: values beyond them differ in no feature, and their gradient is zero. Arbitrary units
    are taken to be one unit: the columns have one name, so the same scanners are meant.

    It runs under whatever autocast is on, keeps no graph of the segmenter's parameters, and is a
    plain function: no module registers it, and a deep copy of a method shares it.

    Args:
        run: the segmenter's run.
        config: the configuration of the training that borrows.
        cohort: the fitted ranges of that training's cohort-scaled columns.
        device: where the images will be.

    Raises:
        NothingFound: `run` is not a run folder.
        ConfigurationError: the run is damaged or unfinished; or, all of them at once,
            E_FEATURES_METHOD (not a segmenter), E_FEATURES_NETWORK (its features lie on a smaller
            grid than the image), E_FEATURES_COLUMNS (it reads other images),
            E_FEATURES_SCALE (there is no fixed line between the encodings), E_FEATURES_SPACING,
            E_FEATURES_PATCH (its network does not take these patches).
    """
    theirs, statistics, _ = read_run_files(RunFolder(run))
    problems = list(_problems(theirs, config))
    if problems:
        raise ConfigurationError(problems)
    model = load_model(run, device=device)
    segmenter = model.method.requires_grad_(False)
    assert isinstance(segmenter, Segmenter)
    if device.type == "cuda":
        segmenter.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    known = _codecs(config, cohort), _codecs(theirs, statistics.cohort)
    slope, offset, low, high = _lines(*known, theirs.roles.source.columns, device)

    def extract(image: Tensor) -> tuple[Tensor, ...]:
        return segmenter.features((image * slope + offset).clamp(low, high))

    return Lent(extract, model.weights_digest)


def _codecs(config: Config, cohort: Cohort) -> dict[str, Codec]:
    """Return the codec of each column whose scale depends on no volume."""
    nothing = np.zeros((1, 1, 1), dtype=np.float32)
    return {
        column: measure(scale, nothing, nothing > 0, cohort=cohort.get(column))
        for column, scale in config.intensity.items()
        if isinstance(scale, WindowScale) or column in cohort
    }


def _lines(
    ours: Mapping[str, Codec],
    theirs: Mapping[str, Codec],
    columns: Sequence[str],
    device: torch.device,
) -> tuple[Tensor, ...]:
    """Return slope, offset and both ends, each (C, 1, 1, 1), that carry our encoding to theirs."""
    rows = []
    for column in columns:
        source, target = ours[column], theirs[column]
        slope = source.gain / target.gain
        offset = (source.decode(0.0) - target.low) / target.gain - 1.0
        end = 1.0 if target.clip else math.inf
        rows.append((slope, offset, -end, end))
    columnwise = torch.tensor(rows, dtype=torch.float32, device=device)
    return tuple(part.reshape(-1, 1, 1, 1) for part in columnwise.unbind(dim=1))


def _problems(theirs: Config, config: Config) -> Iterator[Problem]:
    """Find everything that keeps a run's features from comparing a configuration's targets."""
    wanted = config.roles.target.columns if config.roles.target else ()
    read = theirs.roles.source.columns
    learned = issubclass(METHODS.get(theirs.method, Method), Segmenter)
    if not learned:
        message = f"the run's method is {theirs.method!r}, and features are a segmenter's"
        advice = "give --features a run of the method segmenter"
        yield Problem("E_FEATURES_METHOD", message, advice)
    if read != wanted:
        message = f"the run reads {_names(read)}, and the target is {_names(wanted)}"
        advice = f"train the segmenter with `source: [{', '.join(wanted)}]`"
        yield Problem("E_FEATURES_COLUMNS", message, advice)
    for column in wanted:
        if column in read:
            yield from _scale_problems(column, theirs.intensity[column], config.intensity[column])
    yield from _spacing_problems(theirs, config)
    if learned:
        unfit = list(network_problems(theirs))
        yield from unfit or _patch_problems(theirs, config)


def network_problems(theirs: Config) -> Iterator[Problem]:
    """Find a network of a segmenter's run that has no features for every voxel of an image."""
    network = options_of(theirs)["network"]
    if not isinstance(network, DecoderBlock):
        message = (
            f"the run's network is {network.name!r}, whose features lack {network.margin} voxels "
            "of the image on each side"
        )
        advice = "give --features a segmenter whose network is unet or residual_encoder_unet"
        yield Problem("E_FEATURES_NETWORK", message, advice)


def _scale_problems(column: str, theirs: Scale, ours: Scale) -> Iterator[Problem]:
    """Find what keeps one encoding of a column from being carried to the other by a fixed line."""
    moving = [
        f"{whose} {scale.scale!r}"
        for whose, scale in (("the run's scale is", theirs), ("the configuration's is", ours))
        if not isinstance(scale, WindowScale | CohortScale)
    ]
    if moving:
        message = f"{' and '.join(moving)}, which is another one for each volume"
        advice = "train both with scale: window, or both with scale: cohort"
        yield Problem("E_FEATURES_SCALE", message, advice, column=column)
    elif unit_of(theirs).casefold() != unit_of(ours).casefold():
        message = f"the run's unit is {unit_of(theirs)}, and the configuration's {unit_of(ours)}"
        advice = "train the segmenter on the target's unit"
        yield Problem("E_FEATURES_SCALE", message, advice, column=column)


def _spacing_problems(theirs: Config, config: Config) -> Iterator[Problem]:
    """Find a working grid of other voxels."""
    have, want = theirs.preprocessing.spacing_mm, config.preprocessing.spacing_mm
    if any(abs(h / w - 1.0) > SPACING_TOLERANCE for h, w in zip(have, want, strict=True)):
        message = f"the run's voxels are {_by(have)} mm, and the configuration's {_by(want)} mm"
        advice = f"train the segmenter with preprocessing.spacing_mm={list(want)}"
        yield Problem("E_FEATURES_SPACING", message, advice)


def _patch_problems(theirs: Config, config: Config) -> Iterator[Problem]:
    """Find a training patch that the segmenter does not take; a generator's margin is around it."""
    network = options_of(theirs)["network"]
    divisor, least = network.divisor, network.minimum_window  # it only answers, untrained
    least = -(-least // divisor) * divisor
    if any(length % divisor or length < least for length in config.train.patch):
        message = f"train.patch {list(config.train.patch)} does not fit the run's network"
        advice = f"take multiples of {divisor} from {least} on; or a segmenter of fewer levels"
        yield Problem("E_FEATURES_PATCH", message, advice)


def _names(columns: Sequence[str]) -> str:
    return f"[{', '.join(columns)}]"


def _by(lengths: Sequence[float]) -> str:
    return " x ".join(f"{length:g}" for length in lengths)
