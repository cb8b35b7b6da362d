"""The channel that a chain of runs feeds from one stage to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from medgen.data.channels import Channels, Scales, placed, require
from medgen.data.frame import Frame
from medgen.volumes import Volume, resample, where_measured


@dataclass(frozen=True)
class Fed:
    """The channel that a chain feeds: the previous stage's answer, in the target's own scale."""

    column: str
    like: str
    """The target column whose scale it has."""
    replaces: bool
    """It stands instead of the source's channels; they still lay the frame and the scales."""


def append_fed(
    fed: Fed, frame: Frame, volumes: Mapping[str, Volume], channels: Channels, *, scales: Scales
) -> Channels:
    """Return the source's channels with the fed one last, or with it alone.

    It is encoded as the target is at conversion. No outline is compared: it is an answer to these
    very channels.

    Raises:
        Refusal: E_COLUMN_EMPTY where the case has no such answer.
    """
    with placed(fed.column):
        volume = require(volumes, fed.column)
        codec = scales.codec_at_conversion(fed.like, channels.codecs)
        values = codec.encode(resample(volume.data, volume.grid, frame.grid))
        values[~where_measured(volume, frame.grid)] = codec.encode(np.array(codec.background))
    own = () if fed.replaces else tuple(channels.encoded)
    return replace(channels, encoded=np.stack([*own, values]))
