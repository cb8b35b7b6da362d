"""Law 3: infer keeps the grid, is fresh, leaves no trace, and depends on its source alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

SIZES = [(16, 16, 16), (16, 24, 8)]


def source_of(
    game: Any, name: str | None = None, size: tuple[int, int, int] = (16, 16, 16), batch: int = 2
) -> Tensor:
    """Make what goes into an answer, into the method's first where no name is given."""
    method = game.method
    answer = method.answers[name or next(iter(method.answers))]
    shape = method.window or [n + 2 * method.margin for n in size]
    channels = {"source": game.setting.source_channels, "target": game.setting.target_channels}
    channels["source"] += 3 if method.located else 0
    generator = torch.Generator().manual_seed(3)
    return torch.randn(batch, channels[answer.source], *shape, generator=generator)


@pytest.fixture
def trained(game: Any) -> Any:
    """Return a game after a step, ready to answer as a converter would ask."""
    game.play(game.batch())
    game.method.eval()
    return game


@pytest.mark.parametrize("size", SIZES)
def test_it_keeps_the_grid_less_the_margin(trained: Any, size: tuple[int, int, int]) -> None:
    method = trained.method
    for name in method.answers:
        source = source_of(trained, name, size)
        grid = [n - 2 * method.margin for n in source.shape[2:]]
        assert all(n % method.divisor == 0 for n in grid), "the law's sizes suit the divisor"
        with torch.no_grad():
            answer = method.infer(source, name)
        assert list(answer.shape[2:]) == grid
        assert answer.shape[0] == source.shape[0]
        assert answer.dtype == torch.float32
        assert answer.isfinite().all()


def test_an_image_has_the_targets_channels(trained: Any) -> None:
    setting = trained.setting
    channels = {"source": setting.source_channels, "target": setting.target_channels}
    heads = {"source": setting.source_head, "target": setting.head}
    for name, answer in trained.method.answers.items():
        if answer.kind == "image":
            with torch.no_grad():
                image = trained.method.infer(source_of(trained, name), name)
            assert image.shape[1] == channels[answer.target]
            if heads[answer.target] == "tanh":
                assert image.abs().max() <= 1


def test_an_anomaly_has_a_residual_per_channel_and_a_score(trained: Any) -> None:
    for name, answer in trained.method.answers.items():
        if answer.kind == "anomaly":
            with torch.no_grad():
                found = trained.method.infer(source_of(trained, name), name)
            assert found.shape[1] == trained.setting.source_channels + 1
            score = found[:, -1].flatten(1)
            assert (score >= 0).all()
            assert torch.equal(score, score[:, :1].expand_as(score)), "one score for a window"


def test_forward_is_the_default(trained: Any) -> None:
    if "forward" in trained.method.answers:
        source = source_of(trained)
        with torch.no_grad():
            assert torch.equal(
                trained.method.infer(source), trained.method.infer(source, "forward")
            )


def test_an_unknown_answer_is_refused(trained: Any) -> None:
    with pytest.raises(ValueError, match="backwards"):
        trained.method.infer(source_of(trained), "backwards")


def test_it_returns_a_fresh_tensor(trained: Any) -> None:
    """The converter may write into what it gets; MONAI's does."""
    method = trained.method
    for name in method.answers:
        source = source_of(trained, name)
        kept = source.clone()
        with torch.no_grad():
            first = method.infer(source, name)
            expected = first.clone()
            owned = [source, *method.state_dict().values()]
            assert first.untyped_storage().data_ptr() not in {
                t.untyped_storage().data_ptr() for t in owned
            }
            first.zero_()
            assert torch.equal(method.infer(source, name), expected)
        assert torch.equal(source, kept)


def test_it_leaves_no_trace(trained: Any) -> None:
    method = trained.method
    method.zero_grad()
    state = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    modes = {name: module.training for name, module in method.named_modules()}
    attributes = {name: set(vars(module)) for name, module in method.named_modules()}
    random = torch.get_rng_state()
    for name in method.answers:
        with torch.no_grad():
            method.infer(source_of(trained, name), name)
    assert all(torch.equal(tensor, state[name]) for name, tensor in method.state_dict().items())
    assert {name: module.training for name, module in method.named_modules()} == modes
    assert {name: set(vars(module)) for name, module in method.named_modules()} == attributes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in method.parameters())


def test_it_does_not_depend_on_chance(trained: Any) -> None:
    for name in trained.method.answers:
        answers = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            with torch.no_grad():
                answers.append(trained.method.infer(source_of(trained, name), name))
        assert torch.equal(*answers)


def test_it_does_not_depend_on_its_neighbours_in_the_batch(trained: Any) -> None:
    for name in trained.method.answers:
        source = source_of(trained, name)
        with torch.no_grad():
            together = trained.method.infer(source, name)
            alone = torch.cat([trained.method.infer(one[None], name) for one in source])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_it_does_not_depend_on_the_memory_layout(trained: Any) -> None:
    for name in trained.method.answers:
        source = source_of(trained, name)
        with torch.no_grad():
            plain = trained.method.infer(source, name)
            laid_out = source.contiguous(memory_format=torch.channels_last_3d)
            other = trained.method.infer(laid_out, name)
        torch.testing.assert_close(plain, other, rtol=1e-4, atol=1e-5)


def test_it_does_not_depend_on_players_that_stay_at_home(trained: Any) -> None:
    """What `answering` leaves out is not exported: the answer must not need it."""
    method = trained.method
    players = method.players()
    for name in method.answers:
        source = source_of(trained, name)
        with torch.no_grad():
            expected = method.infer(source, name)
            for player in players.keys() - method.answering:
                for parameter in players[player].parameters():
                    parameter.fill_(float("nan"))
            assert torch.equal(method.infer(source, name), expected)


def test_the_answer_is_float32_under_bf16(trained: Any) -> None:
    for name in trained.method.answers:
        with torch.no_grad():
            exact = trained.method.infer(source_of(trained, name), name)
            with torch.autocast("cpu", torch.bfloat16):
                quick = trained.method.infer(source_of(trained, name), name)
        assert quick.dtype == torch.float32
        assert quick.isfinite().all()
        assert (quick - exact).abs().mean() < 0.05 * exact.std() + 0.05
