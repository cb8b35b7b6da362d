"""What the values of a label volume mean: classes by name, index and value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.config import BACKGROUND
from medgen.problems import Problem, Refusal

Array = NDArray[Any]

LARGEST_VALUE = 255
_UNNAMED = -1
_SHOWN = 5


@dataclass(frozen=True)
class Classes:
    """The classes of a run: index 0 is the background, index k the class of the k-th least value.

    Indices follow the values that are written, never the order in which a file lists the names:
    weights, caches and settings that hold the same classes mean the same by them.
    """

    values: Mapping[str, tuple[int, ...]]
    """Label values of each class by name, the background left out, in the order of the indices;
    the first value is written."""
    background: tuple[int, ...] = (0,)
    """Values that count as background; 0 always does."""

    @classmethod
    def of(cls, labels: Mapping[str, tuple[int, ...]]) -> Classes:
        """Return the classes that a configuration's `labels` name."""
        named = {name: tuple(values) for name, values in labels.items() if name != BACKGROUND}
        in_order = dict(sorted(named.items(), key=lambda item: item[1][0]))
        return cls(in_order, tuple(dict.fromkeys((0, *labels.get(BACKGROUND, ())))))

    @property
    def count(self) -> int:
        """Return the number of classes, the background included; 0 where none is named."""
        return len(self.values) + 1 if self.values else 0

    @property
    def written(self) -> dict[str, int]:
        """Return the value that an answer holds for each class."""
        return {name: values[0] for name, values in self.values.items()}

    def described(self) -> dict[str, int | list[int]]:
        """Return the values of each class as a configuration's `labels` would have them."""
        named = {name: list(values) for name, values in self.values.items()}
        if len(self.background) > 1:
            named[BACKGROUND] = list(self.background)
        return {name: values[0] if len(values) == 1 else values for name, values in named.items()}

    def indices(self, values: Array) -> NDArray[np.uint8]:
        """Return the class index of each voxel of a label volume, in the same shape.

        Raises:
            Refusal: E_LABEL_VALUES where a value is no whole number from 0 to 255, or is not named.
        """
        in_range = bool((values >= 0).all() and (values <= LARGEST_VALUE).all())
        whole = values.astype(np.uint8) if in_range else np.zeros(0, dtype=np.uint8)
        if not in_range or not np.array_equal(whole, values):
            raise _wrong(f"labels are not whole numbers from 0 to {LARGEST_VALUE}")
        table = np.full(LARGEST_VALUE + 1, _UNNAMED, dtype=np.int16)
        table[list(self.background)] = 0
        for index, mine in enumerate(self.values.values(), start=1):
            table[list(mine)] = index
        found = table[whole]
        if (found == _UNNAMED).any():
            unnamed = [int(value) for value in np.unique(whole[found == _UNNAMED])]
            shown = ", ".join(map(str, unnamed[:_SHOWN])) + (", ..." * (len(unnamed) > _SHOWN))
            raise _wrong(
                f"the label holds {shown}, which `labels` does not name",
                "name the values in the configuration's `labels`, or list them as background",
            )
        return found.astype(np.uint8)

    def label_values(self, indices: Array) -> NDArray[np.uint8]:
        """Return the label value of each class index: what is written."""
        table = np.array([0, *self.written.values()], dtype=np.uint8)
        return np.asarray(table[indices])

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "values": {name: list(values) for name, values in self.values.items()},
            "background": list(self.background),
        }


def _wrong(message: str, advice: str = "check that the column holds labels") -> Refusal:
    return Refusal(Problem("E_LABEL_VALUES", message, advice))
