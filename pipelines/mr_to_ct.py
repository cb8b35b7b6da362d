"""MR to CT: does learning beat what needs no learning, on patients that were held out?

    python pipelines/mr_to_ct.py --output demo
    python pipelines/mr_to_ct.py --output mine --data cases.csv --set train.steps=20000

Without a table it makes sample heads. It trains the regression and the conditional GAN, converts
the test patients and scores them beside two trivial baselines. Called again, it goes on.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

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
from medgen.runs import Model, load_model
from medgen.training import prepare_session, train

CONFIGS = Path(__file__).parents[1] / "configs"
LEARNED, TRIVIAL = ("regression", "conditional_gan"), ("intensity_median", "aligned_median")


def learn(config: Config, data: Path, output: Path, device: str) -> Model:
    """Train the configured method, convert the test patients, and return the model."""
    run, answers = output / "runs" / config.method, output / "answers" / config.method
    session = prepare_session(config, data=data, cache=output / "cache", device=device)
    with Progress() as bar:
        task = bar.add_task(f"training {config.method}", total=config.train.steps)
        train(session, run, resume=True, progress=lambda step, *_: bar.update(task, completed=step))
    model = load_model(run, device=session.device)
    cases, again = cases_of_table(data, model, split="test"), Options(overwrite=True)
    outcome = convert_cohort(model, cases, answers, device=session.device, options=again)
    if problems := [problem for result in outcome.results for problem in result.problems]:
        raise Refusal(problems)  # means over different cases would not compare
    return model


def show(errors: dict[str, float], floors: dict[str, float]) -> None:
    """Print each method's mean error, and its gain over the trivial answers."""
    table = Table("MAE in the mask", "HU", *(f"below {name}" for name in TRIVIAL))
    for name, error in errors.items():
        table.add_row(name, f"{error:.1f}", *(f"{1 - error / errors[t]:.0%}" for t in TRIVIAL))
    if floors:
        table.add_row("noise of the CT itself", f"{sum(floors.values()) / len(floors):.1f}")
    say(table)


def main(output: Path, data: Path, configs: list[Config], device: str) -> None:
    """Train, convert, score, and print."""
    model = [learn(config, data, output, device) for config in configs][-1]
    (source,), (target,) = model.preprocessing.source_columns, model.preprocessing.target_columns
    mask = None if model.config.roles.mask == "auto" else model.config.roles.mask
    answers, place, errors = output / "answers", output / "reports", {}
    write_answers(data, model.split, answers, source=source, target=target, mask=mask)
    for name in (*TRIVIAL, *LEARNED):
        matched = match_table(answers / name, data, column=target, mask_column=mask)
        for kind in map(profile_named, ("synthrad2023", "hu")):
            folder = place / name / kind.name
            found = evaluate(matched, kind, folder, match_grid=True, overwrite=True)
        errors[name] = found.summary["headline"]["scores"]["mae"]["mean"]
    compare(place / "regression/hu", place / "conditional_gan/hu", place / "paired", overwrite=True)
    show(errors, noise_floors(data, model.split["test"]))
    print(f"reports: {place}/*/hu/report.html and {place}/paired/comparison.html")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--data", type=Path, help="table of cases; sample heads where left out")
    parser.add_argument("--config", type=Path, help="configs/mr_to_ct.yaml, or its small _demo")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    chosen = parser.parse_args()
    table = chosen.data or chosen.output / "cases" / "cases.csv"
    file = chosen.config or CONFIGS / f"mr_to_ct{'' if chosen.data else '_demo'}.yaml"
    try:
        configs = [read_config(file, [*chosen.set, f"method={name}"]) for name in LEARNED]
        if not chosen.data and not table.exists():
            write_cohort(CohortSettings(persons=16), table.parent)
        main(chosen.output, table, configs, chosen.device)
    except MedgenError as error:
        parser.exit(int(error.exit_code), f"{error}\n")
