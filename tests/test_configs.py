"""The shipped configurations build what they name, and train on patches that it can take."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import yaml

from medgen.config import Config, parse_config, read_config, shipped_configs
from medgen.method import Method, OptimizerSpec
from medgen.methods import METHODS
from medgen.runs import assemble

NAMED = [
    (name, method)
    for name, text in sorted(shipped_configs().items())
    for method in yaml.safe_load(text)["methods"]
]


def assembled(config: Config) -> tuple[Method, Mapping[str, OptimizerSpec]]:
    """Build without memory or weights: the papers' networks have a hundred million of them."""
    with torch.device("meta"):
        return assemble(config)


def test_every_method_has_a_configuration() -> None:
    assert {method for _, method in NAMED} == set(METHODS)


@pytest.mark.parametrize(("name", "method"), NAMED)
def test_each_configuration_builds_each_of_its_methods(name: str, method: str) -> None:
    raw = yaml.safe_load(shipped_configs()[name])
    config = parse_config({**raw, "method": method})
    built, optimizers = assembled(config)
    assert isinstance(built, METHODS[method])
    assert set(optimizers) == set(built.players())
    for axis in config.train.patch:
        assert axis % built.divisor == 0


# What comments and pages say may be changed for a run: it must build as it is written there.
VARIANTS = {
    "a residual encoder": (
        "mr_to_ct",
        ["methods.conditional_gan.generator={name: residual_encoder_unet}"],
    ),
    "a feature loss": ("mr_to_ct", ["methods.conditional_gan.lambda_features=100"]),
    "MedGAN's terms": (
        "mr_to_ct",
        [
            "methods.conditional_gan.lambda_l1=0",
            "methods.conditional_gan.lambda_perceptual=20",
            "methods.conditional_gan.lambda_style=0.0001",
        ],
    ),
    "auto-context": (
        "mr_to_ct",
        ["method=context_aware_gan", "chain={stages: 2, folds: 3, feed: append}"],
    ),
    "one stage": ("low_dose_pet", ["chain.stages=1"]),
    "PET and MR": (
        "low_dose_pet",
        ["roles.source=[pet_low, t1]", "intensity.t1={scale: percentile, low: 0.5, high: 99.5}"],
    ),
    "the network learns the difference": (
        "low_dose_pet",
        [
            "methods.conditional_gan.generator="
            "{name: pix2pix_unet, channels: 64, levels: 6, long_residual: true}"
        ],
    ),
    "an unpaired U-Net": ("unpaired_mr_to_ct", ["methods.cycle_gan.generator={name: unet}"]),
    "structure held in place, in less memory": (
        "unpaired_mr_to_ct",
        [
            "methods.cycle_gan.structure=mutual_information",
            "methods.cycle_gan.lambda_structure=1",
            "methods.cycle_gan.checkpointing=true",
        ],
    ),
    "without anchors": (
        "unpaired_mr_to_ct",
        ["methods.cycle_gan.lambda_background=0", "methods.cycle_gan.lambda_identity=0"],
    ),
    "two scanners of one modality": (
        "unpaired_mr_to_ct",
        [
            "roles.source={columns: [t1], where: {site: A}}",
            "roles.target={columns: [t1], where: {site: B}}",
            "intensity.t1={scale: percentile, low: 0.5, high: 99.5}",
            "train.validate.profile=mr",
            "methods={cycle_gan: {}}",
        ],
    ),
    "weights picked by pairs": (
        "unpaired_mr_to_ct_demo",
        ["method=conditional_gan", "train.validate.best_by={name: mae, mode: min}"],
    ),
    "three pathways of DeepMedic": (
        "lesion_adaptation",
        [
            "methods.adapted_segmenter.network="
            "{name: deep_medic, subsampling: [3, 5], hidden: [250, 250], residual: true}",
            "train.patch=[15, 15, 15]",
        ],
    ),
    "an adapted U-Net": (
        "lesion_adaptation",
        [
            "methods.adapted_segmenter.network={name: unet, channels: [32, 64, 128]}",
            "methods.adapted_segmenter.taps=[level_0, level_1]",
            "train.patch=[64, 64, 64]",
            "convert.window=auto",
            "convert.overlap_voxels=16",
        ],
    ),
    "no adaptation": (
        "lesion_adaptation",
        [
            "methods.adapted_segmenter.lambda_adversarial=0",
            "train.validate.best_by.penalties={}",
        ],
    ),
    "an inverted adversary": (
        "lesion_adaptation_demo",
        ["methods.adapted_segmenter.adversarial=inverted"],
    ),
    "anomalies in slices": (
        "anomaly_detection",
        ["method=vae", "methods.vae.network.spatial_dims=2", "train.patch=[128, 128, 1]"],
    ),
    "a restored latent": (
        "anomaly_detection",
        ["method=vae", "methods.vae.restoration_steps=100"],
    ),
    "unusual cases": ("anomaly_detection", ["convert.anomaly.case_false_positives=0.05"]),
    "two stages of the demo": (
        "low_dose_pet_demo",
        ["chain={stages: 2, folds: 2, feed: replace}"],
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_the_comments_offer_builds(variant: str, tmp_path: Path) -> None:
    name, overrides = VARIANTS[variant]
    file = tmp_path / f"{name}.yaml"
    file.write_text(shipped_configs()[name], encoding="utf-8")
    config = read_config(file, overrides)
    built, _ = assembled(config)
    assert built.needs_features == (variant == "a feature loss")
    for axis in config.train.patch:
        assert axis % built.divisor == 0


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_the_first_line_is_the_command_and_what_is_commented_out_is_valid(
    name: str, tmp_path: Path
) -> None:
    text = shipped_configs()[name]
    assert text.startswith(f"# medgen train {name}.yaml --data cases.csv --run runs/{name}\n")
    # A chain that is commented out is a line to be uncommented: it must work then.
    lines = [
        line.removeprefix("# ") if line.startswith("# chain:") else line
        for line in text.splitlines()
    ]
    file = tmp_path / "uncommented.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    config = read_config(file)
    assert (config.chain is not None) == any(line.startswith("chain:") for line in lines)


def test_ea_gan_beside_the_others_has_their_generator_and_without_one_the_papers() -> None:
    raw = yaml.safe_load(shipped_configs()["mr_to_ct"])
    blocks = raw["methods"]
    assert blocks["ea_gan"]["generator"] == blocks["conditional_gan"]["generator"]
    del blocks["ea_gan"]["generator"]
    built, _ = assembled(parse_config({**raw, "method": "ea_gan"}))
    assert built.divisor == 64


def test_a_rival_line_in_a_comment_never_makes_a_key_twice_when_uncommented() -> None:
    """A commented `key:` above or below the same key is a trap: uncommented, it stands twice."""
    for text in shipped_configs().values():
        lines = [line.strip() for line in text.splitlines()]
        for first, second in itertools.pairwise(lines):
            keys = [line.removeprefix("# ").partition(": ")[0] for line in (first, second)]
            if first.startswith("#") != second.startswith("#"):
                assert keys[0] != keys[1]
