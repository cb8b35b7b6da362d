"""MR to CT: does learning beat what needs no learning, on patients that were held out?

    python pipelines/mr_to_ct.py --output demo
    python pipelines/mr_to_ct.py --output mine --data cases.csv --set train.steps=20000

Without a table it makes sample heads. It trains the regression and the conditional GAN, or each
--method, converts the test patients and scores them beside two trivial baselines; the last two
are compared patient by patient. Called again, it goes on.
"""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from rich import print as say
from rich.progress import Progress
from rich.table import Table

from medgen.baselines import write_answers
from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.evaluation import compare, evaluate, match_table
from medgen.metrics import profile_named
from medgen.phantom import CohortSettings, noise_floors, write_cohort
from medgen.problems import MedgenError, Refusal
from medgen.runs import Model, choose_device, load_model
from medgen.training import train_table

CONFIG = Path(__file__).parents[1] / "configs" / "mr_to_ct.yaml"
LEARNED, TRIVIAL = ("regression", "conditional_gan"), ("intensity_median", "aligned_median")


def learn(config: Config, data: Path, chosen: Namespace) -> Model:
    """Train the configured method, convert the test patients, and return the model."""
    run, answers = (chosen.output / name / config.method for name in ("runs", "answers"))
    with Progress() as bar:
        task = bar.add_task(f"training {config.method}", total=config.train.steps)
        shown = lambda _, step, steps, *__: bar.update(task, completed=step, total=steps)  # noqa: E731
        how: Any = {"device": chosen.device, "features": chosen.features, "progress": shown}
        train_table(config, data=data, run=run, cache=chosen.output / "cache", resume=True, **how)
    device, again = choose_device(chosen.device), Options(overwrite=True)
    cases = cases_of_table(data, model := load_model(run, device=device), split="test")
    outcome = convert_cohort(model, cases, answers, device=device, options=again)
    if problems := [problem for result in outcome.results for problem in result.problems]:
        raise Refusal(problems)  # means over different cases would not compare
    return model


def main(configs: list[Config], data: Path, chosen: Namespace) -> None:
    """Train, convert, score, and print."""
    model = [learn(config, data, chosen) for config in configs][-1]
    (source,), (target,) = model.preprocessing.source_columns, model.preprocessing.target_columns
    mask = None if model.config.roles.mask == "auto" else model.config.roles.mask
    answers, place, errors = chosen.output / "answers", chosen.output / "reports", {}
    write_answers(data, model.split, answers, source=source, target=target, mask=mask)
    for name in (names := [*TRIVIAL, *(config.method for config in configs)]):
        pairs = match_table(answers / name, data, column=target, mask_column=mask)
        for kind in map(profile_named, ("synthrad2023", "hu")):
            found = evaluate(pairs, kind, place / name / kind.name, match_grid=True, overwrite=True)
        errors[name] = found.summary["headline"]["scores"]["mae"]["mean"]
    compare(place / names[-2] / "hu", place / names[-1] / "hu", place / "paired", overwrite=True)
    table = Table("MAE in the mask", "HU", *(f"below {name}" for name in TRIVIAL))
    for name, error in errors.items():
        table.add_row(name, f"{error:.1f}", *(f"{1 - error / errors[t]:.0%}" for t in TRIVIAL))
    if floors := noise_floors(data, model.split["test"]):
        table.add_row("noise of the CT itself", f"{sum(floors.values()) / len(floors):.1f}")
    say(table)
    print(f"reports: {place}/*/hu/report.html and {place}/paired/comparison.html")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--data", type=Path, help="table of cases; sample heads where left out")
    parser.add_argument("--config", type=Path, help="configs/mr_to_ct.yaml, or its small _demo")
    parser.add_argument("--method", action="append", help="repeatable; the two named above")
    parser.add_argument("--features", type=Path, metavar="RUN", help="segmenter of a feature loss")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    chosen = parser.parse_args()
    table = chosen.data or chosen.output / "cases" / "cases.csv"
    file = chosen.config or (CONFIG if chosen.data else CONFIG.with_stem("mr_to_ct_demo"))
    try:
        methods = chosen.method or LEARNED
        configs = [read_config(file, [*chosen.set, f"method={name}"]) for name in methods]
        if not chosen.data and not table.exists():
            write_cohort(CohortSettings(persons=16), table.parent)
        main(configs, table, chosen)
    except MedgenError as error:
        parser.exit(int(error.exit_code), f"{error}\n")
