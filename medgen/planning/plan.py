"""The verb plan as a function: a configuration and a table in, a better configuration out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medgen.config import Config, parse_config, read_config
from medgen.config.plain_yaml import load_plain
from medgen.data import Table, assign_splits, read_table
from medgen.data.groups import ROLE_OF, domains_of
from medgen.planning.budget import Budget
from medgen.planning.doubts import class_voxel_doubts, doubts, patch_doubts
from medgen.planning.editing import Change, edited, given_by
from medgen.planning.facts import Survey
from medgen.planning.footprint import footprint
from medgen.planning.generators import with_alike
from medgen.planning.lent import lent_doubts
from medgen.planning.reasons import changes_of, summary_of
from medgen.planning.search import Choice, search
from medgen.planning.spacing import Resolved, coarsened, resolved
from medgen.planning.stronger import strengthened
from medgen.planning.survey import survey
from medgen.problems import ConfigurationError, Exit, Problem
from medgen.runs import assemble, build

COARSER = 1.25
"""Factor by which a grid is made coarser where its cases do not fit the memory."""

Report = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


@dataclass(frozen=True)
class Plan:
    """A proposal, and what is doubtful about the cases."""

    text: str
    """The new configuration: the given one with the proposed keys, their reasons as comments."""
    changes: tuple[Change, ...]
    choice: Choice
    budget: Budget
    survey: Survey
    doubts: tuple[Problem, ...]

    @property
    def exit_code(self) -> Exit:
        """Return SOME_FAILED where cases were refused."""
        return Exit.SOME_FAILED if self.survey.refused else Exit.OK

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values; no path."""
        found = self.choice.footprint
        return {
            "proposal": [
                {"key": ".".join(change.path), "value": change.value, "reason": change.reason}
                for change in self.changes
            ],
            "memory": {
                "device": self.budget.device_type,
                "precision": self.budget.precision,
                "origin": self.budget.origin,
                "total_bytes": self.budget.total_bytes,
                "planned_bytes": self.choice.bytes,
            },
            "step_flops": found.flops,
            "weights": found.weight_bytes // 4,
            "cases": {name: len(cases) for name, cases in self.survey.split.items()},
            "median_extent_mm": list(self.survey.median_extent_mm()),
            "refused": [problem.as_json() for problem in self.survey.refused],
            "warnings": [problem.as_json() for problem in self.doubts],
        }


def plan(
    path: Path,
    data: Path,
    budget: Callable[[Config], Budget],
    *,
    name: str,
    keep_network: bool = False,
    assignments: Sequence[str] = (),
    report: Report = lambda what, done, total: None,
) -> Plan:
    """Measure the cases and propose spacing, networks, patch, batch and windows.

    Args:
        path: the configuration to start from.
        data: the table (`cases.csv`).
        budget: returns the memory to plan for, given the configuration.
        name: the file name that the new configuration will have, for its first line.
        keep_network: keep a `unet` also where a stronger network would fit.
        assignments: `KEY=VALUE` each, keys to change before; the new configuration has them too.
        report: called while cases are measured.

    Raises:
        ConfigurationError: the configuration or the table is refused, or nothing fits the memory.
        Refusal: no training case can be used; every problem of every case is listed.
        NothingFound: no training case has an image.
    """
    config = read_config(path, assignments)
    build(config)  # refuses unknown methods, options and roles before any case is read
    limits = budget(config)
    table = read_table(data, columns=config.roles.columns())
    measured = _measured(config, table, report)
    fine = resolved(config, measured)
    choice = choose(config, fine, measured, limits)
    if not keep_network:
        choice = strengthened(choice, measured, limits)
    choice = replace(choice, config=_with_overlap(config, with_alike(config, choice.config)))
    assemble(choice.config)
    changes = tuple(changes_of(config, choice, fine, measured, limits))
    text = edited(
        path.read_text(encoding="utf-8-sig"),
        [*given_by(assignments, changes), *changes],
        command=_command(path, name),
        summary=summary_of(choice, measured, limits, _given_flops(config, limits)),
    )
    _check(text, choice.config)
    found = [
        *doubts(measured, config, _domains(config, table)),
        *class_voxel_doubts(measured, choice.config),
        *patch_doubts(measured, choice.config),
        *lent_doubts(choice.config),
    ]
    return Plan(text, changes, choice, limits, measured, tuple(found))


def _measured(config: Config, table: Table, report: Report) -> Survey:
    domains = _domains(config, table)
    split = assign_splits(table, config.split, domains=tuple(domains.values()))
    if not split["train"]:
        problem = Problem(
            "E_SPLIT_EMPTY", "no case is left for training", "add cases, or lower the split shares"
        )
        raise ConfigurationError(problem)
    return survey(config, table, split, lambda done, total: report("measuring", done, total))


def _domains(config: Config, table: Table) -> dict[str, frozenset[str]]:
    """Return the cases of each domain by its role, where training reads several groups."""
    method, _ = build(config)
    found = domains_of(table, config.roles, method.reads)
    roles = ({ROLE_OF.get(key, key) for key in keys} for keys in method.reads)
    names = (min(keys & {"source", "target", "label"}) for keys in roles)
    return dict(zip(names, found, strict=True)) if found else {}


def choose(config: Config, fine: Resolved, measured: Survey, limits: Budget) -> Choice:
    """Search at the spacing that the images resolve; where that is too fine, at a coarser one.

    Raises:
        ConfigurationError: E_PLAN_MEMORY where nothing fits, at no spacing.
    """
    extent_mm = measured.median_extent_mm()
    spacing = fine.spacing_mm
    while True:
        try:
            choice = search(_at_spacing(config, spacing), measured, limits)
            break
        except ConfigurationError:
            # Whole cases have to fit as well, and there are fewer voxels on a coarser grid.
            coarser = coarsened(spacing, extent_mm, 0, coarsest_mm=COARSER * min(spacing))
            if coarser == spacing:
                raise
            spacing = coarser
    coarse = coarsened(spacing, extent_mm, math.prod(choice.config.train.patch))
    if coarse == spacing:
        return choice
    return search(_at_spacing(config, coarse), measured, limits)


def _at_spacing(config: Config, spacing_mm: tuple[float, float, float]) -> Config:
    settings = config.preprocessing.model_copy(update={"spacing_mm": spacing_mm})
    return config.model_copy(update={"preprocessing": settings})


def _with_overlap(given: Config, planned: Config) -> Config:
    """Keep a larger overlap that the file names, up to half a window: seams are a choice."""
    overlap = given.convert.overlap_voxels
    named = "overlap_voxels" in given.convert.model_fields_set
    half = min(planned.train.patch) // 2
    if not named or not planned.convert.overlap_voxels < overlap <= half:
        return planned
    convert = planned.convert.model_copy(update={"overlap_voxels": overlap})
    return planned.model_copy(update={"convert": convert})


def _given_flops(config: Config, limits: Budget) -> float | None:
    """Return the arithmetic of a step of the given configuration, if its patch is a legal one."""
    try:
        found = footprint(config, device_type=limits.device_type, precision=limits.precision)
    except ConfigurationError:
        return None
    return found.flops


def _command(path: Path, name: str) -> str:
    """Return the first line: the command that the given file opens with, for the new file."""
    with path.open(encoding="utf-8-sig") as stream:
        words = stream.readline().split()
    if words[:3] == ["#", "medgen", "train"] and len(words) > 4:
        return " ".join([*words[:3], name, *words[4:]])
    stem = name.rsplit(".", 1)[0]
    return f"# medgen train {name} --data cases.csv --run runs/{stem}"


def _check(text: str, meant: Config) -> None:
    """Make sure that what will be written is what was planned."""
    if parse_config(load_plain(text)).as_json() != meant.as_json():
        raise RuntimeError("the configuration read back differs from the plan")
