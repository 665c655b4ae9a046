"""Networks that know labels: the labels decide, the unknown is a class, and projection and norm are what they say."""

import pytest
import torch
from parameters import PUBLISHED, model_params
from torch.nn import functional

from facegan.networks import build_discriminator, build_generator, initialise
from facegan.networks.blocks import ConditionalBatchNorm2d
from facegan.networks.conditional import EMBEDDING, LabelEmbedding

CLASSES = (3, 2)
LABELS = torch.tensor([[0, 1], [2, 0], [-1, 1], [1, -1], [-1, -1]])


@pytest.mark.parametrize("network", PUBLISHED)
def test_both_networks_of_every_kind_listen_to_labels(network: str) -> None:
    batch = PUBLISHED[network].get("generator", {}).get("norm", "batch") == "batch"
    model = model_params(network, generator={"norm": "conditional"} if batch else {})
    generator, discriminator = build_generator(model, 32, CLASSES), build_discriminator(model, 32, CLASSES)
    initialise(generator, model, 1, "generator")
    initialise(discriminator, model, 1, "discriminator")
    latent = torch.randn(1, 8, generator=torch.Generator().manual_seed(0)).expand(5, -1)
    pictures = generator.eval()(latent, LABELS)
    assert pictures.shape == (5, 3, 32, 32)
    apart = (pictures[:, None] - pictures[None]).abs().amax((2, 3, 4))
    assert (apart + torch.eye(5)).min() > 1e-6  # the same latent, five faces
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)).expand(5, -1, -1, -1)
    logits = discriminator.eval()(picture * 2 - 1, LABELS)
    assert logits.shape == (5,)
    assert len(set(logits.tolist())) == 5


def test_the_logit_is_a_projection() -> None:
    """Miyato & Koyama, 2018, equation 3: what the picture alone says, and a product with the labels' embedding."""
    model = model_params("conv")
    discriminator = build_discriminator(model, 32, CLASSES).eval()
    initialise(discriminator, model, 1, "discriminator")
    pictures = torch.rand(5, 3, 32, 32) * 2 - 1
    features = discriminator.network(pictures)
    for number, (eyes, hair) in enumerate(LABELS.tolist()):
        embedded = discriminator.embedding.columns[0][eyes + 1] + discriminator.embedding.columns[1][hair + 1]
        embedded = embedded / embedded.square().mean().sqrt()
        expected = features[number, 0] + features[number, 1:] @ embedded / EMBEDDING
        assert discriminator(pictures, LABELS)[number].item() == pytest.approx(expected.item(), abs=1e-5)


def test_an_unknown_label_is_a_class_of_its_own_that_is_learned() -> None:
    embedding = LabelEmbedding(CLASSES)
    for table in embedding.columns:
        torch.nn.init.normal_(table)
    embedding(torch.tensor([[-1, 1]])).sum().backward()
    eyes, hair = (table.grad.abs().sum(1) > 0 for table in embedding.columns)
    assert eyes.tolist() == [True, False, False, False]
    assert hair.tolist() == [False, False, True]


def test_conditional_norm_is_batch_norm_with_a_scale_and_shift_of_each_picture() -> None:
    norm = ConditionalBatchNorm2d(6, 4)
    norm.initialise(torch.Generator().manual_seed(0))
    assert norm.scale.std().item() == pytest.approx(0.02, rel=0.5)
    features, condition = torch.randn(5, 6, 3, 3) * 3 + 1, torch.randn(5, 4) * 10
    plain = functional.batch_norm(features, None, None, training=True)
    for picture in range(5):
        for channel in range(6):
            scale, shift = norm.scale[channel] @ condition[picture], norm.shift[channel] @ condition[picture]
            expected = plain[picture, channel] * (1 + scale) + shift
            torch.testing.assert_close(norm(features, condition)[picture, channel], expected)


@pytest.mark.parametrize("network", ["conv", "dense", "resnet"])
def test_conditional_norm_goes_without_labels_too(network: str) -> None:
    """The latent alone scales."""
    model = model_params(network, generator={"norm": "conditional"})
    generator = build_generator(model, 32)
    initialise(generator, model, 1, "generator")
    norms = [module for module in generator.modules() if isinstance(module, ConditionalBatchNorm2d)]
    assert norms and all(norm.scale.shape[1] == 8 for norm in norms)
    generator(torch.randn(4, 8)).square().sum().backward()
    assert all(norm.scale.grad.abs().sum() > 0 for norm in norms)


@pytest.mark.parametrize(("network", "layer"), [("conv", "layers.0"), ("dense", "dense"), ("resnet", "dense")])
def test_labels_reach_a_generator_by_its_norms_alone_where_they_can(network: str, layer: str) -> None:
    """At the first layer, in front of a norm, they kept the latent from being used."""
    for norm, seen in (("conditional", 8), ("none", 8 + EMBEDDING)):
        generator = build_generator(model_params(network, generator={"norm": norm}), 32, CLASSES).network
        first = generator.get_submodule(layer)
        assert getattr(first, "in_features", getattr(first, "in_channels", None)) == seen
        norms = [module for module in generator.modules() if isinstance(module, ConditionalBatchNorm2d)]
        assert bool(norms) == (norm == "conditional")
        assert all(module.scale.shape[1] == 8 + EMBEDDING for module in norms)
