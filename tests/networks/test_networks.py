"""What holds for every network."""

from typing import Any

import pytest
import torch
from parameters import model_params
from torch import nn
from torch.nn import functional

from facegan.networks import ARCHITECTURES, build_discriminator, build_generator, initialise
from facegan.networks.stylegan2 import ModulatedConv2d, minibatch_deviation
from facegan.networks.stylegan2 import initialise as initialise_style
from facegan.params import ModelParams
from facegan.sizes import Size, height_and_width

SYSTEMS: list[dict[str, Any]] = [
    *({"network": name} for name in ARCHITECTURES),
    *({"generator": {"upsample": upsample}} for upsample in ("resize", "blur")),
    {"network": "dense", "generator": {"norm": "none"}, "discriminator": {"norm": "spectral"}},
    {"network": "resnet", "generator": {"upsample": "blur", "norm": "none"}, "discriminator": {"norm": "none"}},
]


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
@pytest.mark.parametrize("size", [32, 64, 256, 40, 96, 112, (48, 32), (64, 80), (128, 96)], ids=str)
def test_latents_become_pictures_and_pictures_logits(system: dict[str, Any], size: Size) -> None:
    model = model_params(channels=1 if size == 256 else 2, **system)
    generator, discriminator = build_generator(model, size), build_discriminator(model, size)
    initialise(generator, model, 1, "generator")
    initialise(discriminator, model, 1, "discriminator")
    with torch.no_grad():
        pictures = generator(torch.randn(3, 8))
        assert pictures.shape == (3, 3, *height_and_width(size))
        assert pictures.isfinite().all()
        logits = discriminator(pictures)
    assert logits.shape == (3,)
    assert logits.isfinite().all()


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_starting_weights_are_a_function_of_seed_and_purpose_alone(system: dict[str, Any]) -> None:
    model = model_params(**system)
    for build in (build_generator, build_discriminator):
        drawn = []
        for seed, purpose in ((1, "a"), (1, "a"), (2, "a"), (1, "b")):
            torch.manual_seed(len(drawn))
            network = build(model, 32)
            initialise(network, model, seed, purpose)
            drawn.append(network.state_dict())
            assert all(value.isfinite().all() for value in drawn[-1].values())
        assert all(torch.equal(value, drawn[1][name]) for name, value in drawn[0].items())
        for other in drawn[2:]:
            assert any(not torch.equal(value, other[name]) for name, value in drawn[0].items())


@pytest.mark.parametrize("network", ARCHITECTURES)
def test_every_weight_is_reached_by_a_gradient(network: str) -> None:
    model = model_params(network)
    generator, discriminator = build_generator(model, 32), build_discriminator(model, 32)
    for player in (generator, discriminator):
        initialise(player, model, 1, "start")
        for name, parameter in player.named_parameters():  # what starts at zero hides what is behind it
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
            assert parameter.requires_grad, name
    discriminator(generator(torch.randn(4, 8))).square().sum().backward()
    for player in (generator, discriminator):
        for name, parameter in player.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize("network", ["resnet", "stylegan2", "r3gan"])
def test_activations_start_at_about_unit_scale(network: str) -> None:
    model = model_params(network, latent=64, channels=32)
    generator = build_generator(model, 64)
    initialise(generator, model, 1, "generator")
    with torch.no_grad():
        assert 0.1 < generator(torch.randn(16, 64)).std() < 4


@pytest.mark.parametrize("network", ["resnet", "stylegan2", "r3gan"])
def test_discriminators_judge_each_picture_alone(network: str) -> None:
    """But StyleGAN2's, within a group of four."""
    model = model_params(network)
    discriminator = build_discriminator(model, 32)
    initialise(discriminator, model, 1, "discriminator")
    pictures = torch.rand(8, 3, 32, 32)
    discriminator.eval()
    with torch.no_grad():
        together, changed = discriminator(pictures), pictures.clone()
        changed[0] = -changed[0]
        moved = (discriminator(changed) - together).abs() > 1e-5
    # Picture i of n is in group i mod (n / 4).
    expected = [0, 2, 4, 6] if network == "stylegan2" else [0]
    assert moved.nonzero().flatten().tolist() == expected


def test_the_small_r3gan_has_about_its_published_size() -> None:
    wide = {"max_channels": 256}
    model = model_params("r3gan", latent=64, channels=64, generator=wide, discriminator=wide)
    for build in (build_generator, build_discriminator):
        assert count(build(model, 64)) == pytest.approx(1.2e6, rel=0.05)


@pytest.mark.parametrize("up", [False, True])
def test_demodulation_is_a_kernel_of_its_own_for_each_picture(up: bool) -> None:
    layer = ModulatedConv2d(6, 5, 3, style=4, up=up).double()
    initialise_style(layer, torch.Generator().manual_seed(1))
    features, w = torch.randn(3, 6, 8, 8, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    with torch.no_grad():
        # The naive form of section 2.2: modulate and normalise a kernel for each picture, convolve in groups.
        kernels = (layer.weight / 54**0.5)[None] * layer.style(w)[:, None, :, None, None]
        kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        if up:
            expected = torch.cat(
                [
                    functional.conv_transpose2d(picture[None], kernel.transpose(0, 1), stride=2)
                    for picture, kernel in zip(features, kernels, strict=True)
                ]
            )
            assert layer.blur is not None
            expected = layer.blur(expected)
        else:
            grouped = functional.conv2d(features.view(1, -1, 8, 8), kernels.view(15, 6, 3, 3), padding=1, groups=3)
            expected = grouped.view(3, 5, 8, 8)
        torch.testing.assert_close(layer(features, w), expected, rtol=1e-6, atol=1e-8)


def test_minibatch_deviation_is_the_mean_over_a_group() -> None:
    features = torch.randn(8, 3, 2, 2)
    extended = minibatch_deviation(features)
    assert torch.equal(extended[:, :3], features)
    for group in (0, 1):
        members = features[group::2]
        expected = members.std(0, correction=0).mean()
        torch.testing.assert_close(extended[group::2, 3], expected.expand(4, 2, 2))
    assert minibatch_deviation(torch.randn(7, 3, 2, 2)).shape == (7, 4, 2, 2)


def test_noise_is_one_picture_in_eval_mode_and_drawn_in_training() -> None:
    model = model_params("stylegan2")
    generator = build_generator(model, 32)
    initialise(generator, model, 1, "generator")
    for name, parameter in generator.named_parameters():
        if name.endswith("strength"):
            nn.init.ones_(parameter)
    latent = torch.randn(2, 8)
    with torch.no_grad():
        assert not torch.equal(generator(latent), generator(latent))
        generator.eval()
        assert torch.equal(generator(latent), generator(latent))


def test_parts_that_do_not_fit_a_network_are_refused_with_what_does() -> None:
    for network, player, change, words in (
        (
            "resnet",
            "generator",
            {"upsample": "transposed"},
            "upsample: 'transposed'.*'resize' or 'blur'",
        ),
        ("r3gan", "discriminator", {"norm": "batch"}, "model.discriminator.norm: 'batch'.*'none'"),
        ("stylegan2", "generator", {"norm": "batch"}, "model.generator.norm"),
        ("conv", "discriminator", {"norm": "spectral", "first_norm": True}, "first_norm"),
    ):
        with pytest.raises(ValueError, match=words):
            model_params(network, **{player: change})
    assert isinstance(model_params("stylegan2"), ModelParams)
