"""The verb `prepare`: columns registered to one, masks, and a new table of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medgen.cli.terminal import Terminal
from medgen.problems import ConfigurationError, Problem

if TYPE_CHECKING:
    from medgen.preparation import Outcome, Record, Result


def prepare(
    context: typer.Context,
    data: Annotated[Path, typer.Option("--data", help="A table of cases.")],
    output: Annotated[
        Path, typer.Option("--output", help="Folder to write: a folder per case, a new table.")
    ],
    fixed: Annotated[
        str, typer.Option("--fixed", metavar="COL", help="The column that stays as it is.")
    ],
    moving: Annotated[
        str, typer.Option("--moving", metavar="COL,...", help="Columns to register to it.")
    ] = "",
    transform: Annotated[
        str,
        typer.Option("--transform", help="rigid, affine, or deformable (needs medgen[itk])."),
    ] = "rigid",
    masks: Annotated[
        str,
        typer.Option(
            "--masks",
            metavar="NAME,...",
            help="body; brain, which is brain-like and needs a whole-head T1 as --fixed; "
            "seen, the part of the body that every registered image shows.",
        ),
    ] = "",
    carry: Annotated[
        str,
        typer.Option(
            "--carry",
            metavar="COL=WITH,...",
            help="Labels or masks, each with the column that it was drawn on and goes with.",
        ),
    ] = "",
    hounsfield: Annotated[
        str,
        typer.Option(
            "--hu",
            metavar="COL,...",
            help="Columns in Hounsfield units: beyond their view they become -1024.",
        ),
    ] = "",
    n4: Annotated[
        str, typer.Option("--n4", metavar="COL,...", help="MR columns to even out by N4.")
    ] = "",
    keep: Annotated[
        str,
        typer.Option("--keep", metavar="COL,...", help="Columns of words for the new table."),
    ] = "",
    spacing: Annotated[
        str,
        typer.Option(
            "--spacing", metavar="MM,MM,MM", help="Resample to this, else the fixed column's grid."
        ),
    ] = "",
    min_overlap: Annotated[
        float | None,
        typer.Option("--min-overlap", help="Least Dice of the body outlines once registered."),
    ] = None,
    nan_to: Annotated[
        float | None, typer.Option("--nan-to", help="Value for NaN voxels, else refused.")
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace what other settings made, and changed files."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON summary.")] = False,
) -> None:
    """Register columns to one and make masks; a second call goes on where the first stopped.

    Writes cases.csv (the new table), manifest.tsv and index.html (pictures to leaf through). A
    registration that fails is refused: its cell in the new table is empty. A doubtful one is
    passed on with a warning.
    """
    terminal = Terminal.of(context)
    pairs, step = _pairs(carry), _spacing(spacing)

    from medgen.preparation import Request, Watch, prepare_table

    given: dict[str, Any] = {"min_overlap": min_overlap, "spacing_mm": step}
    request = Request(
        fixed=fixed,
        moving=_names(moving),
        transform=transform,  # type: ignore[arg-type]
        masks=_names(masks),
        carry=pairs,
        hounsfield=_names(hounsfield),
        n4=_names(n4),
        keep=_names(keep),
        nan_to=nan_to,
        **{name: value for name, value in given.items() if value is not None},
    )
    finished = 0
    with terminal.progress("prepare", total=None) as bar:

        def begin(cases: int, left_out: Sequence[str]) -> None:
            bar.set(0, total=cases)
            if left_out:
                names = ", ".join(left_out)
                terminal.note(f"medgen: not in the new table: {names} (--keep, --carry)")

        def case(record: Record, kept: bool) -> None:
            nonlocal finished
            finished += 1
            bar.set(finished, note=record.case)
            _tell(terminal, record, kept=kept)

        outcome = prepare_table(
            data,
            request,
            output,
            overwrite=overwrite,
            watch=Watch(case=case, step=lambda note: bar.set(finished, note=note), begin=begin),
        )
    _warn(terminal, outcome)
    if as_json:
        terminal.json(_summary(outcome))
    else:
        _say(terminal, outcome, output)
    raise typer.Exit(int(outcome.exit_code))


def _names(text: str) -> tuple[str, ...]:
    """Split a list of names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _pairs(text: str) -> dict[str, str]:
    """Split COL=WITH,... into what rides along and with what."""
    pairs = {}
    for part in _names(text):
        column, sign, along = (piece.strip() for piece in part.partition("="))
        if not (sign and column and along) or column in pairs:
            message = "--carry takes COL=WITH, each column once"
            advice = "for example --carry lesion=flair"
            raise ConfigurationError(Problem("E_USAGE", message, advice))
        pairs[column] = along
    return pairs


def _spacing(text: str) -> tuple[float, float, float] | None:
    """Read one spacing for all axes, or three in millimetres."""
    try:
        steps = [float(part) for part in _names(text)]
    except ValueError:
        steps = [0.0, 0.0]
    if not steps:
        return None
    if len(steps) not in (1, 3):
        message = "--spacing takes three numbers in mm, or one for all axes"
        raise ConfigurationError(Problem("E_USAGE", message, "for example --spacing 1,1,1"))
    first, second, third = steps * (3 // len(steps))
    return first, second, third


def _tell(terminal: Terminal, record: Record, *, kept: bool) -> None:
    """Report a case's problems and its doubts."""
    for problem in record.all_problems:
        terminal.problem(problem)
    for result in record.results:
        place = f"case {record.case}, column {result.name}"
        if result.verdict == "doubtful":
            reasons = "; ".join(result.reasons)
            terminal.warn(f"{place} is DOUBTFUL: {reasons}", case=record.case, column=result.name)
    status = "kept" if kept else record.verdict
    terminal.event("case", case=record.case, status=status, seconds=record.seconds)


def _warn(terminal: Terminal, outcome: Outcome) -> None:
    """Print each remark once, with the cases that it concerns."""
    cases: dict[tuple[str, str], list[str]] = {}
    for record in outcome.records:
        for result in record.results:
            for remark in result.remarks:
                cases.setdefault((result.name, remark), []).append(record.case)
    for (column, remark), found in cases.items():
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        terminal.warn(f"column {column} of {found[0]}{more}: {remark}", cases=found)


def _say(terminal: Terminal, outcome: Outcome, output: Path) -> None:
    """Print a line for each registration, and where the table and the pictures are."""
    rows = [
        _row(record, result)
        for record in outcome.records
        for result in record.results
        if result.kind == "moved"
    ]
    if rows:
        heads = [
            "case",
            "column",
            "verdict",
            "moved mm",
            "turned deg",
            "overlap",
            "edges mm",
            "before",
        ]
        terminal.table(heads, rows)
        terminal.say()
    count = len(outcome.records)
    parts = [f"{count} case{'s' if count != 1 else ''}"]
    parts += [f"{len(outcome.kept)} kept from before"] if outcome.kept else []
    for verdict, word in (("doubtful", "doubtful"), ("failed", "with something refused")):
        number = sum(record.verdict == verdict for record in outcome.records)
        parts += [f"{number} {word}"] if number else []
    terminal.say(f"{output / 'cases.csv'}: {', '.join(parts)}")
    terminal.say(f"look at them: {output / 'index.html'}")


def _row(record: Record, result: Result) -> list[object]:
    verdict = {"failed": "REFUSED", "doubtful": "DOUBTFUL"}.get(result.verdict, result.verdict)
    numbers = [_short(result.numbers.get(name)) for name in ("moved_mm", "turned_degrees")]
    names = ("outline_dice", "edge_distance_mm")
    after = [_short(result.after.get(name), 2) for name in names]
    return [
        record.case,
        result.name,
        verdict,
        *numbers,
        *after,
        _short(result.before.get(names[1]), 2),
    ]


def _short(value: float | None, digits: int = 1) -> object:
    return None if value is None else round(value, digits)


def _summary(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome for a machine."""
    verdicts = [record.verdict for record in outcome.records]
    return {
        "cases": len(outcome.records),
        "kept": len(outcome.kept),
        "ok": verdicts.count("ok"),
        "doubtful": verdicts.count("doubtful"),
        "failed": verdicts.count("failed"),
        "results": [_case(record, kept=record.case in outcome.kept) for record in outcome.records],
    }


def _case(record: Record, *, kept: bool) -> dict[str, Any]:
    return {
        "case": record.case,
        "verdict": record.verdict,
        "kept": kept,
        "problems": [problem.as_json() for problem in record.all_problems],
        "columns": [
            {
                "column": result.name,
                "verdict": result.verdict,
                "reasons": list(result.reasons),
                "remarks": list(result.remarks),
                "before": dict(result.before),
                "after": dict(result.after),
                **result.numbers,
            }
            for result in record.results
        ],
        "seconds": record.seconds,
    }
