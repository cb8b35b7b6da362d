"""T1 and T2 to tissue labels: train the segmenter, label held-out patients, score them by class.

    python pipelines/tissue_segmentation.py --output tissues
    python pipelines/tissue_segmentation.py --output mine --data cases.csv --config mine.yaml

Without a table it makes sample heads, whose column `tissue` holds 1 cerebrospinal fluid, 2 grey
and 3 white matter. Other structures need another configuration. Called again, it goes on.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from rich import print as say
from rich.progress import Progress
from rich.table import Table

from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.evaluation import evaluate, match_table
from medgen.metrics import profile_named
from medgen.phantom import CohortSettings, write_cohort
from medgen.problems import MedgenError, Refusal
from medgen.runs import Model, load_model
from medgen.training import prepare_session, train

CONFIG = Path(__file__).parents[1] / "configs" / "tissue_segmentation.yaml"


def learn(config: Config, data: Path, output: Path, device: str) -> Model:
    """Train, label the test patients, and return the model."""
    session = prepare_session(config, data=data, cache=output / "cache", device=device)
    with Progress() as bar:
        task = bar.add_task(f"training {config.method}", total=config.train.steps)
        shown = lambda step, *_: bar.update(task, completed=step)  # noqa: E731
        train(session, output / "run", resume=True, progress=shown)
    model = load_model(output / "run", device=session.device)
    cases, again = cases_of_table(data, model, split="test"), Options(overwrite=True)
    outcome = convert_cohort(model, cases, output / "answers", device=session.device, options=again)
    if problems := [problem for result in outcome.results for problem in result.problems]:
        raise Refusal(problems)
    return model


def main(output: Path, data: Path, config: Config, device: str) -> None:
    """Train, convert, score, and print."""
    model = learn(config, data, output, device)
    column = model.preprocessing.label_column
    assert column is not None  # assembly refused a segmenter without a label role
    matched = match_table(output / "answers", data, column=column, mask_column=None)
    profile = profile_named("segmentation")
    found = evaluate(matched, profile, output / "report", match_grid=True, overwrite=True)
    table = Table("held-out score", "mean", "sd", "cases")
    for name, scores in found.summary["headline"]["scores"].items():
        if scores["cases"] and name.startswith(("dice", "hd95", "volume_error")):
            spread = "" if scores["sd"] is None else f"{scores['sd']:.3g}"
            table.add_row(name, f"{scores['mean']:.4g}", spread, str(scores["cases"]))
    say(table)
    print(f"report: {found.report}")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--data", type=Path, help="table of cases; sample heads where left out")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the configuration")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    chosen = parser.parse_args()
    table = chosen.data or chosen.output / "cases" / "cases.csv"
    try:
        settings = read_config(chosen.config, chosen.set)
        if not chosen.data and not table.exists():
            write_cohort(CohortSettings(persons=16), table.parent)
        main(chosen.output, table, settings, chosen.device)
    except MedgenError as error:
        parser.exit(int(error.exit_code), f"{error}\n")
