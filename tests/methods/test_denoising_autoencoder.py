"""The denoising autoencoder: its noise, where it lies, and what is made of its answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from medgen.method import Clock, Generative, Setting
from medgen.methods import DenoisingAutoencoder
from medgen.methods.denoising_autoencoder import coarse_noise
from medgen.networks import ContextFCNOptions, UNetOptions

NETWORK = UNetOptions(channels=(4, 8), features=4, residual_units=1)
START = Clock(0, "", 0.0, 0.0)


def build(setting: Setting | None = None, **options: Any) -> DenoisingAutoencoder:
    torch.manual_seed(0)
    options = {"network": NETWORK, **options}
    return DenoisingAutoencoder(setting or Setting(1, 1, "linear"), **options)


def head(channels: int = 1, size: int = 2, length: int = 16) -> Tensor:
    """Return images with a ball of tissue in air."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.linspace(-1, 1, length)
    radius = sum(one.square() for one in torch.meshgrid(axis, axis, axis, indexing="ij"))
    tissue = 0.3 * torch.rand((size, channels, length, length, length), generator=generator)
    return torch.where(torch.as_tensor(radius) < 0.7, tissue, -1.0)


def test_noise_leaves_the_background_alone_and_all_else_noisy() -> None:
    images = head()
    noisy = build().corrupted(images)
    background = images == -1.0
    assert torch.equal(noisy[background], images[background])
    assert (noisy[~background] != images[~background]).all()


def test_each_channel_has_a_background_of_its_own_and_noise_where_any_is_above_it() -> None:
    setting = Setting(2, 1, "linear", source_background=(-1.0, 0.5))
    images = torch.stack([torch.full((16, 16, 16), -1.0), torch.full((16, 16, 16), 0.5)])[None]
    method = build(setting)
    assert torch.equal(method.corrupted(images), images)
    images[:, 1, :8] = 0.6
    changed = method.corrupted(images) != images
    assert changed[:, :, :8].all()
    assert not changed[:, :, 8:].any()
    assert not torch.equal(*(method.corrupted(images) - images)[0])


def test_what_lies_within_a_hundredth_of_the_scale_is_background() -> None:
    method = build()
    for value, noisy in ((-0.985, False), (-0.975, True)):
        images = torch.full((1, 1, 16, 16, 16), value)
        assert torch.equal(method.corrupted(images), images) is not noisy


def test_noise_has_its_deviation_at_the_centres_of_its_cells() -> None:
    torch.manual_seed(0)
    noise = coarse_noise((400, 2, 4, 4, 4), 1)
    assert noise.shape == (400, 2, 4, 4, 4)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.02)
    assert noise.std().item() == pytest.approx(1.0, rel=0.02)
    channels = noise.transpose(0, 1).flatten(1)
    assert torch.corrcoef(channels)[0, 1].abs() < 0.02
    # Linear interpolation between two cells leaves sqrt(2/3) of it along an axis, on average.
    coarse = torch.cat([coarse_noise((40, 1, 16, 16, 16), 8) for _ in range(10)])
    assert coarse.std().item() == pytest.approx((2 / 3) ** 1.5, rel=0.05)


def test_noise_is_linear_between_cells_that_begin_anywhere() -> None:
    """Along an axis, the second difference is zero but where a cell's centre is passed."""
    torch.manual_seed(0)
    begins: set[tuple[int, ...]] = set()
    for _ in range(40):
        noise = coarse_noise((1, 1, 24, 24, 24), 6)[0, 0]
        bends = (noise[2:] - 2 * noise[1:-1] + noise[:-2]).abs().amax(dim=(1, 2)) > 1e-4
        where = bends.nonzero().flatten()
        assert (where[2:] - where[:-2] == 6).all()  # a bend touches the voxels on both sides
        assert len(where) >= 6
        begins.add(tuple(where[:2].tolist()))
    assert len(begins) == 6


@pytest.mark.parametrize("voxels", [1, 3, 8, 40])
@pytest.mark.parametrize("shape", [(1, 1, 16, 16, 16), (2, 3, 5, 17, 8)])
def test_noise_has_the_shape_asked_for(shape: tuple[int, ...], voxels: int) -> None:
    assert coarse_noise(shape, voxels).shape == shape


@pytest.mark.parametrize("loss", ["l2", "l1"])
def test_its_one_move_lowers_the_error_of_the_clean_image(loss: Any) -> None:
    method, images = build(loss=loss), head()
    moves: list[tuple[str, float]] = []
    torch.manual_seed(3)
    losses = method.train_step(
        {"source": images}, lambda player, value: moves.append((player, value.item())), START
    )
    torch.manual_seed(3)
    error = method.autoencoder(method.corrupted(images)) - images
    expected = error.square().mean() if loss == "l2" else error.abs().mean()
    assert moves == [("autoencoder", pytest.approx(expected.item(), rel=1e-5))]
    assert list(losses) == [loss]


def test_an_answer_is_the_residual_without_noise_and_the_mean_of_its_size() -> None:
    method, images = build(Setting(2, 1, "linear")).eval(), head(channels=2)
    with torch.no_grad():
        answer = method.infer(images)
        residual = images - method.autoencoder(images)
    torch.testing.assert_close(answer[:, :2], residual)
    score = residual.abs().mean(dim=(1, 2, 3, 4))
    torch.testing.assert_close(answer[:, 2], score[:, None, None, None].expand(2, 16, 16, 16))


def test_a_margin_is_trimmed() -> None:
    method = build(network=ContextFCNOptions(channels=2))
    images = head(length=24)
    method.train_step({"source": images}, lambda _, loss: loss.backward(), START)
    with torch.no_grad():
        answer = method.eval().infer(images)
        expected = images[:, :, 8:-8, 8:-8, 8:-8] - method.autoencoder(images)
    assert method.margin == 8
    torch.testing.assert_close(answer[:, :1], expected)


def test_places_are_channels_without_noise_and_change_the_answer() -> None:
    method, images = build(located=True), head()
    places = torch.rand(2, 3, 16, 16, 16)
    source = torch.cat([images, places], dim=1)
    seen: list[Tensor] = []
    method.autoencoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.train_step({"source": source}, lambda _, loss: loss.backward(), START)
    assert torch.equal(seen[0][:, 1:], places)
    assert not torch.equal(seen[0][:, :1], images)
    with torch.no_grad():
        elsewhere = torch.cat([images, places - 0.5], dim=1)
        answers = [method.eval().infer(one) for one in (source, elsewhere)]
    assert answers[0].shape == (2, 2, 16, 16, 16)
    assert not torch.equal(*answers)


def test_any_window_is_taken_and_the_network_decides_which_fit() -> None:
    method = build()
    assert method.window is None
    assert (method.divisor, method.minimum_patch) == (2, 6)
    assert not isinstance(method, Generative)


def test_a_blob_that_does_not_belong_stays_in_the_residual() -> None:
    """After a short training on plain balls a brighter blob is taken away, and little else."""
    method, images = build(noise_voxels=4), head(size=2).clamp(max=0.0)
    optimizer = torch.optim.Adam(method.parameters(), lr=5e-3)

    def minimize(player: str, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for step in range(80):
        torch.manual_seed(step)
        method.train_step({"source": images}, minimize, START)
    painted = images.clone()
    painted[:, :, 6:10, 6:10, 6:10] = 0.8
    with torch.no_grad():
        residual = method.eval().infer(painted)[:, :1]
    inside = residual[:, :, 7:9, 7:9, 7:9].mean()
    assert inside > 0.4
    outside = residual[painted == images]
    assert inside > 5 * outside.abs().mean()
