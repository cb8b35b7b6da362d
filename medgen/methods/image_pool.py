"""Past fakes, which the discriminators are shown beside the newest ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Keep up to `size` fakes, and hand out old ones for new ones half of the time.

    Shrivastava et al., Learning from simulated and unsupervised images through adversarial
    training, CVPR 2017, as Zhu et al. (CycleGAN, ICCV 2017) use it: until it is full, every fake
    is kept and handed back; then each is, with a probability of one half, exchanged for one of
    those kept. A discriminator that sees past fakes does not forget what gave them away. With a
    size of 0 fakes are handed back as they are.

    The fakes lie in a buffer, which grows as they come, so that a resumed training goes on with
    the same ones. Draws are made on the CPU by torch's global generator, and wait for no device.
    """

    images: Tensor
    """(n, C, X, Y, Z), n fakes from 0 to `size`; of one dimension as long as there is none."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.empty(0))

    def exchange(self, fakes: Tensor) -> Tensor:
        """Return as many fakes (B, C, X, Y, Z) as are given, detached; keep some of them."""
        fakes = fakes.detach()
        if self.size == 0:
            return fakes
        return torch.cat([self._exchange(fake[None]) for fake in fakes])

    def _exchange(self, fake: Tensor) -> Tensor:
        kept = len(self.images)
        if kept < self.size:
            self.images = torch.cat([self.images, fake]) if kept else fake.clone()
            return fake
        if float(torch.rand(())) < 0.5:
            return fake
        index = int(torch.randint(kept, ()))
        old = self.images[index : index + 1].clone()
        self.images[index] = fake[0]
        return old

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Take up however many fakes were kept."""
        stored = state_dict.get(f"{prefix}images")
        if stored is not None:
            self.images = self.images.new_empty(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
