import math
from collections.abc import Callable
from typing import Any

import pytest

from medgen.methods import METHODS
from medgen.planning.budget import GB, Budget
from medgen.planning.generators import generators_of
from medgen.planning.plan import choose
from medgen.planning.search import VOXELS_A_STEP, search
from medgen.planning.spacing import Resolved
from medgen.problems import ConfigurationError
from medgen.runs import assemble


def budget(memory_gb: float, kind: Any = "cuda") -> Budget:
    return Budget(kind, "bf16", int(memory_gb * GB), "the test")


def voxels_of(found: Any) -> int:
    train = found.config.train
    return math.prod(train.patch) * int(train.batch_size)


@pytest.mark.usefixtures("by_formula")
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("extent", [(160, 200, 180), (330, 420, 300), (90, 300, 130)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (0.8, 0.8, 2.4)])
def test_more_memory_never_gives_fewer_voxels(
    kind: str,
    extent: tuple[float, float, float],
    spacing: tuple[float, float, float],
    facts: Callable[..., Any],
    surveyed: Callable[..., Any],
    config: Callable[..., Any],
) -> None:
    """Neither at one spacing, nor where the spacing is chosen as well."""
    survey = surveyed(*(facts(f"t{k}", extent_mm=extent) for k in range(12)))
    settings = config(preprocessing={"spacing_mm": list(spacing)})
    limits = (2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 16, 24, 80)
    fine = Resolved(spacing, "ct", spacing, False)
    last = 0
    for gb in limits:
        found = choose(settings, fine, survey, budget(gb, kind))
        assert last <= voxels_of(found) <= VOXELS_A_STEP[kind]
        last = voxels_of(found)
        assert found.bytes <= 0.9 * gb * GB
        (generator,) = generators_of(found.config).values()
        train = found.config.train
        assert all(length % generator.divisor == 0 for length in train.patch)
        assert min(train.patch) // generator.divisor >= 4
        assert train.batch_size >= 2


@pytest.mark.usefixtures("by_formula")
def test_what_bounds_the_patch_is_told(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    fine = config(preprocessing={"spacing_mm": [1.0, 1.0, 1.0]})
    assert search(fine, surveyed(), budget(3)).bound == "memory"
    assert search(fine, surveyed(), budget(80)).bound == "time"
    coarse = config(preprocessing={"spacing_mm": [3.0, 3.0, 3.0]})
    whole = search(coarse, surveyed(), budget(24))
    assert whole.bound == "body"
    assert whole.config.train.batch_size == 8
    few = surveyed(facts("a"), facts("b"), facts("c"))
    assert search(coarse, few, budget(24)).config.train.batch_size == 3


@pytest.mark.usefixtures("by_formula")
def test_too_little_memory_says_how_much_is_needed(
    surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    with pytest.raises(ConfigurationError, match=r"E_PLAN_MEMORY.*needs 1\.\d GB"):
        search(config(), surveyed(), budget(1.0))


DENSE = {"channels": [2, 2], "kernel": 3, "bottleneck": 2, "latent": 4}
GAN = {"channels": 2, "levels": 2, "latent": 4}
NETWORKS = {"ano_gan": GAN, "f_ano_gan": GAN, "vae": DENSE, "vae_gan": DENSE}
"""Small ones of methods whose networks no plan decides, so that less has to be measured."""


@pytest.mark.parametrize("method", METHODS)
def test_a_small_body_gets_a_legal_patch_of_every_method(
    method: str,
    facts: Callable[..., Any],
    surveyed: Callable[..., Any],
    config: Callable[..., Any],
) -> None:
    more: dict[str, Any] = {}
    if "segmenter" in method:
        roles = {"source": ["mr"], "label": ["label"]}
        if method == "adapted_segmenter":
            roles["target"] = ["ct"]
            more["methods"] = {method: {"network": {"channels": [4, 4], "hidden": [4]}}}
        more |= {"roles": roles, "labels": {"middle": 1}}
    if method in NETWORKS:
        more["methods"] = {method: {"network": NETWORKS[method]}}
    settings = config(method=method, **more)
    survey = surveyed(facts("a", extent_mm=(50.0, 74.0, 60.0)))
    found = search(settings, survey, budget(8))
    assemble(found.config)
    assert bool(generators_of(found.config)) == (method not in NETWORKS)
    assert found.footprint.flops > 0


@pytest.mark.usefixtures("by_formula")
@pytest.mark.parametrize("generator", ["unet", "resnet_generator"])
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_of_several_domains_stays_as_given(
    batch: int, kind: str, generator: str, surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    """CycleGAN's paper has one patch of each; of whole bodies there would be eight on a GPU."""
    settings = config(
        method="cycle_gan",
        methods={"cycle_gan": {"generator": {"name": generator}}},
        preprocessing={"spacing_mm": [4.0, 4.0, 4.0]},
        train={"batch_size": batch, "patch": [48, 48, 48]},
    )
    found = search(settings, surveyed(), budget(24, kind))
    assert found.config.train.batch_size == batch


@pytest.mark.usefixtures("by_formula")
def test_a_batch_of_several_domains_shrinks_where_it_must(
    surveyed: Callable[..., Any], config: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(method="cycle_gan", train={"batch_size": 4, "patch": [48, 48, 48]})
    smallest = [(16, 16, 16), (24, 24, 24)]
    monkeypatch.setattr("medgen.planning.search.patches", lambda *_, **__: smallest)
    monkeypatch.setitem(VOXELS_A_STEP, "cpu", 3 * 16**3)
    assert search(settings, surveyed(), budget(24, "cpu")).config.train.batch_size == 3


def test_a_tiny_body_is_padded(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    survey = surveyed(facts("a", extent_mm=(9.0, 9.0, 9.0)))
    found = search(config(), survey, budget(8))
    assert found.config.train.patch == (6, 6, 6)
    assemble(found.config)


@pytest.mark.usefixtures("by_formula")
def test_a_processor_gets_half_the_width(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    survey = surveyed(*(facts(name, extent_mm=(40.0, 40.0, 40.0)) for name in "abc"))
    widths = []
    for kind in ("cpu", "cuda"):
        (generator,) = generators_of(search(config(), survey, budget(8, kind)).config).values()
        assert generator.features * 2 == generator.channels[0]
        widths.append(generator.channels[0])
    assert widths == [16, 32]


@pytest.mark.usefixtures("by_formula")
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_validation_holds_a_volume_for_every_class(
    kind: str, surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    roles = {"source": ["mr"], "label": ["label"]}
    sizes = []
    for count in (1, 200):
        labels = {f"organ {value}": value for value in range(1, count + 1)}
        fine = {"spacing_mm": [0.7, 0.7, 0.7]}
        settings = config(roles=roles, labels=labels, preprocessing=fine)
        sizes.append(search(settings, surveyed(), budget(200, kind)).bytes)
    assert sizes[1] > sizes[0] + 1e9
