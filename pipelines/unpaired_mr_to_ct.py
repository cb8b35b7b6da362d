"""MR to CT without a single pair: how near does it come, and who would notice where it fails?

    python pipelines/unpaired_mr_to_ct.py --output unpaired [--paired | --data cases.csv]

Without a table it makes sample heads, of which training sees no pair. Called again, it goes on.
"""

import json
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from rich import print as say
from rich.progress import Progress
from rich.table import Table

from medgen.baselines import write_answers
from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.data import read_table
from medgen.data.unpaired import unpaired_table
from medgen.evaluation import evaluate, match_table
from medgen.metrics import profile_named
from medgen.phantom import CohortSettings, write_cohort
from medgen.problems import MedgenError, Refusal
from medgen.runs import assemble, choose_device, load_model
from medgen.training import train_table

CONFIG = Path(__file__).parents[1] / "configs" / "unpaired_mr_to_ct.yaml"
TRIVIAL, PAIRED = ("intensity_median", "aligned_median"), "conditional_gan"
BY_PAIRS = (f"method={PAIRED}", "train.validate.best_by={name: mae, mode: min}")
BOTH: Any = {"source": "mr", "target": "ct"}
KIND, SHOWN = profile_named("synthrad2023"), ("mae", "psnr", "ssim")


def main(configs: list[Config], chosen: Namespace) -> None:
    """Make the tables, train, convert, print what the monitor says, and score against the truth."""
    list(map(assemble, configs))  # refuses a wrong option before anything is made
    data = pairs = chosen.data or chosen.output / "cases" / "cases.csv"
    if not chosen.data:
        if not pairs.exists():
            print("making 24 sample heads, which takes some minutes", flush=True)
            write_cohort(CohortSettings(persons=24), pairs.parent)
        data = unpaired_table(pairs, chosen.output / "unpaired.csv", split=configs[0].split, **BOTH)
    runs, answers, reports = (chosen.output / name for name in ("runs", "answers", "reports"))
    device, again = choose_device(chosen.device), Options(overwrite=True)
    for name, config in (trained := {config.method: config for config in configs}).items():
        table = pairs if name == PAIRED else data
        with Progress() as bar:
            task = bar.add_task(f"training {name}", total=config.train.steps)
            how: Any = {"device": chosen.device, "cache": chosen.output / "cache", "resume": True}
            how["progress"] = lambda _, step, *__, task=task: bar.update(task, completed=step)
            train_table(config, data=table, run=runs / name, **how)
        cases = cases_of_table(table, model := load_model(runs / name, device=device), split="test")
        outcome = convert_cohort(model, cases, answers / name, device=device, options=again)
        if problems := [problem for result in outcome.results for problem in result.problems]:
            raise Refusal(problems)
        for case in cases if name != PAIRED else ():
            facts = json.loads((answers / name / f"{case.name}.json").read_text())
            print(f"{case.name}: {facts.get('monitor')}", *facts["warnings"], sep="\n  ")
    (target,), mask = model.preprocessing.target_columns, None if chosen.data else "body"
    known = {row.case for row in read_table(pairs, columns=[target]).select({}, filled=[target])}
    if not known.issuperset(case.name for case in cases):
        return print("not every test patient has a truth: the monitor is all there is")
    if mask:  # the trivial answers need pairs to learn from
        write_answers(pairs, model.split, answers, mask=mask, **BOTH)
    scores = Table("held-out truth", *SHOWN, "learned from")
    for name in [*(TRIVIAL if mask else ()), *trained]:
        found = match_table(answers / name, pairs, column=target, mask_column=mask)
        scored = evaluate(found, KIND, reports / name, match_grid=True, overwrite=True).summary
        means = (f"{scored['headline']['scores'][key]['mean']:.4g}" for key in SHOWN)
        scores.add_row(name, *means, "pairs" if name in (*TRIVIAL, PAIRED) else "no pair")
    say(scores, f"reports: {reports}/*/report.html", sep="\n")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--data", type=Path, help="table of cases; sample heads where left out")
    parser.add_argument("--config", type=Path, help="configs/unpaired_mr_to_ct.yaml, or its _demo")
    parser.add_argument("--paired", action="store_true", help="train on pairs too, to compare")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    chosen = parser.parse_args()
    file = chosen.config or (CONFIG if chosen.data else CONFIG.with_stem("unpaired_mr_to_ct_demo"))
    try:
        more = [BY_PAIRS, ()] if chosen.paired else [()]
        main([read_config(file, [*chosen.set, *each]) for each in more], chosen)
    except MedgenError as error:
        parser.exit(int(error.exit_code), f"{error}\n")
