"""What runs in an actor's process: a run, loaded once, and one case after the other."""

from __future__ import annotations

import os

import torch

from medgen.cohort.case_work import CaseWork
from medgen.cohort.cases import Job
from medgen.cohort.manifest import Entry
from medgen.cohort.outcome import Result
from medgen.cohort.recipe import Recipe
from medgen.problems import Problem, problems_of


class RayWorker:
    """Load a recipe's run on one GPU, or on so many cores, and convert with it.

    What libraries print of headers and paths must not lie in the cluster's logs, so `silent`, for
    processes that do nothing else, sends the process' output nowhere.
    """

    def __init__(self, recipe: Recipe, *, cores: int, gpu: bool, silent: bool = True) -> None:
        self._problems: tuple[Problem, ...] = ()
        if silent:
            _silence()
        torch.set_num_threads(cores)
        try:
            self._work: CaseWork = recipe.make(torch.device("cuda" if gpu else "cpu"))
        except Exception as error:
            self._problems = problems_of(error, "")

    def ready(self) -> tuple[Problem, ...]:
        """Return why this worker cannot work; nothing where it can."""
        return self._problems

    def convert(self, job: Job, before: Entry | None) -> tuple[Entry, Result]:
        """Convert a case; `before` is the manifest's entry of it, if any."""
        return self._work.whole(job, before)


def _silence() -> None:
    with open(os.devnull, "w") as nowhere:
        for descriptor in (1, 2):
            os.dup2(nowhere.fileno(), descriptor)
