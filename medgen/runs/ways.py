"""What a model can be asked for: each answer's columns, and the domain that it saw no labels of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medgen.config import Config, Role
from medgen.method import Answer
from medgen.runs.statistics import Statistics


def unlabelled(answers: Mapping[str, Answer]) -> tuple[str, ...]:
    """Return the names of the answers that give labels to a domain which training had none of.

    Labels are learned of the source of the first answer; others start from what it is adapted to.
    """
    first = next(iter(answers.values()))
    return tuple(
        name
        for name, answer in answers.items()
        if answer.kind == "labels" and answer.source != first.source
    )


def answer_facts(config: Config, answers: Mapping[str, Answer]) -> dict[str, dict[str, Any]]:
    """Return, by answer, its kind, the columns it reads, of which rows, and those it is like."""
    return {
        name: {
            "kind": answer.kind,
            "reads": _columns(config, answer.source),
            "where": dict(role.where) if (role := _role(config, answer.source)) else {},
            "gives": _columns(config, answer.target),
        }
        for name, answer in answers.items()
    }


def answer_lines(
    config: Config, statistics: Statistics, answers: Mapping[str, Answer]
) -> list[str]:
    """Say which ways a model goes that has several, and what it never saw of them."""
    if not statistics.domains and not unlabelled(answers):
        return []
    ways = (
        f"`{name}` ({_described(config, way.source)} to {_described(config, way.target)})"
        for name, way in answers.items()
    )
    known = _unseen_labels if unlabelled(answers) else _unseen_pairs
    return [
        f"- Answers: {', '.join(ways)}; `medgen convert --direction` chooses",
        known(config, statistics, answers),
    ]


def _unseen_pairs(config: Config, statistics: Statistics, answers: Mapping[str, Answer]) -> str:
    cases = (
        f"{_cases(statistics, role)} {_described(config, role)}"
        for role in ("source", "target")
        if _role(config, role)
    )
    return (
        f"- Trained without pairs on {' and '.join(cases)} cases: the images of the two sides need "
        "not be of the same patients, and no answer was ever compared with its truth"
    )


def _unseen_labels(config: Config, statistics: Statistics, answers: Mapping[str, Answer]) -> str:
    learned = next(iter(answers.values())).source
    other = dict.fromkeys(answers[name].source for name in unlabelled(answers))
    images = " and ".join(
        f"{_described(config, role)} ({_cases(statistics, role)} training cases)" for role in other
    )
    return (
        f"- Learned from labels of {_described(config, learned)} "
        f"({_cases(statistics, learned)} training cases); of {images} images alone were read: "
        "no label of theirs, and no answer was compared with one"
    )


def failures(statistics: Statistics, answers: Mapping[str, Answer]) -> list[str]:
    """Say what of the training cases themselves becomes an error."""
    if statistics.domains:
        return [
            "- Whatever differs between the two sides besides the modality, such as age, disease, "
            "head rest or field of view, may be made up in an answer."
        ]
    if _finds_anomalies(answers):
        return [
            "- What the training cases hold, lesions nobody saw among them, is usual to it; what "
            "they lack is not, were it an older brain, another coil or a movement.",
            "- Lesions as bright as their surroundings, or rebuilt as well as these, leave no "
            "residual: an empty mask says nothing of health.",
        ]
    lines = ["- Whatever the registration between training columns got wrong is learned as truth."]
    if names := unlabelled(answers):
        ways = ", ".join(f"`{name}`" for name in names)
        lines += [
            f"- Answers of {ways}: what the labels call by a name may look otherwise there, and no "
            "score of this card would show it. Score some labelled cases before relying on them."
        ]
    return lines


def scored(answers: Mapping[str, Answer]) -> list[str]:
    """Say which answer the scores are of, where another has nothing to be scored against."""
    names = ", ".join(f"`{name}`" for name in unlabelled(answers))
    first = next(iter(answers))
    return [f"Scores of `{first}` alone; of {names} no truth was read.", ""] if names else []


def title(config: Config, answers: Mapping[str, Answer]) -> str:
    """Return what the model turns into what, or what it looks for anomalies in."""
    roles = config.roles
    source = ", ".join(roles.source.columns)
    if _finds_anomalies(answers):
        return f"anomalies of {source}"
    targets = (roles.label,) if unlabelled(answers) else (roles.target, roles.label)
    answered = [column for role in targets if role for column in role.columns]
    return f"{source} to {', '.join(answered) or 'none'}"


def _finds_anomalies(answers: Mapping[str, Answer]) -> bool:
    return next(iter(answers.values())).kind == "anomaly"


def _role(config: Config, name: str) -> Role | None:
    roles = config.roles
    return {"source": roles.source, "target": roles.target, "label": roles.label}.get(name)


def _columns(config: Config, name: str) -> list[str]:
    role = _role(config, name)
    return list(role.columns) if role else []


def _cases(statistics: Statistics, role: str) -> int:
    return statistics.counts.get(f"train_{role}_cases", 0)


def _described(config: Config, name: str) -> str:
    """Return a role's columns, and the rows that it takes them from; its name where it has none."""
    role = _role(config, name)
    if role is None:
        return name
    where = ", ".join(f"{column} {value}" for column, value in role.where.items())
    return ", ".join(role.columns) + (f" of {where}" if where else "")
