"""Networks with dense layers: they take images of one size, which is the training patch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from medgen.config import Strict
from medgen.config.values import Voxels
from medgen.problems import ConfigurationError, Problem

Window = tuple[int, int, int]


class PatchedBlock(Strict):
    """The key that all networks of a fixed size share."""

    window: tuple[Voxels, Voxels, Voxels] | None = None
    """The size of the images, in voxels; the training patch where left out."""

    def for_patch(self, patch: Sequence[int]) -> Self:
        """Return these options for a training patch (X, Y, Z), which the window must equal.

        Raises:
            ConfigurationError: E_PATCH_SIZE where it does not.
        """
        x, y, z = patch
        if self.window is not None and self.window != (x, y, z):
            message = f"the network's window {list(self.window)} is not train.patch {[x, y, z]}"
            advice = "leave the window out: it is taken from the patch"
            raise ConfigurationError(Problem("E_PATCH_SIZE", message, advice))
        return self.model_copy(update={"window": (x, y, z)})

    @property
    def size(self) -> Window:
        """Return the window.

        Raises:
            ConfigurationError: E_PATCH_SIZE where nobody has set it.
        """
        if self.window is None:
            advice = "set it, or let a training patch decide"
            raise ConfigurationError(Problem("E_PATCH_SIZE", "the network has no window", advice))
        return self.window
