"""Low-dose to full-dose PET: how much noise goes, and does uptake stay, in small hot lesions too?

    python pipelines/low_dose_pet.py --output pet [--data cases.csv --config mine.yaml]

Without a table it makes sample heads, at --dose of their counts. It trains, converts the test
patients and scores them, by region too, beside the low-dose images. Called again, it goes on.
"""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from dataclasses import replace
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
from medgen.phantom import CaseSettings, CohortSettings, write_cohort
from medgen.problems import MedgenError, Refusal
from medgen.runs import Model, choose_device, load_model
from medgen.training import train_table

CONFIG = Path(__file__).parents[1] / "configs" / "low_dose_pet.yaml"
REGIONS = {"csf": 1, "grey": 2, "white": 3, "hot_spots": 4}


def learn(config: Config, data: Path, chosen: Namespace) -> Model:
    """Train the configured method, convert the test patients, and return the model."""
    run, cache, answers = (chosen.output / name for name in ("run", "cache", "answers"))
    with Progress() as bar:
        task = bar.add_task("training", total=config.train.steps)
        shown = lambda what, n, of, *_: bar.update(task, description=what, completed=n, total=of)  # noqa: E731
        how: Any = {"cache": cache, "device": chosen.device, "progress": shown, "resume": True}
        train_table(config, data=data, run=run, **how)
    device, again = choose_device(chosen.device), Options(overwrite=True)
    cases = cases_of_table(data, model := load_model(run, device=device), split="test")
    outcome = convert_cohort(model, cases, answers, device=device, options=again)
    if problems := [problem for result in outcome.results for problem in result.problems]:
        raise Refusal(problems)
    return model


def main(config: Config, data: Path, chosen: Namespace) -> None:
    """Train, convert, score, and print."""
    channels = learn(config, data, chosen).preprocessing
    (source, *_), (target,) = channels.source_columns, channels.target_columns
    mask = None if config.roles.mask == "auto" else config.roles.mask
    answers, reports = chosen.output / "answers", chosen.output / "reports"
    regions = chosen.regions or (None if chosen.data else "regions")
    answered = match_table(answers, data, column=target, mask_column=mask, region_column=regions)
    row = read_table(data, columns=[source]).row
    as_is = tuple(replace(c, prediction=row(c.name).cells[source]) for c in answered.cases)
    means, both = {}, {source: replace(answered, cases=as_is), config.method: answered}
    how: Any = {"match_grid": True, "every": True, "region_names": {} if chosen.data else REGIONS}
    for name, found in both.items():
        scored = evaluate(found, profile_named("pet"), reports / name, overwrite=True, **how)
        means[name] = scored.summary["headline"]["scores"]
    table = Table("held-out score", *means)
    for name, scores in means[config.method].items():
        if scores["cases"] and name.startswith(("psnr", "nrmse", "suv_mean", "suv_max")):
            table.add_row(name, *(f"{mean[name]['mean']:.3g}" for mean in means.values()))
    say(table)
    print(f"reports: {reports}/*/report.html")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--data", type=Path, help="table of cases; sample heads where left out")
    parser.add_argument("--dose", type=float, default=0.1, help="of the sample heads; 0.1")
    parser.add_argument("--regions", metavar="COLUMN", help="of label values; `regions` if sampled")
    parser.add_argument("--config", type=Path, help="configs/low_dose_pet.yaml, or its small _demo")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    chosen = parser.parse_args()
    table = chosen.data or chosen.output / f"cases_{chosen.dose:g}" / "cases.csv"
    file = chosen.config or (CONFIG if chosen.data else CONFIG.with_stem("low_dose_pet_demo"))
    try:
        settings = read_config(file, chosen.set)
        if not chosen.data and not table.exists():
            heads = CaseSettings(dose_fraction=chosen.dose)
            write_cohort(CohortSettings(persons=16, case=heads), table.parent)
        main(settings, table, chosen)
    except MedgenError as error:
        parser.exit(int(error.exit_code), f"{error}\n")
