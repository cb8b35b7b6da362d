"""Several answers to one case: by the runs of an ensemble, and by each of them asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medgen.conversion.decoding import Decoder, ImageDecoder, Keep
from medgen.conversion.progress import Progress
from medgen.conversion.stages import Ready, Waiting
from medgen.conversion.uncertainty import (
    UNTRAINED_FLIP,
    Running,
    Sampling,
    dropout_of,
    dropping,
    measured,
    mirrored,
    seed_of,
)
from medgen.conversion.windows import Windowed, Windows
from medgen.method import Answer
from medgen.problems import ConfigurationError, Problem
from medgen.volumes import Volume

if TYPE_CHECKING:
    from medgen.conversion.converter import Converter


@dataclass(frozen=True, eq=False)
class Member:
    """A run, and a case made ready for it."""

    windows: Windows
    source: NDArray[np.float32]
    """What the method is given (C, X, Y, Z)."""
    decoder: Decoder
    sampling: Sampling | None = None
    """What it is asked again; None: nothing."""

    @property
    def dropout_passes(self) -> int:
        """Return how many answers with dropout are asked for; 0 where there is none to drop."""
        if self.sampling is None or not dropout_of(self.windows.method):
            return 0
        return self.sampling.dropout_passes

    def flips(self, *, alone: bool) -> tuple[tuple[int, ...], ...]:
        """Return how the source is mirrored: also untrained where nothing else would vary."""
        if self.sampling is None:
            return ()
        return self.sampling.flips or (((0,),) if alone and not self.dropout_passes else ())


class Together(NamedTuple):
    """What the members answered together."""

    windowed: Windowed
    """The mean of their plain answers, in the first one's encoding."""
    deviation: Tensor | None = None
    """(1, X, Y, Z), encoded; None where nobody was asked again."""
    facts: Mapping[str, Any] = MappingProxyType({})
    """How the deviation was found; empty without one."""
    warnings: tuple[str, ...] = ()


def answer_together(
    members: Sequence[Member],
    *,
    keep: Keep,
    digests: Mapping[str, str],
    progress: Progress | None = None,
) -> Together:
    """Ask every member, and again as its sampling says.

    The variance is that between the members' plain answers, and the mean of each member's own: of
    its mirrored answers with the plain one, and of those with dropout. No answer is kept for
    longer than it takes to add it up.

    Args:
        members: all on one working grid; the first one's decoder reads the mean.
        keep: voxels (X, Y, Z) to answer; the deviation of the others is 0. None: all.
        digests: of the case's files, which decide what dropout drops.
        progress: see `Progress`; counts the windows of all answers.
    """
    first, alone = members[0], len(members) == 1
    flips = [member.flips(alone=alone) for member in members]
    passes = [
        1 + len(ways) + member.dropout_passes for ways, member in zip(flips, members, strict=True)
    ]
    asking = _Asking(first.decoder, keep, digests, sum(passes), progress)
    between, own = Running(), Running()
    total: Tensor | None = None
    for number, (member, ways) in enumerate(zip(members, flips, strict=True)):
        plain = asking.answer(member)
        share = plain if alone else plain / len(members)
        total = share if total is None else total.add_(share)
        if first.sampling is not None:
            between.add(measured(first.decoder, plain))
            own.add(_own_variance(asking, member, number, ways, plain))
    assert total is not None
    assert asking.first is not None
    spared = tuple(dict.fromkeys(asking.spared))
    windowed = replace(asking.first, encoded=total, spared=spared)
    if first.sampling is None:
        return Together(windowed)
    deviation = (between.variance + own.mean).sqrt()
    if keep is not None:
        deviation[:, torch.from_numpy(~keep)] = 0.0
    facts = {
        "samples": asking.passes,
        "members": len(members),
        "flips": [list(axes) for axes in flips[0]],
        "dropout_passes": max(member.dropout_passes for member in members),
    }
    untrained = bool(flips[0]) and not first.sampling.flips
    return Together(windowed, deviation, facts, (UNTRAINED_FLIP,) if untrained else ())


@dataclass(eq=False)
class _Asking:
    """The answers to one case, one after the other."""

    decoder: Decoder
    """The first member's, in whose encoding all answers are."""
    keep: Keep
    digests: Mapping[str, str]
    passes: int
    progress: Progress | None
    done: int = 0
    first: Windowed | None = None
    """How the first answer came to be, without it."""
    spared: list[str] = field(default_factory=list)

    def answer(self, member: Member, axes: tuple[int, ...] = ()) -> Tensor:
        """Return a member's answer (K, X, Y, Z) to its source, mirrored along some axes."""
        source, keep = member.source, self.keep
        if axes:
            source = mirrored(source, axes, located=member.windows.method.located)
            keep = None if keep is None else np.flip(keep, axes).copy()
        windowed = member.windows(
            source, background=member.decoder.background, keep=keep, progress=self._share()
        )
        self.done += 1
        self.spared += windowed.spared
        self.first = self.first or replace(windowed, encoded=torch.empty(0))
        encoded = in_scale_of(self.decoder, member.decoder, windowed.encoded)
        return encoded.flip([axis + 1 for axis in axes]) if axes else encoded

    def _share(self) -> Progress | None:
        """Return what shows the windows of the next answer as a share of those of all."""
        progress, done, passes = self.progress, self.done, self.passes
        if progress is None or passes == 1:
            return progress
        return lambda windows, total: progress(done * total + windows, passes * total)


def _own_variance(
    asking: _Asking, member: Member, number: int, ways: Sequence[tuple[int, ...]], plain: Tensor
) -> Tensor:
    """Return the variance (1, X, Y, Z) of one member's answers, mirrored and with dropout."""
    seen = Running()
    seen.add(measured(asking.decoder, plain))
    for axes in ways:
        seen.add(measured(asking.decoder, asking.answer(member, axes)))
    variance = seen.variance
    if member.dropout_passes:
        dropped = Running()
        for index in range(member.dropout_passes):
            seed = seed_of(asking.digests, number, index)
            with dropping(member.windows.method, seed, member.windows.device):
                dropped.add(measured(asking.decoder, asking.answer(member)))
        variance = variance + dropped.variance
    return variance


def in_scale_of(first: Decoder, own: Decoder, encoded: Tensor) -> Tensor:
    """Return a member's answer (K, X, Y, Z) in the first one's encoding: equal physical values."""
    if not isinstance(first, ImageDecoder) or not isinstance(own, ImageDecoder):
        return encoded
    here, there = first.codec, own.codec
    if (here.low, here.high) == (there.low, there.high):
        return encoded
    physical = there.decode(encoded)
    return (physical - here.low) / here.gain - 1.0


def check_spread(converter: Converter) -> None:
    """Refuse an uncertainty or an ensemble that cannot be had, with all that is in the way.

    Raises:
        ConfigurationError: E_USAGE for anomaly answers; E_ENSEMBLE where a member differs in what
            it answers, in the columns that it reads, in its working grid, unit or classes.
    """
    wanted = converter.wanted()
    if wanted.kind == "anomaly":
        message = "an anomaly answer has neither an uncertainty nor an ensemble"
        advice = "its z-map says how unusual a voxel is; leave --uncertainty and --ensemble out"
        raise ConfigurationError(Problem("E_USAGE", message, advice))
    here = _traits(converter, wanted)
    problems = []
    for number, member in enumerate(converter.members, start=2):
        there = _traits(member, member.wanted())
        problems += [
            Problem(
                "E_ENSEMBLE",
                f"run {number} of the ensemble differs in {name}: {there[name]}, not {said}",
                "give runs of one table and one configuration",
            )
            for name, said in here.items()
            if there[name] != said
        ]
    if problems:
        raise ConfigurationError(problems)


def _traits(converter: Converter, wanted: Answer) -> dict[str, str]:
    """Return what the members of an ensemble must have in common, in words."""
    way = converter.preprocessing
    spacing = " x ".join(f"{mm:g}" for mm in way.settings.spacing_mm)
    crop = way.settings.crop
    margin = f", {way.settings.crop_margin_mm:g} mm around it" if crop == "mask" else ""
    common = {
        "what it answers": f"{wanted.kind} {converter.answer!r}",
        "the columns it reads": ", ".join(way.given),
        "the working grid": f"{spacing} mm, crop {crop}{margin}",
    }
    if wanted.kind == "labels":
        classes = ", ".join(f"{name} {value}" for name, value in way.classes.described().items())
        return {**common, "the classes": classes}
    columns = ", ".join(way.target_columns)
    return {**common, "the target": columns, "the unit": way.answer_unit({}).casefold()}


def ready_for(
    member: Converter, volumes: Mapping[str, Volume], first: Converter, found: Ready | Waiting
) -> Ready | Waiting:
    """Return a case made ready for a member, the first one's where both make it ready alike.

    Raises:
        ConfigurationError: E_ENSEMBLE where the member works on another grid.
        Refusal: the volumes cannot be prepared for it.
    """
    alike = (
        isinstance(found, Ready)
        and member.upstream is None
        and member.preprocessing == first.preprocessing
        and member.method.located == first.method.located
    )
    ready = found if alike else member.ready(volumes)
    if isinstance(found, Ready) and isinstance(ready, Ready):
        here, there = found.prepared.grid, ready.prepared.grid
        if not here.same_as(there):
            message = f"a run of the ensemble works on {there.shape} voxels, not {here.shape}"
            advice = "give runs of one table and one configuration"
            raise ConfigurationError(Problem("E_ENSEMBLE", message, advice))
    return ready
