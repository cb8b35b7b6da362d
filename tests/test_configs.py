"""The shipped configurations build what they name, and train on patches that it can take."""

import pytest
import yaml

from medgen.config import parse_config, shipped_configs
from medgen.methods import METHODS
from medgen.runs import assemble


@pytest.mark.parametrize("name", sorted(shipped_configs()))
@pytest.mark.parametrize("method", sorted(METHODS))
def test_each_configuration_builds_each_method(name: str, method: str) -> None:
    raw = yaml.safe_load(shipped_configs()[name])
    assert method in raw["methods"]
    config = parse_config({**raw, "method": method})
    built, optimizers = assemble(config)
    assert isinstance(built, METHODS[method])
    assert set(optimizers) == set(built.players())
    for axis in config.train.patch:
        assert axis % built.divisor == 0
