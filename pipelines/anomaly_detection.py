"""What is unusual in a head: learn healthy ones, map where others differ, and score the maps.

    python pipelines/anomaly_detection.py --output anomalies [--data cases.csv]

Without a table it makes sample heads. Scores are by the column `lesion`, 0 all over healthy cases.
"""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from rich import print as say
from rich.progress import Progress
from rich.table import Table

from medgen.baselines import write_anomaly_maps
from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.data import read_table
from medgen.evaluation import evaluate_maps, match_table
from medgen.phantom import write_anomalies
from medgen.problems import MedgenError, Refusal
from medgen.runs import Model, assemble, choose_device, load_model
from medgen.training import train_table

CONFIG = Path(__file__).parents[1] / "configs" / "anomaly_detection.yaml"


def learn(config: Config, data: Path, chosen: Namespace) -> Model:
    """Train the configured method, map the test cases, and return the model."""
    run, answers = (chosen.output / name / config.method for name in ("runs", "answers"))
    with Progress() as bar:
        task = bar.add_task(f"training {config.method}", total=config.train.steps)
        how: Any = {"device": chosen.device, "cache": chosen.output / "cache", "resume": True}
        how["progress"] = lambda _, step, steps, *__: bar.update(task, completed=step, total=steps)
        train_table(config, data=data, run=run, **how)
    device, again = choose_device(chosen.device), Options(overwrite=True)
    cases = cases_of_table(data, model := load_model(run, device=device), split="test")
    outcome = convert_cohort(model, cases, answers, device=device, options=again)
    if problems := [problem for result in outcome.results for problem in result.problems]:
        raise Refusal(problems)
    return model


def main(config: Config, data: Path, chosen: Namespace) -> None:
    """Train, map, answer by the baselines, score, and print."""
    model = learn(config, data, chosen)
    settings, answers, found = model.config.convert.anomaly, chosen.output / "answers", {}
    mask = None if model.config.roles.mask == "auto" else model.config.roles.mask
    how: Any = {"source": settings.column or model.preprocessing.source_columns[0], "mask": mask}
    folders = write_anomaly_maps(data, model.split, answers, settings=settings, **how)
    known = {row.case for row in read_table(data, columns=[]).rows if row.word("lesion")}
    if not known.issuperset(model.split["test"]):
        return print(f"not every test case has its lesions in the column lesion: maps in {answers}")
    for name in (config.method, *(folder.name for folder in folders)):
        where: Any = {"column": "lesion", "mask_column": mask, "group_column": chosen.group}
        pairs, report = match_table(answers / name, data, **where), chosen.output / "reports" / name
        summary = evaluate_maps(pairs, report, match_grid=True, overwrite=True).summary["anomaly"]
        found[name] = {"all": {**summary, **summary["voxels"]}, **summary["groups"]}
    table = Table("AUROC of cases | average precision of voxels", *found)
    for kind in found[config.method]:
        table.add_row(kind, *(figures(scores[kind]) for scores in found.values()))
    say(table, f"reports: {chosen.output}/reports/*/report.html", sep="\n")


def figures(scores: dict[str, Any]) -> str:
    """Return how well a kind of cases is told from the healthy, and its lesions from the rest."""
    pair = scores["cases"]["auroc"]["value"], scores["pooled"]["average_precision"]
    return " | ".join("-" if each is None else f"{each:.2f}" for each in pair)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--data", type=Path, help="table of cases; sample heads where left out")
    parser.add_argument("--config", type=Path, help="configs/anomaly_detection.yaml, or its _demo")
    parser.add_argument("--group", help="column of the table that tells kinds of lesions apart")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    chosen = parser.parse_args()
    file = chosen.config or (CONFIG if chosen.data else CONFIG.with_stem("anomaly_detection_demo"))
    try:
        assemble(settings := read_config(file, chosen.set))  # before anything is made
        table = chosen.data or chosen.output / "cases" / "cases.csv"
        if not (chosen.data or table.exists()):
            write_anomalies(table.parent, anomalous=14, on_case=print)
        chosen.group = chosen.group or (None if chosen.data else "group")
        main(settings, table, chosen)
    except MedgenError as error:
        parser.exit(int(error.exit_code), f"{error}\n")
