"""Lesions on a scanner that nobody labelled: what adapting to it is worth, beside not adapting.

    python pipelines/lesion_adaptation.py --output lesions [--data cases.csv]

Without a table it makes sample heads of two scanners. Called again, it goes on.
"""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from rich import print as say
from rich.progress import Progress
from rich.table import Table

from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.data import read_table
from medgen.evaluation import evaluate, match_table
from medgen.metrics import profile_named
from medgen.phantom import write_two_scanners
from medgen.problems import MedgenError, Refusal
from medgen.runs import Model, assemble, choose_device, load_model
from medgen.training import train_table

CONFIG = Path(__file__).parents[1] / "configs" / "lesion_adaptation.yaml"
# Nothing of the scanner without labels is learned from or chosen by.
PLAIN = ["methods.adapted_segmenter.lambda_adversarial=0", "train.validate.best_by.penalties={}"]
SIDES, SHOWN = {"target": "without labels", "forward": "with labels"}, ("dice", "lesion_f1")


def main(configs: dict[str, Config], chosen: Namespace) -> None:
    """Make the table, train with and without adaptation, label both scanners, and score."""
    list(map(assemble, configs.values()))  # refuses a wrong option before anything is made
    data = chosen.data or chosen.output / "cases" / "cases.csv"
    if not chosen.data and not data.exists():
        print("making 24 sample heads at two sites", flush=True)
        write_two_scanners(data.parent)
    scores = Table("held-out patients", "trained", *SHOWN)
    for name, config in configs.items():
        with Progress() as bar:
            task = bar.add_task(f"training {name}", total=config.train.steps)
            how: Any = {"device": chosen.device, "cache": chosen.output / "cache", "resume": True}
            how["progress"] = lambda _, step, *__, task=task: bar.update(task, completed=step)
            train_table(config, data=data, run=(run := chosen.output / "runs" / name), **how)
        model = load_model(run, device=choose_device(chosen.device))
        for direction, side in SIDES.items():
            found = answer(model.facing(direction), data, chosen, f"{name}/{direction}")
            if found:
                scores.add_row(f"scanner {side}", name, *(found[key] for key in SHOWN))
            else:
                print(f"scanner {side}: not every test patient has a truth; only converted")
    if scores.rows:
        say(scores, f"reports: {chosen.output}/reports/*/*/report.html", sep="\n")
    print(f"lesion tables: {chosen.output}/answers/*/*/*_lesions.tsv")


def answer(model: Model, data: Path, chosen: Namespace, place: str) -> dict[str, str]:
    """Label the test patients of one scanner; return their mean scores where truth is known."""
    cases, device = cases_of_table(data, model, split="test"), choose_device(chosen.device)
    answers, report = (chosen.output / kind / place for kind in ("answers", "reports"))
    outcome = convert_cohort(model, cases, answers, device=device, options=Options(overwrite=True))
    if problems := [problem for result in outcome.results for problem in result.problems]:
        raise Refusal(problems)
    (column,) = model.config.roles.label.columns if model.config.roles.label else ("",)
    known = {row.case for row in read_table(data, columns=[column]).rows if column in row.cells}
    if not known.issuperset(case.name for case in cases):
        return {}
    matched, kind = match_table(answers, data, column=column), profile_named("segmentation")
    found = evaluate(matched, kind, report, match_grid=True, overwrite=True).summary
    means = {key: score["mean"] for key, score in found["headline"]["scores"].items()}
    return {key: "-" if (mean := means.get(key)) is None else f"{mean:.3f}" for key in SHOWN}


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--data", type=Path, help="table of cases; sample heads where left out")
    parser.add_argument("--config", type=Path, help="configs/lesion_adaptation.yaml, or its _demo")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    chosen = parser.parse_args()
    file = chosen.config or (CONFIG if chosen.data else CONFIG.with_stem("lesion_adaptation_demo"))
    try:
        ways = {"source_only": [*chosen.set, *PLAIN], "adapted": chosen.set}
        main({name: read_config(file, sets) for name, sets in ways.items()}, chosen)
    except MedgenError as error:
        parser.exit(int(error.exit_code), f"{error}\n")
