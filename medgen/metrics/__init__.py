"""Scores of one volume against another: pure functions on arrays, and named profiles of them."""

from medgen.metrics.columns import Column, Direction, Measured, improvement
from medgen.metrics.gradient import gradient_mae
from medgen.metrics.labels import UNKNOWN, class_codes, class_slugs, values_of, whole_labels
from medgen.metrics.lesion_sizes import BOUNDS_ML, SizeBin, detect_by_size, pooled
from medgen.metrics.lesions import detect
from medgen.metrics.masked import bias, mae, mse, nmse, nrmse, psnr, rmse
from medgen.metrics.ms_ssim import ms_ssim
from medgen.metrics.overlap import dice
from medgen.metrics.profiles import PROFILES, Kind, Profile, profile_named
from medgen.metrics.regions import PEAK_ML, SUV_OR_BECQUEREL, UNIT_UNKNOWN
from medgen.metrics.spectrum import grid_energy
from medgen.metrics.ssim import ssim
from medgen.metrics.surfaces import hausdorff

__all__ = [
    "BOUNDS_ML",
    "PEAK_ML",
    "PROFILES",
    "SUV_OR_BECQUEREL",
    "UNIT_UNKNOWN",
    "UNKNOWN",
    "Column",
    "Direction",
    "Kind",
    "Measured",
    "Profile",
    "SizeBin",
    "bias",
    "class_codes",
    "class_slugs",
    "detect",
    "detect_by_size",
    "dice",
    "gradient_mae",
    "grid_energy",
    "hausdorff",
    "improvement",
    "mae",
    "ms_ssim",
    "mse",
    "nmse",
    "nrmse",
    "pooled",
    "profile_named",
    "psnr",
    "rmse",
    "ssim",
    "values_of",
    "whole_labels",
]
