"""Answering by compiled code, which is given up where compiling fails."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from medgen.conversion.memory import ran_out

Predict = Callable[[Tensor], Tensor]


class CompileFailed(Exception):
    """Compiled code could not be made, or did not run."""


def compiled(predict: Predict) -> Predict:
    """Return a function compiled for the shapes that it meets.

    What it raises is `CompileFailed`, except where memory ran out: the caller goes back to the
    function itself, which raises its own errors again.
    """
    made: Predict = torch.compile(predict, dynamic=False)

    def answer(windows: Tensor) -> Tensor:
        try:
            return made(windows)
        except Exception as error:
            if ran_out(error):
                raise
            raise CompileFailed(type(error).__name__) from error

    return answer
