"""What holds for every discriminator: how it judges, and the maps it lends."""

from __future__ import annotations

import pytest
import torch

from medgen.networks import ContextDiscriminatorOptions, Discriminator, PatchDiscriminatorOptions

SMALL: dict[str, PatchDiscriminatorOptions | ContextDiscriminatorOptions] = {
    "instance": PatchDiscriminatorOptions(channels=4, layers=2),
    "batch": PatchDiscriminatorOptions(channels=4, layers=2, norm="batch", padding=2),
    "context": ContextDiscriminatorOptions(channels=4, hidden=(8, 4)),
}


@pytest.fixture(params=list(SMALL))
def name(request: pytest.FixtureRequest) -> str:
    """Return each discriminator's name."""
    return str(request.param)


def build(name: str) -> Discriminator:
    torch.manual_seed(0)
    return SMALL[name].build(source_channels=2, target_channels=1)


def images() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    source, real, fake = (
        torch.randn(2, channels, 20, 20, 24, generator=generator) for channels in (2, 1, 1)
    )
    return source, real + 1, fake


def test_judging_both_is_judging_each(name: str) -> None:
    source, real, fake = images()
    of_real, of_fake = build(name).judge(source, real, fake)
    net = build(name)
    torch.testing.assert_close(of_real, net(source, real), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(of_fake, net(source, fake), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "passes"), [("instance", 1), ("batch", 2), ("context", 2)])
def test_one_pass_suffices_without_batch_norm(name: str, passes: int) -> None:
    net = build(name)
    seen: list[int] = []
    net.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    net.judge(*images())
    assert seen == [4 // passes] * passes


@pytest.mark.parametrize(
    ("name", "channels"),
    [("instance", [4, 8, 16]), ("batch", [4, 8, 16]), ("context", [4, 8, 16, 32])],
)
def test_features_are_the_hidden_maps_from_the_first_on(name: str, channels: list[int]) -> None:
    net = build(name)
    source, real, _ = images()
    features = net.features(source, real.requires_grad_())
    assert [f.shape[1] for f in features] == channels
    assert all(f.shape[:1] == (2,) and f.dim() == 5 for f in features)
    lengths = [f.shape[2] for f in features]
    assert lengths[0] > lengths[1]
    features[0].sum().backward()
    assert real.grad is not None
    assert real.grad.any()


def test_logits_follow_from_the_last_map(name: str) -> None:
    net = build(name).eval()
    source, real, _ = images()
    last = net.features(source, real)[-1]
    logits = net(source, real)
    assert logits.dtype == torch.float32
    assert len(last) == len(logits)


def test_an_image_may_have_more_channels_than_the_target() -> None:
    """As dEa-GAN's, which is judged together with its edges."""
    for options in SMALL.values():
        net = options.build(source_channels=1, target_channels=2)
        assert net(torch.randn(1, 1, 20, 20, 20), torch.randn(1, 2, 20, 20, 20)).isfinite().all()


def test_memory_layout_does_not_change_the_logits(name: str) -> None:
    source, real, _ = images()
    net = build(name)
    logits = net(source, real)
    net = net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    source, real = (t.contiguous(memory_format=torch.channels_last_3d) for t in (source, real))
    torch.testing.assert_close(net(source, real), logits, rtol=1e-3, atol=1e-4)
