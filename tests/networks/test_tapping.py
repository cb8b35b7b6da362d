"""Features of several layers along with an answer, of one forward pass and on one grid."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medgen.networks import (
    DEEP_MEDIC,
    UNET,
    DeepMedicOptions,
    ResidualEncoderUNetOptions,
    SegmenterBlock,
    Tapped,
    UNetOptions,
)
from medgen.networks.tapping import repeated
from medgen.problems import ConfigurationError

NARROW = {"channels": (3, 3, 4, 4, 4, 5, 5, 6), "hidden": (7, 8)}
SMALL: dict[str, SegmenterBlock] = {
    "unet": UNetOptions(channels=(4, 6, 8), features=3, residual_units=1, dropout=0.2),
    "residual_encoder_unet": ResidualEncoderUNetOptions(channels=(4, 6, 16), blocks=(1, 2, 2)),
    "deep_medic": DeepMedicOptions(**NARROW),
    "deep_medic, residual": DeepMedicOptions(**NARROW, residual=True),
}


@pytest.fixture(params=list(SMALL))
def options(request: pytest.FixtureRequest) -> SegmenterBlock:
    """Return each network's options in a size for tests."""
    return SMALL[str(request.param)]


def build(options: SegmenterBlock) -> Tapped:
    torch.manual_seed(0)
    return options.build(source_channels=2, target_channels=2, activation="linear")


def source_for(options: SegmenterBlock) -> Tensor:
    shortest = max(2 * options.divisor, options.minimum_patch)
    size = [length + 2 * options.margin for length in (shortest, shortest + options.divisor)]
    return torch.randn(2, 2, size[0], size[1], size[0], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [False, True])
def test_the_answer_is_that_of_the_forward_pass(options: SegmenterBlock, training: bool) -> None:
    """Also where features are dropped, and where the source is added to it."""
    for chosen in (options, options.model_copy(update={"long_residual": True})):
        source, net = source_for(chosen), build(chosen).train(training)
        kept = {name: value.clone() for name, value in net.state_dict().items()}
        torch.manual_seed(3)
        expected = net(source)
        net.load_state_dict(kept)
        torch.manual_seed(3)
        answer, features = net.tap(source, tuple(chosen.taps))
        assert answer.dtype == torch.float32
        assert torch.equal(answer, expected)
        assert features.shape[:2] == (2, sum(chosen.taps.values()))


def test_every_map_has_the_channels_that_it_says(options: SegmenterBlock) -> None:
    source, net = source_for(options), build(options).eval()
    with torch.no_grad():
        for name, width in options.taps.items():
            assert net.tap(source, (name,))[1].shape[1] == width


def test_maps_come_in_the_order_of_their_names(options: SegmenterBlock) -> None:
    source, net = source_for(options), build(options).eval()
    first, *_, last = options.taps
    with torch.no_grad():
        _, there = net.tap(source, (first, last))
        _, back = net.tap(source, (last, first))
    width = options.taps[last]
    assert torch.equal(torch.cat([back[:, width:], back[:, :width]], dim=1), there)


def test_gradients_reach_the_source_through_both(options: SegmenterBlock) -> None:
    net = build(options)
    for part in (0, 1):
        source = source_for(options).requires_grad_()
        net.tap(source, options.default_taps)[part].square().mean().backward()
        assert source.grad is not None
        assert source.grad.isfinite().all()
        assert source.grad.any()


def test_a_window_of_a_wrong_size_is_refused(options: SegmenterBlock) -> None:
    net = build(options)
    with pytest.raises(ConfigurationError, match="cannot take") as caught:
        net.tap(torch.randn(1, 2, *(options.minimum_patch + 2 * options.margin + 1,) * 3), ())
    assert caught.value.problems[0].code == "E_PATCH_SIZE"


def test_under_bf16_features_are_as_the_network_computes_them(options: SegmenterBlock) -> None:
    source, net = source_for(options), build(options).eval()
    with torch.autocast("cpu", torch.bfloat16):
        answer, features = net.tap(source, options.default_taps[:1])
    assert answer.dtype == torch.float32
    assert features.dtype == torch.bfloat16
    assert features.isfinite().all()


@pytest.mark.parametrize("name", ["unet", "residual_encoder_unet"])
def test_levels_of_a_decoder_lie_on_the_grid_of_the_finest_one_named(name: str) -> None:
    options = UNetOptions(channels=(4, 6, 8, 10), features=3, residual_units=1)
    if name != "unet":
        options = ResidualEncoderUNetOptions(channels=(3, 4, 6, 8), blocks=(1, 1, 1, 1))
    decoder = {"level_0": 3, "level_1": 4, "level_2": 6}
    assert decoder.items() <= dict(options.taps).items()
    net = build(options).eval()
    source = torch.randn(1, 2, 24, 32, 24)
    with torch.no_grad():
        levels = net.decode(source)  # type: ignore[operator]
        _, features = net.tap(source, ("level_2", "level_1"))
        assert features.shape == (1, 10, 12, 16, 12)
        assert torch.equal(features[:, :6], F.interpolate(levels[2], scale_factor=2))
        assert torch.equal(features[:, 6:], levels[1])
        _, features = net.tap(source, ("level_2", "level_0"))
        assert torch.equal(features[:, :6], F.interpolate(levels[2], scale_factor=4))
        assert torch.equal(net.tap(source, ("level_2",))[1], levels[2])


def test_by_default_a_u_net_shows_all_but_full_resolution() -> None:
    assert UNetOptions(channels=(4, 8)).default_taps == ("encoder_1", "bottom")
    coarser = ("encoder_1", "encoder_2", "encoder_3", "bottom")
    assert UNET.default_taps == ("level_1", "level_2", *coarser)
    residual = ResidualEncoderUNetOptions(channels=(4, 6, 16), blocks=(1, 1, 1))
    assert dict(residual.encoder_channels) == {"encoder_0": 4, "encoder_1": 6, "bottom": 16}
    assert residual.default_taps == ("level_1", "encoder_1", "bottom")


def test_an_encoders_maps_are_what_its_blocks_give() -> None:
    """As hooks see them, on the grid of the finest one named."""
    net = build(UNetOptions(channels=(4, 6, 8), features=3, residual_units=1)).eval()
    seen: list[Tensor] = []
    top = net.body.model  # type: ignore[union-attr]
    below = top[1].submodule  # type: ignore[index]
    for module in (top[0], below[0], below[1].submodule):  # type: ignore[index]
        module.register_forward_hook(lambda _, given, answer: seen.append(answer))
    with torch.no_grad():
        _, features = net.tap(torch.randn(1, 2, 16, 24, 16), ("encoder_1", "encoder_2", "bottom"))
    first, *others = seen
    assert torch.equal(features[:, :4], first)
    wide = torch.cat([F.interpolate(each, scale_factor=2) for each in others], dim=1)
    assert torch.equal(features[:, 4:], wide)


def test_the_papers_maps_of_deep_medic() -> None:
    """Both pathways of layers 4, 6 and 8, and the first hidden layer: 80 + 80 + 100 + 150."""
    assert DEEP_MEDIC.default_taps == ("layer_4", "layer_6", "layer_8", "hidden_1")
    assert [DEEP_MEDIC.taps[name] for name in DEEP_MEDIC.default_taps] == [80, 80, 100, 150]
    assert list(DEEP_MEDIC.taps) == [*(f"layer_{n}" for n in range(1, 9)), "hidden_1", "hidden_2"]
    assert DeepMedicOptions(subsampling=(3, 5)).taps["layer_8"] == 150
    assert DeepMedicOptions(channels=(4,) * 5).default_taps == ("layer_4", "hidden_1")


@pytest.mark.parametrize("residual", [False, True])
def test_layers_of_all_pathways_are_cropped_to_the_answers_grid(residual: bool) -> None:
    """As hooks on the rectifiers see them: the centre, each coarse voxel three times."""
    options = DeepMedicOptions(**NARROW, residual=residual)
    net = build(options).eval()
    known: dict[str, Tensor] = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.PReLU):
            module.register_forward_hook(
                lambda _, given, answer, name=name: known.update({name: answer})
            )
    source = torch.randn(1, 2, 57, 60, 57)
    with torch.no_grad():
        for number in range(1, 9):
            _, features = net.tap(source, (f"layer_{number}",))
            width, cut = NARROW["channels"][number - 1], 8 - number
            fine, coarse = (known[f"pathways.{p}.layers.{number - 1}.activation"] for p in (0, 1))
            inner = (..., *(slice(cut, cut + length) for length in (9, 12, 9)))
            assert torch.equal(features[:, :width], fine[inner])
            for x, y, z in ((0, 0, 0), (4, 7, 2), (8, 11, 8)):
                voxel = coarse[0, :, cut + x // 3, cut + y // 3, cut + z // 3]
                assert torch.equal(features[0, width:, x, y, z], voxel)
        answer, features = net.tap(source, ("hidden_2", "hidden_1"))
    assert torch.equal(features[:, :8], known["hidden.1.activation"])
    assert torch.equal(features[:, 8:], known["hidden.0.activation"])
    assert torch.equal(net.head(features[:, :8]), answer)  # type: ignore[operator]


@pytest.mark.parametrize("factor", [1, 2, 3, 5, 13])
def test_repeating_is_the_nearest_neighbour(factor: int) -> None:
    features = torch.randn(2, 3, 4, 1, 5)
    found = repeated(features, factor)
    assert found.shape == (2, 3, 4 * factor, factor, 5 * factor)
    expected = features
    for axis in (2, 3, 4):
        expected = expected.repeat_interleave(factor, dim=axis)
    assert torch.equal(found, expected)


def test_unknown_maps_are_told_the_known_ones() -> None:
    for network in (DEEP_MEDIC, UNET):
        network.check_taps(tuple(network.taps))
        network.check_taps(network.default_taps)
    with pytest.raises(ConfigurationError) as caught:
        UNET.check_taps(("level_0", "layer_4", "level_3", "level_0"))
    assert [problem.code for problem in caught.value.problems] == ["E_TAPS"] * 3
    messages = [problem.message for problem in caught.value.problems]
    assert messages == [
        "unet has no map 'layer_4'",
        "unet has no map 'level_3'",
        "the map 'level_0' is named twice",
    ]
    advice = "known here: level_0, level_1, level_2, encoder_1, encoder_2, encoder_3, bottom"
    assert caught.value.problems[0].advice == advice
