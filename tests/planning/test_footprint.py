"""The estimate is of the right kind here; against real processes it is held by the slow test."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch

from medgen.config import Chain, Config
from medgen.methods import METHODS, Regression
from medgen.planning import Footprint, footprint
from medgen.planning.budget import GB, OVERHEAD
from medgen.planning.footprint import SEARCH_STEPS, sizes_of
from medgen.problems import ConfigurationError

UNET = {"name": "unet", "channels": [4, 8, 16], "features": 4}
JUDGE = {"name": "patch_discriminator", "channels": 4, "layers": 1}
NARROW = {"channels": [2, 3, 3, 3], "hidden": [5]}
DENSE = {"channels": [4, 4], "kernel": 3, "bottleneck": 2, "latent": 4}
SMALL: dict[str, dict[str, Any]] = {
    "adapted_segmenter": {"network": NARROW, "discriminator": {"channels": 4}},
    "ano_gan": {"network": {"channels": 4, "levels": 2, "latent": 8}, "located": True},
    "context_aware_gan": {"generator": {"name": "context_fcn", "channels": 2}},
    "ea_gan": {
        "generator": {"name": "pix2pix_unet", "channels": 4, "levels": 3},
        "discriminator": JUDGE,
    },
    "conditional_gan": {
        "generator": UNET,
        "discriminator": JUDGE,
    },
    "cycle_gan": {
        "generator": {"name": "resnet_generator", "channels": 4, "blocks": 1},
        "discriminator": JUDGE,
    },
    "denoising_autoencoder": {"network": UNET},
    "f_ano_gan": {"network": {"channels": 2, "levels": 2, "latent": 8}},
    "regression": {"generator": UNET},
    "segmenter": {"network": UNET},
    "vae": {"network": DENSE},
    "vae_gan": {"network": DENSE},
}


def small(
    config: Callable[..., Config], method: str, *, options: Any = None, **train: Any
) -> Config:
    roles: dict[str, Any] = {"source": ["mr"], "target": ["ct"]}
    more: dict[str, Any] = {}
    if "segmenter" in method:
        roles["label"] = ["label"]
        more["labels"] = {"middle": 1}
    train = {"patch": [24, 24, 24], "batch_size": 1, **train}
    methods = {method: {**SMALL.get(method, {}), **(options or {})}}
    return config(roles=roles, method=method, methods=methods, train=train, **more)


def found(config: Config, **changes: Any) -> Footprint:
    return footprint(config, **{"device_type": "cpu", "precision": "fp32", **changes})


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_foreseen(method: str, config: Callable[..., Config]) -> None:
    one = found(small(config, method))
    assert one.weight_bytes > 0
    assert one.flops > 0
    # Weights, gradients, and the batch at least.
    assert one.live_bytes > 2 * one.weight_bytes + 4 * 24**3
    assert one.bytes > one.live_bytes


def test_more_voxels_take_more_of_everything(config: Callable[..., Config]) -> None:
    one = found(small(config, "regression"))
    two = found(small(config, "regression", batch_size=2))
    large = found(small(config, "regression", patch=[48, 24, 24]))
    assert two.flops == pytest.approx(2 * one.flops, rel=0.01)
    assert large.flops == pytest.approx(2 * one.flops, rel=0.01)
    assert 1.5 * one.live_bytes < two.live_bytes < 2.1 * one.live_bytes
    assert two.live_bytes == pytest.approx(large.live_bytes, rel=0.05)


def test_half_precision_takes_less(config: Callable[..., Config]) -> None:
    settings = small(config, "regression", patch=[48, 48, 48])
    assert found(settings, precision="bf16").live_bytes < 0.8 * found(settings).live_bytes


def test_the_arithmetic_is_that_of_a_known_layer(config: Callable[..., Config]) -> None:
    """A head of kernel 3 instead of 1 costs 26 more multiplications per weight, thrice over."""
    wide = small(config, "regression")
    block = {"regression": {"generator": {**UNET, "head_kernel": 3}}}
    wide = wide.model_copy(update={"methods": block})
    more = found(wide).flops - found(small(config, "regression")).flops
    assert more == pytest.approx(3 * 2 * 24**3 * 4 * 26, rel=1e-6)


def test_the_context_around_a_patch_is_counted(config: Callable[..., Config]) -> None:
    """Nine convolutions, of which the first four answer with eight voxels more along each axis."""
    block = {"regression": {"generator": {"name": "context_fcn", "channels": 2}}}
    one = found(
        small(config, "regression", patch=[16, 20, 24]).model_copy(update={"methods": block})
    )
    wide, narrow = 24 * 28 * 32, 16 * 20 * 24
    first = 9**3 * 1 * 2 * wide
    others = 3 * 27 * 2 * 2 * wide + 9**3 * 2 * 4 * narrow
    others += (2 * 27 * 4 * 4 + 27 * 4 * 2 + 27 * 2 * 1) * narrow
    # Forward, for the weights and for what goes in, which nobody asks of the first.
    assert one.flops == pytest.approx(2 * (2 * first + 3 * others), rel=1e-6)
    assert one.margin == 8
    assert found(small(config, "regression")).margin == 0


def test_the_context_of_both_pathways_is_counted(config: Callable[..., Config]) -> None:
    """Two layers take four voxels of each grid; one of the coarse grid stands for three."""
    block = {"segmenter": {"network": {"name": "deep_medic", "channels": [2, 3], "hidden": [4]}}}
    settings = small(config, "segmenter", patch=[6, 9, 12]).model_copy(update={"methods": block})
    one = found(settings)
    assert one.margin == 6
    first = 8 * 11 * 14 + 4 * 5 * 6  # of the fine grid, and of blocks of three
    second = 6 * 9 * 12 + 2 * 3 * 4
    others = 27 * 2 * 3 * second + (6 * 4 + 4 * 2) * 6 * 9 * 12
    # Forward, for the weights and for what goes in, which nobody asks of the first.
    assert one.flops == pytest.approx(2 * (2 * 27 * 1 * 2 * first + 3 * others), rel=1e-6)


def test_what_a_chain_feeds_is_counted(config: Callable[..., Config]) -> None:
    """The last stage has one source channel more, which its first convolutions read."""
    settings = small(config, "regression")
    chained = settings.model_copy(update={"chain": Chain(stages=2, feed="append")})
    once = settings.model_copy(update={"chain": Chain(stages=1, feed="append")})
    assert found(chained).weight_bytes > found(settings).weight_bytes
    assert found(chained).flops > found(settings).flops
    assert found(once) == found(settings)


@pytest.mark.parametrize("batch", [1, 2])
def test_pools_are_counted_as_full(config: Callable[..., Config], batch: int) -> None:
    """Each of the two domains keeps `size` fakes of the patch's size in float32."""

    def of(size: int) -> Footprint:
        block = {"cycle_gan": {**SMALL["cycle_gan"], "pool": size}}
        settings = small(config, "cycle_gan", batch_size=batch)
        return found(settings.model_copy(update={"methods": block}))

    without, one, full = of(0), of(1), of(50)  # a pool smaller than the batch draws lots at once
    assert without.pooled_bytes == one.pooled_bytes == 0
    assert full.pooled_bytes == 2 * (50 - batch) * 4 * 24**3
    assert full.bytes - one.bytes >= full.pooled_bytes
    assert full.flops == one.flops == without.flops


def test_nothing_is_computed_and_no_randomness_is_used(config: Callable[..., Config]) -> None:
    """A patch of terabytes is foreseen as quickly as a small one."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    huge = found(small(config, "regression", patch=[4096, 4096, 4096]))
    assert huge.live_bytes > 10**12
    assert torch.equal(torch.get_rng_state(), before)


def test_conversion_is_foreseen_too(config: Callable[..., Config]) -> None:
    """On a GPU a validation takes four windows at once, a batch of one takes less."""
    settings = small(config, "regression")
    assert found(settings, device_type="cuda").live_bytes > found(settings).live_bytes


@pytest.mark.parametrize(
    ("method", "option"), [("ano_gan", "search_steps"), ("vae", "restoration_steps")]
)
def test_a_search_of_any_length_takes_what_a_short_one_does(
    method: str,
    option: str,
    config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not tried whole, which would take minutes for each of the plan's configurations."""

    def taken(steps: int) -> Footprint:
        return found(small(config, method, options={option: steps}))

    few = taken(10**7)
    assert few == taken(SEARCH_STEPS)
    monkeypatch.setattr(importlib.import_module("medgen.planning.footprint"), "SEARCH_STEPS", 9)
    assert taken(9).live_bytes == few.live_bytes


class Peeking(Regression):
    """A method whose step asks for a value."""

    answering: ClassVar[frozenset[str]] = frozenset({"generator"})

    def train_step(self, batch: Any, minimize: Any, clock: Any) -> Any:
        if float(batch["source"].mean()) > 0:
            return {}
        return super().train_step(batch, minimize, clock)


def test_a_step_that_asks_for_values_is_a_coded_error(
    config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medgen.runs.assembly.METHODS", {"regression": Peeking})
    with pytest.raises(ConfigurationError, match="E_PLAN_METHOD"):
        found(small(config, "regression"))


def test_sizes_are_those_of_the_method_whatever_the_patch(config: Callable[..., Config]) -> None:
    sizes = sizes_of(small(config, "conditional_gan", patch=[7, 7, 7]))
    assert (sizes.divisor, sizes.minimum, sizes.fixed) == (4, 12, None)
    with pytest.raises(ConfigurationError, match="E_PATCH_SIZE"):
        found(small(config, "conditional_gan", patch=[7, 7, 7]))


def unpaired(config: Callable[..., Config], patch: int, **options: Any) -> Config:
    """Return the default of training without pairs, but for these options."""
    train = {"patch": [patch] * 3, "batch_size": 1}
    return config(method="cycle_gan", methods={"cycle_gan": options}, train=train)


@pytest.mark.parametrize("patch", [64, 88])
def test_training_without_pairs_fits_a_gpu_of_eleven_gigabytes(
    patch: int, config: Callable[..., Config]
) -> None:
    """With the context of CUDA, and a tenth of the memory left alone."""
    plain, again = (
        found(
            unpaired(config, patch, checkpointing=checkpointing),
            device_type="cuda",
            precision="bf16",
        )
        for checkpointing in (False, True)
    )
    assert plain.bytes + OVERHEAD["cuda"] < 0.9 * 11 * GB
    assert again.bytes < 0.5 * plain.bytes
    # All passes of the generators are made once more.
    assert 1.2 * plain.flops < again.flops < 1.4 * plain.flops


def test_the_way_back_is_foreseen_with_the_targets_channels(config: Callable[..., Config]) -> None:
    """Two source channels and one of the target: either way has its own network."""
    generator = {"name": "resnet_generator", "channels": 2, "blocks": 1, "kernel": 3}
    block = {"generator": generator, "discriminator": JUDGE, "lambda_identity": 0.0}
    scale = {"scale": "percentile"}
    window = {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"}
    settings = config(
        roles={"source": ["mr", "flair"], "target": ["ct"]},
        intensity={"mr": scale, "flair": scale, "ct": window},
        method="cycle_gan",
        methods={"cycle_gan": block},
        train={"patch": [24, 24, 24], "batch_size": 1},
    )
    assert found(settings, device_type="cuda").flops > 0


REAL_STEPS = """
import sys
from pathlib import Path
import torch
from medgen.config import read_config
from medgen.method import OptimizerSpec
from medgen.runs import RunFolder, assemble
from medgen.training import Loop

def peak():
    # Not ru_maxrss: a new program inherits that of the process which started it.
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

config = read_config(Path(sys.argv[1]))
before = peak()
method, specs = assemble(config)
shape = (config.train.batch_size, 1, *config.train.patch)
batch = {key: torch.rand(shape) for key in frozenset().union(*method.reads)}
loop = Loop(method, specs, config, RunFolder(Path()), batch=lambda step: batch,
            device=torch.device("cpu"), precision=sys.argv[2])
for _ in range(3):
    loop.step(batch)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("method", "channels", "patch", "batch"),
    [
        ("regression", [16, 32, 64, 128], [96, 96, 96], 2),
        ("regression", [32, 64, 128, 256, 256], [96, 80, 96], 1),
        ("conditional_gan", [16, 32, 64, 128, 128], [80, 80, 80], 2),
    ],
)
def test_the_estimate_holds_against_a_real_process(
    method: str, channels: list[int], patch: list[int], batch: int, precision: str, tmp_path: Any
) -> None:
    """What is planned is enough, and less than twice as much as is needed."""
    import yaml

    from medgen.config import read_config

    block = {method: {"generator": {"channels": channels}}}
    raw = {
        "roles": {"source": ["mr"], "target": ["ct"]},
        "intensity": {
            "mr": {"scale": "percentile"},
            "ct": {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"},
        },
        "method": method,
        "methods": block,
        "train": {"patch": patch, "batch_size": batch},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-c", REAL_STEPS, str(path), precision]
    measured = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    planned = footprint(read_config(path), device_type="cpu", precision=precision).bytes  # type: ignore[arg-type]
    assert 0.95 * measured < planned < 2 * measured
