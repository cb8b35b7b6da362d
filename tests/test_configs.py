"""The shipped configurations build what they name, and train on patches that it can take."""

import pytest
import yaml

from medgen.config import parse_config, shipped_configs
from medgen.methods import METHODS
from medgen.runs import assemble

NAMED = [
    (name, method)
    for name, text in sorted(shipped_configs().items())
    for method in yaml.safe_load(text)["methods"]
]


def test_every_method_has_a_configuration() -> None:
    assert {method for _, method in NAMED} == set(METHODS)


@pytest.mark.parametrize(("name", "method"), NAMED)
def test_each_configuration_builds_each_of_its_methods(name: str, method: str) -> None:
    raw = yaml.safe_load(shipped_configs()[name])
    config = parse_config({**raw, "method": method})
    built, optimizers = assemble(config)
    assert isinstance(built, METHODS[method])
    assert set(optimizers) == set(built.players())
    for axis in config.train.patch:
        assert axis % built.divisor == 0
