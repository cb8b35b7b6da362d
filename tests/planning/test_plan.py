import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from medgen.config import Config, read_config
from medgen.methods import METHODS
from medgen.networks import DeepMedicOptions
from medgen.planning import Budget, Plan, budget_of, plan
from medgen.planning.editing import MARK
from medgen.planning.generators import generators_of
from medgen.planning.search import VOXELS_A_STEP
from medgen.problems import ConfigurationError, Exit
from medgen.runs import assemble

TEXT = """\
# medgen train old.yaml --data cases.csv --run runs/heads
roles:
  source: [mr]
  target: [ct]
  label: [label]   # the middle
labels: {middle: 1}
intensity:
  mr: {scale: percentile}
  ct: {scale: window, low: -1024, high: 3000, unit: HU}
preprocessing: {spacing_mm: [1.0, 1.0, 1.0], crop_margin_mm: 5}   # mine
method: METHOD
train:
  steps: 7         # few
"""


KEYS = {
    "adapted_segmenter": (),
    "ano_gan": (),
    "context_aware_gan": (),
    "cycle_gan": ("channels",),
    "denoising_autoencoder": ("channels", "features"),
    "ea_gan": ("channels", "levels"),
    "f_ano_gan": (),
    "conditional_gan": ("channels", "features"),
    "regression": ("channels", "features"),
    "segmenter": ("channels", "features"),
    "vae": (),
    "vae_gan": (),
}
"""What a plan decides of each method's own network."""


DENSE = "{channels: [2, 2], kernel: 3, bottleneck: 2, latent: 4}"
MORE = {
    "adapted_segmenter": "methods: {adapted_segmenter: {network: {channels: [4, 4], hidden: [4]}}}",
    "ano_gan": "methods: {ano_gan: {network: {channels: 2, levels: 2, latent: 4}}}",
    "f_ano_gan": "methods: {f_ano_gan: {network: {channels: 2, levels: 2, latent: 4}}}",
    "vae": f"methods: {{vae: {{network: {DENSE}}}}}",
    "vae_gan": f"methods: {{vae_gan: {{network: {DENSE}}}}}",
}
"""What is added to the file, so that less has to be measured."""


def made(
    table: Path,
    folder: Path,
    method: str = "regression",
    *,
    keep_network: bool = False,
    assignments: Sequence[str] = (),
    more: str = "",
    **changes: Any,
) -> Plan:
    given = folder / "old.yaml"
    given.write_text(TEXT.replace("METHOD", method) + more, encoding="utf-8")

    def budget(config: Config) -> Budget:
        settings = {"memory_gb": 8.0, "device": "cpu", **changes}
        return budget_of(precision=config.train.precision, **settings)

    return plan(
        given,
        table,
        budget,
        name="new.yaml",
        keep_network=keep_network,
        assignments=assignments,
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_plan_is_a_configuration_that_assembles(
    method: str, make_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    table = make_cohort(spacing=(6.0, 6.0, 6.0))
    found = made(table, tmp_path, method, more=MORE.get(method, ""))
    path = tmp_path / "new.yaml"
    path.write_text(found.text, encoding="utf-8")
    config = read_config(path)
    assemble(config)
    assert config == found.choice.config
    assert config.preprocessing.spacing_mm == (6.0, 6.0, 6.0)
    assert config.preprocessing.crop_margin_mm == 5
    assert config.train.steps == 7
    lines = found.text.split("\n")
    assert lines[0] == "# medgen train new.yaml --data cases.csv --run runs/heads"
    assert lines[1].startswith(f"{MARK}for 3 training cases, a processor (no GPU)")
    for comment in ("# the middle", "# mine", "# few"):
        assert comment in found.text
    always = ("spacing_mm", "patch", "batch_size", "window", "overlap_voxels")
    for key in (*always, *KEYS[method]):
        (line,) = (k for k, text in enumerate(lines) if f"{key}:" in text and MARK not in text)
        assert lines[line - 1].lstrip().startswith(MARK), key


def test_warnings_and_json_name_what_was_planted(
    make_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    table = make_cohort()
    (tmp_path / "b_ct.nii.gz").write_bytes((tmp_path / "b_mr.nii.gz").read_bytes())
    (tmp_path / "d_mr.nii.gz").write_bytes((tmp_path / "a_mr.nii.gz").read_bytes())
    (tmp_path / "c_mr.nii.gz").write_bytes(b"")
    found = made(table, tmp_path)
    codes = {(d.code, d.case, d.column) for d in found.doubts}
    assert {
        ("W_SAME_IMAGE", "b", "ct"),
        ("W_LOOKS_LIKE_MR", "b", "ct"),
        ("W_LEAK_FILE", "a", "mr"),
        ("W_FEW_TRAINING", None, None),
        ("W_FEW_VALIDATION", None, None),
    } <= codes
    assert found.exit_code == Exit.SOME_FAILED
    value = found.as_json()
    text = json.dumps(value, allow_nan=False)
    assert str(tmp_path) not in text
    assert "patient" not in json.dumps(value["proposal"])
    assert [problem["case"] for problem in value["refused"]] == ["c"]
    assert {key["key"] for key in value["proposal"]} == {
        "preprocessing.spacing_mm",
        "methods.regression.generator.channels",
        "methods.regression.generator.features",
        "train.patch",
        "train.batch_size",
        "convert.window",
        "convert.overlap_voxels",
    }
    assert value["memory"]["planned_bytes"] <= 8e9


def test_a_fine_grid_is_coarsened_for_a_processor(
    make_cohort: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VOXELS_A_STEP, "cpu", 2 * 8**3)
    found = made(make_cohort(spacing=(3.0, 3.0, 3.0)), tmp_path)
    assert found.choice.config.preprocessing.spacing_mm == (4.0, 4.0, 4.0)
    assert "Made coarser" in found.text


def test_nothing_is_read_before_the_configuration_holds(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="E_METHOD"):
        made(tmp_path / "no.csv", tmp_path, "magic")


def test_a_file_without_a_command_gets_one(
    make_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    given = tmp_path / "plain.yaml"
    text = TEXT.replace("METHOD", "regression").split("\n", 1)[1]
    given.write_text(text, encoding="utf-8")

    def budget(config: Config) -> Budget:
        return budget_of(memory_gb=8.0, device="cpu", precision=config.train.precision)

    found = plan(given, make_cohort(), budget, name="new.yaml")
    first = "# medgen train new.yaml --data cases.csv --run runs/new"
    assert found.text.split("\n")[0] == first


def names(found: Plan) -> set[str]:
    generators = generators_of(found.choice.config)
    return {generator.name for generator in generators.values()}


GENERATORS = {
    "none": "",
    "in one line": "    generator: {name: unet, head_kernel: 3, dropout: 0.1}   # goes\n",
    "in lines": (
        "    generator:   # stays\n      name: unet\n      # stays too\n      head_kernel: 3\n"
        "      channels: [8, 16]  # goes\n      dropout: 0.1\n"
    ),
}


@pytest.mark.usefixtures("by_formula")
@pytest.mark.parametrize("layout", GENERATORS)
def test_a_gpu_with_memory_gets_the_stronger_network(
    layout: str, make_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    """However the given network is written; and planning again keeps what was proposed."""
    block = GENERATORS[layout]
    more = f"methods:\n  regression:\n    mask_loss: false   # kept\n{block}" if block else ""
    found = made(make_cohort(), tmp_path, more=more, device="cuda", memory_gb=24.0)
    path = tmp_path / "new.yaml"
    path.write_text(found.text, encoding="utf-8")
    config = read_config(path)
    assemble(config)
    assert config == found.choice.config
    assert names(found) == {"residual_encoder_unet"}
    (line,) = (line for line in found.text.split("\n") if "name: residual_encoder_unet" in line)
    assert "channels: [32, 64" in line
    assert "blocks: [1, 3" in line
    assert " dropout" not in line
    reason = " ".join(text.split(MARK)[-1] for text in found.text.split("\n") if MARK in text)
    assert "a stronger network than 'unet'" in reason
    assert "--keep-network" in reason
    if block:
        assert config.methods["regression"]["mask_loss"] is False
        assert "head_kernel. " in reason
        for comment in ("# few", "# kept"):
            assert comment in found.text
        assert ("# stays too" in found.text) == (layout == "in lines")
        assert "# goes" not in found.text


@pytest.mark.usefixtures("by_formula")
@pytest.mark.parametrize("more", ["", "methods: {regression: {generator: {name: unet}}}\n"])
def test_a_user_may_keep_the_network(
    more: str, make_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    changes = {"device": "cuda", "memory_gb": 24.0}
    found = made(make_cohort(), tmp_path, keep_network=True, more=more, **changes)
    assert names(found) == {"unet"}
    assert "stronger" not in found.text


@pytest.mark.usefixtures("by_formula")
@pytest.mark.parametrize("name", ["residual_encoder_unet", "pix2pix_unet", "context_fcn"])
def test_a_network_that_is_named_stays(
    name: str, make_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    more = f"methods: {{regression: {{generator: {{name: {name}}}}}}}\n"
    found = made(make_cohort(), tmp_path, more=more, device="cuda", memory_gb=24.0)
    assert names(found) == {name}
    assert "stronger" not in found.text
    assemble(found.choice.config)


def test_a_residual_generator_is_told_by_its_width_and_its_reach(
    make_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    table = make_cohort(spacing=(4.0, 4.0, 4.0), shape=(50, 58, 50))
    found = made(table, tmp_path, "cycle_gan")
    (change,) = (change for change in found.changes if change.path[-1] == "channels")
    assert change.path == ("methods", "cycle_gan", "generator", "channels")
    assert change.value == 8
    assert "in place of 32: features at full resolution on a processor; 3 residual" in change.reason
    assert "79 voxels along an axis" in change.reason
    assert min(found.choice.config.train.patch) >= 40


@pytest.mark.parametrize(("subsampling", "divisor", "margin"), [((3,), 3, 9), ((3, 5), 15, 15)])
def test_deep_medic_is_kept_and_its_blocks_and_margin_are_counted(
    subsampling: tuple[int, ...],
    divisor: int,
    margin: int,
    make_cohort: Callable[..., Path],
    tmp_path: Path,
) -> None:
    given = DeepMedicOptions(subsampling=subsampling, channels=(4, 4, 4), hidden=(4,))
    keys = f"name: deep_medic, subsampling: {list(subsampling)}, channels: [4, 4, 4], hidden: [4]"
    table = make_cohort(spacing=(6.0, 6.0, 6.0), shape=(30, 38, 30))
    more = f"methods: {{segmenter: {{network: {{{keys}}}}}}}\n"
    found = made(table, tmp_path, "segmenter", more=more)
    config = found.choice.config
    assert found.choice.footprint.margin == margin
    assert all(length % divisor == 0 for length in config.train.patch)
    assert min(config.train.patch) >= 2 * max(subsampling)
    assert generators_of(config) == {"network": given}
    (change,) = (change for change in found.changes if change.path[-1] == "patch")
    assert f"Multiples of {divisor}. The network sees {margin} voxels more" in change.reason
    assemble(config)


def apart(table: Path) -> Path:
    """Give every training head one image alone: of two the MR, of one the CT."""
    lines = table.read_text(encoding="utf-8").splitlines()
    for number, emptied in ((1, "a_ct"), (2, "b_ct"), (3, "c_mr")):
        lines[number] = lines[number].replace(f"{emptied}.nii.gz", "")
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def test_without_pairs_the_batch_stays_and_the_smaller_domain_is_named(
    make_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    table = apart(make_cohort(spacing=(4.0, 4.0, 4.0), shape=(50, 58, 50)))
    found = made(table, tmp_path, "cycle_gan", assignments=["train.batch_size=1"])
    assert found.choice.config.train.batch_size == 1
    (change,) = (change for change in found.changes if change.path[-1] == "batch_size")
    assert change.reason.startswith("as given: a step has so many patches of each domain")
    (few,) = (doubt for doubt in found.doubts if doubt.code == "W_FEW_TRAINING")
    assert few.message.startswith("1 patients with a target to train on")


@pytest.mark.parametrize(
    ("given", "planned", "reason"),
    [
        (9, 9, "as given, which is more than a quarter of the patch's shortest axis"),
        (12, 8, "a quarter of the patch's shortest axis"),
        (4, 8, "a quarter of the patch's shortest axis"),
        (None, 8, "a quarter of the patch's shortest axis"),
    ],
)
def test_a_larger_overlap_is_kept_up_to_half_a_window(
    given: int | None,
    planned: int,
    reason: str,
    make_cohort: Callable[..., Path],
    tmp_path: Path,
) -> None:
    more = "" if given is None else f"convert: {{overlap_voxels: {given}}}\n"
    found = made(make_cohort(), tmp_path, more=more)
    assert 18 <= min(found.choice.config.train.patch) < 24
    assert found.choice.config.convert.overlap_voxels == planned
    (change,) = (change for change in found.changes if change.path[-1] == "overlap_voxels")
    assert (change.value, change.reason.split(",")[0]) == (planned, reason.split(",")[0])


def plain(found: Plan) -> str:
    """Return all reasons, as one line."""
    lines = (line.strip() for line in found.text.split("\n"))
    return " ".join(line.removeprefix(MARK) for line in lines if line.startswith(MARK))


PAPER = """\
methods:
  conditional_gan:
    # Six levels take 64 voxels to one.
    generator: {name: pix2pix_unet, channels: 64, levels: 6}
    discriminator: {name: patch_discriminator, channels: 64, layers: 3, norm: batch}
  regression:
    mask_loss: false
    generator: {name: pix2pix_unet, levels: 6}
  ea_gan:
    generator: {name: pix2pix_unet, levels: 7}
chain: {stages: 3, folds: 2, feed: replace}
"""


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.slow)])
def test_the_papers_network_on_a_body_that_six_levels_would_pad(
    device: str, make_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    """The discriminator wants 40 voxels: five levels would make 64 of them, four make 48."""
    table = make_cohort(spacing=(4.0, 4.0, 4.0), shape=(50, 58, 50))
    assignments = ["preprocessing.crop=none", "train.steps=9", "chain.folds=3"]
    found = made(
        table, tmp_path, "conditional_gan", more=PAPER, assignments=assignments, device=device
    )
    config = found.choice.config
    assert config.train.patch == (48, 48, 48)
    assert "W_PATCH_LARGE" not in {doubt.code for doubt in found.doubts}
    reasons = plain(found)
    assert "in place of 6: halvings of 48 x 48 x 48 voxels, which leave 3 x 3 x 3;" in reasons
    assert "a chain of 3 stages is 9 trainings of 9 steps" in reasons
    assert "times that of the given file's own networks, patch and batch" in reasons
    blocks = config.methods
    chosen = blocks["conditional_gan"]["generator"]
    assert chosen["levels"] == 4
    assert chosen["channels"] == blocks["regression"]["generator"]["channels"]
    assert blocks["regression"]["generator"]["levels"] == 4
    assert blocks["regression"]["mask_loss"] is False
    assert blocks["ea_gan"] == {"generator": {"name": "pix2pix_unet", "levels": 7}}
    path = tmp_path / "new.yaml"
    path.write_text(found.text, encoding="utf-8")
    assert read_config(path) == config
    assert config.preprocessing.crop == "none"


@pytest.mark.usefixtures("by_formula")
def test_another_method_of_the_same_network_gets_the_exchanged_one_too(
    make_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    more = "methods:\n  regression: {generator: {name: unet}}\n  conditional_gan: {lambda_l1: 7}\n"
    found = made(make_cohort(), tmp_path, more=more, device="cuda", memory_gb=24.0)
    blocks = found.choice.config.methods
    assert names(found) == {"residual_encoder_unet"}
    assert blocks["conditional_gan"] == {"lambda_l1": 7, **blocks["regression"]}
    assert "as in regression, whose generator it shares" in plain(found)


def test_a_body_that_every_depth_pads_is_said_to_be(
    make_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    table = make_cohort(spacing=(6.0, 6.0, 6.0), shape=(24, 50, 24))
    assignments = ["preprocessing.crop=none"]
    found = made(table, tmp_path, "conditional_gan", more=PAPER, assignments=assignments)
    assert found.choice.config.train.patch == (40, 48, 40)
    text = "shorter axes are rounded up to 40, the least that the networks take; the others are as"
    assert text in plain(found)
    assert "W_PATCH_LARGE" in {doubt.code for doubt in found.doubts}
    assert "fewer levels" not in {doubt.advice for doubt in found.doubts}


@pytest.mark.usefixtures("by_formula")
def test_what_will_be_lent_is_a_doubt(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    more = "methods: {regression: {lambda_features: 1}}\n"
    found = made(make_cohort(), tmp_path, more=more)
    assert "W_PLAN_FEATURES" in {doubt.code for doubt in found.doubts}
