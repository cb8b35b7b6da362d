"""Which scores a validation has, and which of them picks the best weights."""

from __future__ import annotations

from medgen.config import BestBy, Config
from medgen.data import Classes
from medgen.method import Method
from medgen.metrics import PROFILES, Direction
from medgen.problems import ConfigurationError, Problem
from medgen.runs import DIAGNOSIS, MONITOR
from medgen.training.domains import DOUBT, is_unpaired


def best_by_of(config: Config, method: Method, *, scored: bool) -> BestBy:
    """Return the score that picks the weights: the configured one where it can be had.

    Without a validation case whose truth is known (`scored`), the monitor's doubt picks those of an
    unpaired method.
    """
    if is_unpaired(method) and not scored:
        return BestBy(name=DOUBT, mode="min")
    return config.train.validate_.best_by


def check_profile(config: Config, method: Method) -> None:
    """Refuse an unknown profile, one for another kind of answer, or a `best_by` it does not score.

    Raises:
        ConfigurationError: naming what is known.
    """
    validate = config.train.validate_
    kind = next(iter(method.answers.values())).kind
    targets = config.roles.target.columns if config.roles.target else ()
    if kind == "image" and len(targets) > 1:
        message = f"roles.target names {len(targets)} columns; an answer is one image"
        advice = "name one, and train a run for each of the others"
        raise ConfigurationError(Problem("E_CONFIG_ROLE", message, advice))
    # Healthy cases have no lesion to be found: of anomalies only what training has is watched.
    fitting = [
        name
        for name, profile in PROFILES.items()
        if profile.kind == kind and (kind != "anomaly" or profile.training_only)
    ]
    if validate.profile not in PROFILES:
        fault = f"train.validate.profile: {validate.profile!r} is not known"
    elif validate.profile not in fitting:
        fault = f"train.validate.profile: {validate.profile!r} does not score {kind}"
    else:
        profile = PROFILES[validate.profile].for_labels(Classes.of(config.labels).written)
        name, mode = validate.best_by.name, validate.best_by.mode
        _check_penalties(validate.best_by, config.method, method)
        unpaired = is_unpaired(method)
        if name in profile.columns:
            _check_mode(name, mode, profile.column(name).better)
            return
        if name == DOUBT and unpaired:
            _check_mode(name, mode, "lower")
            return
        fault = f"train.validate.best_by.name: {name!r} is not known"
        if name.startswith(MONITOR):
            fault = f"train.validate.best_by.name: {name!r} picks no weights"
            fault += "" if unpaired else f", and {config.method!r} is trained on pairs"
        elif name.startswith(DIAGNOSIS):
            # It says nothing of answers: what has learned nothing tells no domains apart.
            fault = f"train.validate.best_by.name: {name!r} may count as a penalty, not by itself"
        fitting = [*profile.columns, *([DOUBT] if unpaired else [])]
    raise ConfigurationError(Problem("E_CONFIG_VALUE", fault, f"known: {', '.join(fitting)}"))


def _check_penalties(best_by: BestBy, name: str, method: Method) -> None:
    """Refuse a penalty that the method does not measure, or that is better when it is higher.

    Raises:
        ConfigurationError: naming what is known.
    """
    known = [f"{DIAGNOSIS}{n}" for n, better in method.diagnoses.items() if better == "lower"]
    for penalty in best_by.penalties:
        if penalty not in known:
            fault = f"train.validate.best_by.penalties: {penalty!r} is nothing that {name!r} lowers"
            advice = f"known: {', '.join(known)}" if known else "leave penalties out"
            raise ConfigurationError(Problem("E_CONFIG_VALUE", fault, advice))


def _check_mode(name: str, mode: str, better: Direction | None) -> None:
    """Refuse to keep the worst weights.

    Raises:
        ConfigurationError: `mode` is not the direction in which the score gets better.
    """
    wanted = {"lower": "min", "higher": "max"}.get(better or "")
    if mode == wanted:
        return
    if wanted is None:
        fault, advice = "does not say which weights are better", "choose another score"
    else:
        fault, advice = f"is better when it is {better}, not mode: {mode}", f"write mode: {wanted}"
    raise ConfigurationError(
        Problem("E_CONFIG_VALUE", f"train.validate.best_by: {name!r} {fault}", advice)
    )
