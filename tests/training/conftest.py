"""A cohort so small that a training takes a second: ellipsoids with a shell, MR and CT."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medgen.config import Config, parse_config

SHAPE = (20, 24, 20)


def write_case(folder: Path, name: str, seed: int) -> None:
    """Write one ellipsoid head: a dark shell in MR, a bright one, bone, in CT."""
    rng = np.random.default_rng(seed)
    axes = np.array([7.0, 9.0, 7.0]) * rng.uniform(0.9, 1.1, 3)
    grid = np.indices(SHAPE) - (np.array(SHAPE) / 2 - 0.5)[:, None, None, None]
    radius = np.sqrt(((grid / axes[:, None, None, None]) ** 2).sum(0))
    mr = np.where(radius < 1, np.where(radius < 0.8, 400 + 100 * grid[0] / 10, 80), 0.0)
    ct = np.where(radius < 1, np.where(radius < 0.8, 40.0, 900.0), -1000.0)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = rng.uniform(-5, 5, 3)
    seg = np.where(radius < 1, np.where(radius < 0.8, 1, 4), 0)
    volumes = {"mr": mr + rng.normal(0, 5, SHAPE), "ct": ct, "seg": seg}
    for column, data in volumes.items():
        image = nib.Nifti1Image(data.astype(np.int16), affine)
        image.set_sform(affine, 1)
        image.set_qform(affine, 1)
        image.header.set_xyzt_units("mm")
        nib.save(image, folder / f"{name}_{column}.nii.gz")


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the table of five tiny cases: three to train on, one to validate, one to test."""
    folder = tmp_path_factory.mktemp("tiny_cohort")
    splits = ["train", "train", "train", "validation", "test"]
    lines = ["case,patient,split,site,mr,ct,seg"]
    for index, split in enumerate(splits):
        name = f"c{index}"
        write_case(folder, name, index)
        files = ",".join(f"{name}_{column}.nii.gz" for column in ("mr", "ct", "seg"))
        lines.append(f"{name},p{index},{split},{'abaab'[index]},{files}")
    table = folder / "cases.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


RECONSTRUCTION = {"profile": "reconstruction", "best_by": {"name": "mae", "mode": "min"}}
PROFILES = {
    **dict.fromkeys(
        ("ano_gan", "denoising_autoencoder", "f_ano_gan", "vae", "vae_gan"), RECONSTRUCTION
    ),
    "adapted_segmenter": {"profile": "segmentation", "best_by": {"name": "dice", "mode": "max"}},
    "segmenter": {"profile": "segmentation", "best_by": {"name": "dice", "mode": "max"}},
}
"""How validation scores methods whose answer is not in HU."""


def tiny_config(method: str = "conditional_gan", **train: Any) -> Config:
    """Return a configuration of seconds: two small levels, patches of 16 voxels."""
    unet: Mapping[str, Any] = {"name": "unet", "channels": [4, 8], "residual_units": 1}
    judge: Mapping[str, Any] = {"name": "patch_discriminator", "channels": 4, "layers": 1}
    dense: Mapping[str, Any] = {"channels": [4, 4], "kernel": 3, "bottleneck": 2, "latent": 4}
    raw: dict[str, Any] = {
        "roles": {"source": ["mr"], "target": ["ct"], "label": ["seg"], "mask": "auto"},
        "labels": {"inside": 1, "shell": 4},
        "preprocessing": {"spacing_mm": [4.0, 4.0, 4.0], "crop": "none"},
        "intensity": {
            "mr": {"scale": "percentile", "low": 0.5, "high": 99.5},
            "ct": {"scale": "window", "low": -1024, "high": 2000, "unit": "HU"},
        },
        "method": method,
        "methods": {
            "adapted_segmenter": {
                "network": {"subsampling": [2], "channels": [4, 4], "hidden": [4]},
                "discriminator": {"channels": 4, "layers": 1},
                "ramp_from": 0.2,
            },
            "ano_gan": {
                "network": {"channels": 4, "levels": 2, "latent": 8},
                "search_steps": 3,
            },
            "conditional_gan": {"generator": unet, "discriminator": judge},
            "context_aware_gan": {
                "generator": {"name": "context_fcn", "channels": 2},
                "discriminator": {
                    "name": "context_discriminator",
                    "channels": 2,
                    "hidden": [4, 4],
                },
            },
            "cycle_gan": {"generator": unet, "discriminator": judge, "pool": 3},
            "denoising_autoencoder": {"network": unet},
            "ea_gan": {
                "generator": {
                    "name": "pix2pix_unet",
                    "channels": 4,
                    "levels": 3,
                    "dropout": 0.5,
                },
                "discriminator": {**judge, "norm": "batch", "padding": 2},
                "smooth_labels": True,
            },
            "f_ano_gan": {
                "network": {"channels": 2, "levels": 2, "latent": 8},
                "critic_steps": 2,
            },
            "regression": {"generator": unet},
            "segmenter": {"network": unet},
            "vae": {"network": dense, "beta_warm_up": 0.5},
            "vae_gan": {"network": dense, "lambda_l1": 1.0},
        },
        "train": {
            "steps": 6,
            "batch_size": 2,
            "patch": [16, 16, 16],
            "precision": "fp32",
            "save_every_steps": 2,
            "validate": {"every_steps": 3, **PROFILES.get(method, {})},
            **train,
        },
        "convert": {"overlap_voxels": 4},
    }
    if method == "adapted_segmenter":  # one column of two sites, labelled at the first
        raw["roles"]["source"] = {"columns": ["mr"], "where": {"site": "a"}}
        raw["roles"]["target"] = {"columns": ["mr"], "where": {"site": "b"}}
    return parse_config(raw)


@pytest.fixture(scope="session")
def make_config() -> Any:
    """Return the factory of tiny configurations."""
    return tiny_config
