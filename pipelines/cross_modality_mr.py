"""One MR contrast from another: is the made image nearer than what its intensity alone tells?

    python pipelines/cross_modality_mr.py --output flair
    python pipelines/cross_modality_mr.py --output mine --data cases.csv --config mine.yaml

Without a table it makes sample heads. It trains each method, converts the test patients and scores
them beside the median target of each source intensity. Called again, it goes on.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from rich import print as say
from rich.progress import Progress
from rich.table import Table

from medgen.baselines import IntensityMedian, write_answers
from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.data.intensity import unit_of
from medgen.evaluation import compare, evaluate, match_table
from medgen.metrics import PROFILES
from medgen.phantom import CohortSettings, write_cohort
from medgen.problems import MedgenError, Refusal
from medgen.runs import Model, choose_device, load_model
from medgen.training import train_table

CONFIG = Path(__file__).parents[1] / "configs" / "cross_modality_mr.yaml"
METHODS, TRIVIAL, MR = ("regression", "ea_gan"), IntensityMedian.name, PROFILES["mr"]
SCORES = {"mae": ".4g", "nrmse": ".4f", "psnr": ".2f", "ssim": ".4f"}


def learn(config: Config, data: Path, output: Path, device: str) -> Model:
    """Train the configured method, convert the test patients, and return the model."""
    run, cache, place = output / "runs" / config.method, output / "cache", choose_device(device)
    with Progress() as bar:
        task = bar.add_task(f"training {config.method}", total=None)
        show = lambda _, step, steps, *__: bar.update(task, completed=step, total=steps)  # noqa: E731
        train_table(
            config, data=data, run=run, cache=cache, device=device, resume=True, progress=show
        )
    model, answers = load_model(run, device=place), output / "answers" / config.method
    cases, again = cases_of_table(data, model, split="test"), Options(overwrite=True)
    outcome = convert_cohort(model, cases, answers, device=place, options=again)
    if problems := [problem for result in outcome.results for problem in result.problems]:
        raise Refusal(problems)  # means over different cases would not compare
    return model


def main(output: Path, data: Path, configs: list[Config], device: str) -> None:
    """Train, convert, score, and print."""
    *_, model = (learn(config, data, output, device) for config in configs)
    (source, *_), (target,) = model.preprocessing.source_columns, model.preprocessing.target_columns
    mask = None if model.config.roles.mask == "auto" else model.config.roles.mask
    answers, into, learned = output / "answers", output / "reports", [c.method for c in configs]
    unit, split, trivial = unit_of(model.config.intensity[target]), model.split, 0.0
    write_answers(data, split, answers, source=source, target=target, mask=mask, unit=unit)
    table = Table(f"mean over test cases of {target}", *SCORES, f"mae below {TRIVIAL}")
    for name in (TRIVIAL, *learned):
        matched = match_table(answers / name, data, column=target, mask_column=mask)
        found = evaluate(matched, MR, into / name / "mr", match_grid=True, overwrite=True)
        means = {s: found.summary["headline"]["scores"][s]["mean"] for s in SCORES}
        trivial = trivial or means["mae"]
        row = [format(means[s], form) for s, form in SCORES.items()]
        table.add_row(name, *row, f"{1 - means['mae'] / trivial:.0%}")
    for name in learned[1:]:
        first, second = (into / method / "mr" for method in (learned[0], name))
        compare(first, second, into / f"paired_{name}", overwrite=True)
    say(table)
    print(f"reports: {into}/*/mr/report.html")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--data", type=Path, help="table of cases; sample heads where left out")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the configuration")
    parser.add_argument("--method", action="append", help="repeatable; regression and ea_gan")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    chosen = parser.parse_args()
    data = chosen.data or chosen.output / "cases" / "cases.csv"
    try:
        names = dict.fromkeys(chosen.method or METHODS)
        configs = [read_config(chosen.config, [*chosen.set, f"method={n}"]) for n in names]
        if not chosen.data and not data.exists():
            write_cohort(CohortSettings(persons=16), data.parent)
        main(chosen.output, data, configs, chosen.device)
    except MedgenError as error:
        parser.exit(int(error.exit_code), f"{error}\n")
