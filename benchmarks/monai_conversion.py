"""The peer of `conversion.py`: a loop as MONAI's tutorials write it, with the run's own network.

    python benchmarks/monai_conversion.py --run RUN --input DIR --output DIR --overlap 0.5

Load, orient, resample, scale by percentiles, crop to the foreground, slide windows of the training
patch, bring back, save: one volume after the other. Beyond its crop an answer is 0 HU, which is
what `Invertd` pads with, and in air it is whatever the network makes of it. The percentiles are the
run's, but measured on the whole volume, since MONAI has no body mask; the answer is close to
medgen's, not equal. The last line printed is JSON: seconds of the loop without imports, and the
process's peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import decollate_batch, list_data_collate
from monai.inferers.inferer import SlidingWindowInferer
from monai.transforms.compose import Compose
from monai.transforms.croppad.dictionary import CropForegroundd
from monai.transforms.intensity.dictionary import ScaleIntensityRangePercentilesd
from monai.transforms.io.dictionary import LoadImaged, SaveImaged
from monai.transforms.post.dictionary import Invertd
from monai.transforms.spatial.dictionary import Orientationd, Spacingd
from monai.transforms.utility.dictionary import EnsureChannelFirstd

from medgen.config import PercentileScale, WindowScale
from medgen.runs import Model, choose_device, choose_precision, load_model

MARGIN_MM = 10.0


def main() -> None:
    """Convert every volume of a folder and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--overlap", type=float, default=0.25)
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = choose_device(chosen.device)
    model = load_model(chosen.run, device=device)
    precision = choose_precision(chosen.precision, device)
    files = sorted(chosen.input.glob("*.nii.gz"))
    begun = time.perf_counter()
    loop(model, files, chosen.output, overlap=chosen.overlap, bf16=precision == "bf16")
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"cases": len(files), "seconds": seconds, "peak_gib": peak}))


def inferer_of(model: Model, overlap: float) -> SlidingWindowInferer:
    """Return MONAI's inferer with the run's patch and Gaussian weights."""
    return SlidingWindowInferer(
        roi_size=model.patch, sw_batch_size=1, overlap=overlap, mode="gaussian"
    )


def loop(model: Model, files: list[Path], output: Path, *, overlap: float, bf16: bool) -> None:
    """Load, infer and save one volume after the other."""
    settings, intensity = model.preprocessing.settings, model.preprocessing.intensity
    source = intensity[model.preprocessing.source_columns[0]]
    target = intensity[model.preprocessing.target_columns[0]]
    assert isinstance(source, PercentileScale)
    assert isinstance(target, WindowScale)
    spacing = settings.spacing_mm
    before = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS", labels=None),
            Spacingd("image", pixdim=spacing, mode="bilinear"),
            ScaleIntensityRangePercentilesd("image", source.low, source.high, -1.0, 1.0),
            CropForegroundd(
                "image",
                source_key="image",
                select_fn=lambda image: image > image.mean(),
                margin=[round(MARGIN_MM / mm) for mm in spacing],
                allow_smaller=True,
            ),
        ]
    )
    after = Compose(
        [
            Invertd("answer", before, orig_keys="image", nearest_interp=False),
            SaveImaged(
                "answer",
                output_dir=output,
                output_postfix="",
                separate_folder=False,
                output_dtype="int16",
                print_log=False,
            ),
        ]
    )
    inferer = inferer_of(model, overlap)
    device = next(model.method.parameters()).device
    gain, low = (target.high - target.low) / 2.0, target.low
    for file in files:
        item: dict[str, Any] = before({"image": str(file)})
        batch = list_data_collate([item])
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            answer = inferer(batch["image"].to(device), model.method.infer)
        assert isinstance(answer, torch.Tensor)
        values = (answer.float().cpu() + 1.0) * gain + low
        batch["answer"] = MetaTensor(values.clamp(target.low, target.high), meta=item["image"].meta)
        for one in decollate_batch(batch):
            after(one)


if __name__ == "__main__":
    main()
