"""CycleGAN against its paper, written out by hand, and the anchors of its polarity."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from medgen.losses import mutual_information_loss, normalised_gradient_loss
from medgen.method import Answer, Clock, Setting
from medgen.methods.cycle_gan import STRUCTURES, CycleGAN
from medgen.networks import (
    ContextFCNOptions,
    PatchDiscriminatorOptions,
    Pix2PixUNetOptions,
    ResNetGeneratorOptions,
    UNetOptions,
)
from medgen.problems import ConfigurationError

CLOCK = Clock(0, "", 0.0, 0.0)
GENERATOR = UNetOptions(channels=(4, 8), features=4, residual_units=1)
DISCRIMINATOR = PatchDiscriminatorOptions(channels=4, layers=1)
ONE = Setting(1, 1, "tanh", source_head="tanh")
Descent = type[Any]


class Linear(nn.Module):
    """A generator of two numbers: scale times the image, plus a shift."""

    def __init__(self, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.scale, self.shift = (nn.Parameter(torch.tensor(v)) for v in (scale, shift))
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image.detach())
        answer: Tensor = self.scale * image + self.shift
        return answer


class Judge(nn.Module):
    """A discriminator of one number: each voxel's logit is its value, weighed."""

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.seen: list[Tensor] = []

    def forward(self, source: Tensor, image: Tensor) -> Tensor:
        assert source.shape == (len(image), 0, *image.shape[2:]), "it judges images alone"
        self.seen.append(image.detach().clone())
        logits: Tensor = self.weight * image
        return logits

    def judge(self, source: Tensor, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return self(source, real), self(source, fake)


def build(setting: Setting = ONE, **options: Any) -> CycleGAN:
    torch.manual_seed(0)
    chosen = {"generator": GENERATOR, "discriminator": DISCRIMINATOR, **options}
    return CycleGAN(setting, **chosen)


def stubbed(forward: Linear, backward: Linear, setting: Setting = ONE, **options: Any) -> CycleGAN:
    """Return the method with players of a few numbers, so that it can be followed by hand."""
    method = build(setting, **options)
    method.generators["to_target"], method.generators["to_source"] = forward, backward
    method.discriminators["target"], method.discriminators["source"] = Judge(0.5), Judge(-0.7)
    return method


def random_batch(seed: int = 0, voxels: int = 12, **channels: int) -> dict[str, Tensor]:
    """Return two unpaired images of each domain, and bodies of about half their voxels."""
    generator = torch.Generator().manual_seed(seed)
    batch = {}
    for domain in ("source", "target"):
        shape = (2, channels.get(domain, 1), *(voxels,) * 3)
        batch[domain] = torch.rand(shape, generator=generator) * 2 - 1
        body = torch.rand((2, 1, *shape[2:]), generator=generator) < 0.5
        batch[f"{domain}_body"] = body.float()
    return batch


def with_background(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch whose images hold -1 outside their bodies, as real ones do."""
    images = {d: torch.where(batch[f"{d}_body"] > 0, batch[d], -1.0) for d in ("source", "target")}
    return {**batch, **images}


def expected_losses(batch: dict[str, Tensor], f: Any, b: Any, weights: Any) -> dict[str, float]:
    """Write the objective out: f and b generate, as pairs of numbers; backgrounds are -1."""
    x, y = batch["source"], batch["target"]
    inside_x, inside_y = batch["source_body"] > 0, batch["target_body"] > 0

    def to_target(image: Tensor) -> Tensor:
        return f[0] * image + f[1]

    def to_source(image: Tensor) -> Tensor:
        return b[0] * image + b[1]

    def in_body(first: Tensor, second: Tensor, inside: Tensor) -> Tensor:
        return (first - second).abs()[inside].mean()

    fake_y, fake_x = to_target(x), to_source(y)
    shown = {
        "x": torch.where(inside_x, x, -1.0),
        "y": torch.where(inside_y, y, -1.0),
        "fake_y": torch.where(inside_x, fake_y, -1.0),
        "fake_x": torch.where(inside_y, fake_x, -1.0),
    }
    of_target, of_source = weights

    def told(weight: float, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (((weight * real - 1) ** 2).mean() + ((weight * fake) ** 2).mean())

    losses = {
        "adversarial": ((of_target * shown["fake_y"] - 1) ** 2).mean()
        + ((of_source * shown["fake_x"] - 1) ** 2).mean(),
        "cycle": in_body(to_source(fake_y), x, inside_x) + in_body(to_target(fake_x), y, inside_y),
        "identity": in_body(to_target(y), y, inside_y) + in_body(to_source(x), x, inside_x),
        "background": (fake_y + 1).abs()[~inside_x].mean() + (fake_x + 1).abs()[~inside_y].mean(),
        "discriminator": told(of_target, shown["y"], shown["fake_y"])
        + told(of_source, shown["x"], shown["fake_x"]),
    }
    return {name: loss.item() for name, loss in losses.items()}


def test_the_losses_and_their_weights_are_those_written_out_by_hand(descent: Descent) -> None:
    method = stubbed(Linear(0.6, 0.1), Linear(-0.8, 0.2), lambda_background=3.0)
    batch, minimize = random_batch(), descent(method)
    losses = method.train_step(batch, minimize, CLOCK)
    expected = expected_losses(batch, (0.6, 0.1), (-0.8, 0.2), (0.5, -0.7))
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-5)
    total = (
        expected["adversarial"]
        + 10.0 * expected["cycle"]
        + 5.0 * expected["identity"]
        + 3.0 * expected["background"]
    )
    # The generators move first, all of them by one loss; then the discriminators.
    assert [player for player, _ in minimize.log] == ["generators", "discriminators"]
    values = [value for _, value in minimize.log]
    assert values == pytest.approx([total, expected["discriminator"]], rel=1e-5)


def test_the_generators_fool_discriminators_that_have_not_moved_and_those_judge_the_same_fakes(
    descent: Descent,
) -> None:
    method = stubbed(Linear(0.6), Linear(0.8))
    batch = random_batch()
    method.train_step(batch, descent(method), CLOCK)
    generators = list(method.generators.values())
    assert [len(one.seen) for one in generators] == [3, 3], "no fake is generated twice"
    for judge in method.discriminators.values():
        fooled, _, told = judge.seen
        assert torch.equal(fooled, told)


def test_generators_that_keep_images_as_they_are_pay_no_term_but_the_adversarial(
    descent: Descent,
) -> None:
    method = stubbed(Linear(), Linear())
    losses = method.train_step(with_background(random_batch()), descent(method), CLOCK)
    assert [losses[name].item() for name in ("cycle", "identity", "background")] == [0, 0, 0]


def test_inverting_generators_are_a_perfect_cycle_that_pays_by_the_anchors(
    descent: Descent,
) -> None:
    """The most common complaint about CycleGAN: the paper's other terms cannot see it."""
    method = stubbed(Linear(-1.0), Linear(-1.0), lambda_structure=1.0)
    upright = stubbed(Linear(), Linear(), lambda_structure=1.0)
    batch = with_background(random_batch())
    losses = method.train_step(batch, descent(method), CLOCK)
    right = upright.train_step(batch, descent(upright), CLOCK)
    assert losses["cycle"] == 0
    torch.testing.assert_close(losses["structure"], right["structure"])
    assert losses["background"].item() == pytest.approx(2.0 + 2.0)
    size = sum(batch[d].abs()[batch[f"{d}_body"] > 0].mean().item() for d in ("source", "target"))
    assert losses["identity"].item() == pytest.approx(2 * size, rel=1e-5)


@pytest.mark.parametrize("anchor", ["identity", "background"])
def test_each_anchor_alone_turns_inverting_generators(anchor: str, descent: Descent) -> None:
    """From -1 the scales of both generators are driven up by it."""
    weights = {"lambda_identity": 0.0, "lambda_background": 0.0, "lambda_cycle": 1.0}
    method = stubbed(Linear(-1.0), Linear(-1.0), **{**weights, f"lambda_{anchor}": 20.0})
    for judge in method.discriminators.values():
        nn.init.zeros_(judge.weight)
    minimize = descent(method)
    method.train_step(with_background(random_batch()), minimize, CLOCK)
    of_scales = minimize.gradients["generators"][::2]
    assert all(gradient < 0 for gradient in of_scales)


def test_an_answer_that_is_the_background_outside_the_body_has_no_background_term(
    descent: Descent,
) -> None:
    """Each domain's own: here 0.25 where the target has no body, -1 in the source."""
    setting = Setting(
        1, 1, "linear", source_background=(-1.0,), target_background=(0.25,), source_head="tanh"
    )
    batch = with_background(random_batch())
    batch["target"] = torch.where(batch["target_body"] > 0, batch["target"], 0.25)
    method = stubbed(Linear(1.0, 1.25), Linear(1.0, -1.25), setting)
    losses = method.train_step(batch, descent(method), CLOCK)
    assert losses["background"].item() == pytest.approx(0.0, abs=1e-6)
    for domain, level in (("target", 0.25), ("source", -1.0)):
        other = "source" if domain == "target" else "target"
        fooled, real, fake = method.discriminators[domain].seen
        for image, body in ((fooled, other), (real, domain), (fake, other)):
            assert (image[batch[f"{body}_body"] == 0] == level).all()


def test_nothing_outside_the_bodies_reaches_a_discriminator_or_the_cycle(descent: Descent) -> None:
    batch = random_batch()
    wild = {
        **batch,
        **{d: torch.where(batch[f"{d}_body"] > 0, batch[d], 50.0) for d in ("source", "target")},
    }
    trained = []
    for each in (batch, wild):
        method = stubbed(Linear(0.6, 0.1), Linear(-0.8, 0.2))
        losses = method.train_step(each, descent(method), CLOCK)
        names = ("adversarial", "cycle", "identity", "discriminator")
        trained.append([losses[name].detach() for name in names])
        trained[-1] += [judge.weight.detach() for judge in method.discriminators.values()]
    for one, other in zip(*trained, strict=True):
        torch.testing.assert_close(one, other)


def test_where_bodies_fill_the_patch_or_are_absent_nothing_breaks(descent: Descent) -> None:
    for level in (0.0, 1.0):
        method, batch = build(), random_batch()
        batch |= {f"{d}_body": torch.full_like(batch[d], level) for d in ("source", "target")}
        losses = method.train_step(batch, descent(method), CLOCK)
        assert (losses["background"] == 0) == (level == 1)
        assert (losses["cycle"] == 0) == (level == 0)
        assert all(parameter.isfinite().all() for parameter in method.parameters())


def test_without_the_background_term_no_bodies_are_read(descent: Descent) -> None:
    method = stubbed(Linear(0.6), Linear(0.8), lambda_background=0.0)
    assert method.reads == (frozenset({"source"}), frozenset({"target"}))
    batch = {key: value for key, value in random_batch().items() if "body" not in key}
    losses = method.train_step(batch, descent(method), CLOCK)
    assert "background" not in losses
    everywhere = (0.48 * batch["source"] - batch["source"]).abs().mean() + (
        0.48 * batch["target"] - batch["target"]
    ).abs().mean()
    torch.testing.assert_close(losses["cycle"].detach(), everywhere)
    fooled, real, _ = method.discriminators["target"].seen
    assert torch.equal(real, batch["target"])
    torch.testing.assert_close(fooled, 0.6 * batch["source"])


def test_each_domain_is_read_by_itself_and_no_answer_is_paired() -> None:
    method = build()
    assert method.reads == (
        frozenset({"source", "source_body"}),
        frozenset({"target", "target_body"}),
    )
    assert dict(method.answers) == {
        "forward": Answer("image", "source", "target"),
        "backward": Answer("image", "target", "source"),
    }
    assert next(iter(method.answers)) == "forward"
    assert not any(method.pairs(answer) for answer in method.answers.values())


def test_each_direction_has_its_generator() -> None:
    method, image = stubbed(Linear(2.0), Linear(3.0)), torch.ones(1, 1, 8, 8, 8)
    assert (method.infer(image) == 2).all()
    assert (method.infer(image, "forward") == 2).all()
    assert (method.infer(image, "backward") == 3).all()
    with pytest.raises(ValueError, match="sideways"):
        method.infer(image, "sideways")


@pytest.mark.parametrize("lambda_background", [0.0, 10.0])
def test_domains_of_unequal_channels_can_be_carried_without_identity(
    lambda_background: float, descent: Descent
) -> None:
    setting = Setting(2, 1, "tanh", source_background=(-1.0, 0.5))
    method = build(
        setting, lambda_identity=0.0, lambda_background=lambda_background, lambda_structure=1.0
    )
    batch = random_batch(source=2)
    losses = method.train_step(batch, descent(method), CLOCK)
    assert "identity" not in losses
    assert all(loss.isfinite() for loss in losses.values())
    assert method.infer(batch["source"]).shape[1] == 1
    assert method.infer(batch["target"], "backward").shape[1] == 2


def test_identity_is_refused_where_the_channels_differ() -> None:
    with pytest.raises(ConfigurationError, match=r"E_IDENTITY_CHANNELS.*\b2\b.*\b1\b"):
        build(Setting(2, 1, "tanh"))


def test_a_generator_with_a_margin_cannot_go_in_a_circle() -> None:
    with pytest.raises(ConfigurationError, match="E_CYCLE_MARGIN"):
        build(generator=ContextFCNOptions(channels=2))


@pytest.mark.parametrize(
    ("structure", "loss"),
    [
        ("normalised_gradients", normalised_gradient_loss),
        ("mutual_information", mutual_information_loss),
    ],
)
def test_structure_is_kept_by_the_loss_of_that_name(
    structure: Any, loss: Callable[..., Tensor], descent: Descent
) -> None:
    method = stubbed(Linear(0.6), Linear(0.8), structure=structure, lambda_structure=4.0)
    batch, minimize = random_batch(), descent(method)
    losses = method.train_step(batch, minimize, CLOCK)
    expected = loss(batch["source"], 0.6 * batch["source"], batch["source_body"]) + loss(
        batch["target"], 0.8 * batch["target"], batch["target_body"]
    )
    torch.testing.assert_close(losses["structure"].detach(), expected)
    terms = [(1, "adversarial"), (10, "cycle"), (5, "identity"), (10, "background")]
    total = sum(weight * losses[name].item() for weight, name in [*terms, (4, "structure")])
    assert minimize.log[0][1] == pytest.approx(total, rel=1e-5)


def test_terms_without_a_weight_cost_nothing(
    monkeypatch: pytest.MonkeyPatch, descent: Descent
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("computed in vain")

    monkeypatch.setattr("medgen.methods.cycle_gan.l1_loss", never)
    monkeypatch.setitem(STRUCTURES, "normalised_gradients", never)
    forward, backward = Linear(0.6), Linear(0.8)
    method = stubbed(forward, backward, lambda_cycle=0.0, lambda_background=0.0)
    losses = method.train_step(random_batch(), descent(method), CLOCK)
    assert set(losses) == {"discriminator", "adversarial"}
    assert len(forward.seen) == len(backward.seen) == 1


@pytest.mark.parametrize("adversarial", ["least_squares", "bce", "hinge"])
def test_every_kind_of_loss_steps(adversarial: Any, descent: Descent) -> None:
    method = build(adversarial=adversarial)
    losses = method.train_step(random_batch(), descent(method, rate=1e-3), CLOCK)
    assert all(loss.isfinite() for loss in losses.values())


def test_past_fakes_are_shown_to_the_discriminators_only(
    monkeypatch: pytest.MonkeyPatch, descent: Descent
) -> None:
    """Each domain keeps its own, and what it keeps was masked already."""
    method = stubbed(Linear(0.6), Linear(0.8), pool=2)
    batches = [random_batch(seed) for seed in range(2)]
    first = method.train_step(batches[0], descent(method), CLOCK)
    for domain, other, scale in (("target", "source", 0.6), ("source", "target", 0.8)):
        inside = batches[0][f"{other}_body"] > 0
        fake = torch.where(inside, scale * batches[0][other], -1.0)
        torch.testing.assert_close(method.pools[domain].images, fake)
    kept = {domain: pool.images.clone() for domain, pool in method.pools.items()}
    monkeypatch.setattr(torch, "rand", lambda *_: torch.tensor(0.75))
    off = stubbed(Linear(0.6), Linear(0.8), pool=0)
    off.load_state_dict(
        {n: t for n, t in method.state_dict().items() if "pool" not in n}, strict=False
    )
    for one in (method, off):
        for judge in one.discriminators.values():
            judge.seen.clear()
    with_pool = method.train_step(batches[1], descent(method), CLOCK)
    without = off.train_step(batches[1], descent(off), CLOCK)
    assert first.keys() == with_pool.keys()
    assert {n for n in without if with_pool[n] != without[n]} == {"discriminator"}
    for domain, judge in method.discriminators.items():
        fooled, _, told = judge.seen
        assert torch.equal(fooled, off.discriminators[domain].seen[0])
        assert not torch.equal(told, fooled)
        old_or_new = torch.cat([kept[domain], fooled])
        assert all(any(torch.equal(one, other) for other in old_or_new) for one in told)
    assert torch.equal(method.generators["to_target"].scale, off.generators["to_target"].scale)


def steps(method: CycleGAN, numbers: range, make: Descent) -> None:
    """Train as the loop does: chance is a function of the step."""
    for step in numbers:
        torch.manual_seed(step)
        method.train_step(random_batch(step), make(method, rate=1e-3), CLOCK)


@pytest.mark.parametrize("stop", [1, 3])
def test_resuming_with_a_part_filled_and_a_full_pool_equals_never_stopping(
    stop: int, descent: Descent
) -> None:
    method = build(pool=5)
    steps(method, range(stop), descent)
    assert len(method.pools["source"].images) == min(2 * stop, 5)
    resumed = build(pool=5)
    resumed.load_state_dict({name: t.clone() for name, t in method.state_dict().items()})
    for one in (method, resumed):
        steps(one, range(stop, stop + 3), descent)
    assert method.state_dict().keys() == resumed.state_dict().keys()
    for name, tensor in method.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_pools_are_no_part_of_what_is_exported() -> None:
    method = build()
    assert method.answering == {"generators"}
    assert not any("pool" in name for name in method.generators.state_dict())
    assert {name for name in method.state_dict() if "pool" in name} == {
        "pools.source.images",
        "pools.target.images",
    }


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(
    "generator", [GENERATOR, ResNetGeneratorOptions(channels=2, blocks=1, kernel=3)]
)
def test_checkpointing_changes_no_bit(generator: Any, bf16: bool, descent: Descent) -> None:
    trained = []
    for checkpointing in (False, True):
        method = build(generator=generator, checkpointing=checkpointing)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16, cache_enabled=False):
            losses = method.train_step(random_batch(), descent(method, rate=1e-3), CLOCK)
        trained.append([*losses.values(), *method.state_dict().values()])
    assert all(torch.equal(one, other) for one, other in zip(*trained, strict=True))


def test_fakes_are_kept_in_float32_whatever_the_networks_compute_in(descent: Descent) -> None:
    """A resumed pool is float32: one that was not would make the resumed training another."""
    for weight in (0.0, 10.0):
        method = build(lambda_background=weight)
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            method.train_step(random_batch(), descent(method), CLOCK)
        assert all(pool.images.dtype == torch.float32 for pool in method.pools.values())


def test_the_papers_optimizers() -> None:
    specs = build().optimizers()
    assert {(s.name, s.learning_rate, s.betas) for s in specs.values()} == {
        ("adam", 2e-4, (0.5, 0.999))
    }


def test_the_nets_decide_the_sizes(descent: Descent) -> None:
    method = build()
    assert (method.divisor, method.margin, method.minimum_patch) == (2, 0, 10)
    with pytest.raises(ConfigurationError, match="patch_discriminator cannot take"):
        method.train_step(random_batch(voxels=8), descent(method), CLOCK)


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ("generator", {"name": "unet", "channels": [4, 8]}, {"name": "resnet"}),
        ("generator", {"blocks": 3}, {"blocks": -1}),
        ("discriminator", {"layers": 2}, {"layers": 0}),
        ("adversarial", "hinge", "wasserstein"),
        ("lambda_cycle", 10, -1),
        ("lambda_identity", 0.5, "much"),
        ("lambda_background", 0, -1),
        ("structure", "mutual_information", "shape"),
        ("lambda_structure", 1e-4, -1),
        ("pool", 0, -1),
        ("checkpointing", True, "perhaps"),
    ],
)
def test_options_are_typed_for_the_configuration(option: str, good: Any, bad: Any) -> None:
    hints = get_type_hints(CycleGAN.__init__, include_extras=True)
    adapter: TypeAdapter[Any] = TypeAdapter(hints[option])
    adapter.validate_python(good)
    with pytest.raises(ValidationError):
        adapter.validate_python(bad)


def test_options_are_keywords_with_the_papers_defaults() -> None:
    parameters = inspect.signature(CycleGAN.__init__).parameters
    options = list(parameters.values())[2:]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in options)
    papers = {
        "adversarial": "least_squares",
        "lambda_cycle": 10.0,
        "lambda_identity": 0.5,
        "lambda_structure": 0.0,
        "pool": 50,
        "checkpointing": False,
    }
    assert {name: parameters[name].default for name in papers} == papers
    assert parameters["generator"].default.name == "resnet_generator"


def test_a_generator_with_batch_norm_is_refused() -> None:
    """Its statistics would be of both domains and the fakes, and of twice the checkpointed ones."""
    batch_normed = Pix2PixUNetOptions(channels=4, levels=3)
    with pytest.raises(ConfigurationError, match="E_CYCLE_NORM"):
        CycleGAN(ONE, generator=batch_normed, discriminator=DISCRIMINATOR)
    instance = batch_normed.model_copy(update={"norm": "instance"})
    CycleGAN(ONE, generator=instance, discriminator=DISCRIMINATOR)
