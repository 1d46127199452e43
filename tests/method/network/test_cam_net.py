"""The CAM network: its layers, the size of its maps, and that a map moves with what it shows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wslpet.core.settings import NORM_GROUPS, Settings, settings_from
from wslpet.method.network.cam_net import CamNet
from wslpet.method.network.checkpoint import new_network

SMALL = settings_from(widths=(8,) * 8)


def layers(network: CamNet, kind: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in network.features.modules() if isinstance(layer, kind)]


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_each_layer_is_as_the_settings_say(preset):
    settings = settings_from(preset)
    convolutions = layers(CamNet(settings), nn.Conv2d)
    assert len(convolutions) == 8
    assert tuple(layer.stride for layer in convolutions) == tuple((n, n) for n in settings.strides)
    assert tuple(layer.dilation for layer in convolutions) == tuple((n, n) for n in settings.dilations)
    assert tuple(layer.out_channels for layer in convolutions) == settings.widths
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    norms = layers(CamNet(settings), nn.GroupNorm)
    assert [(norm.num_groups, norm.num_channels) for norm in norms] == [(NORM_GROUPS, n) for n in settings.widths]


@pytest.mark.parametrize(("depth", "channels"), [(True, 3), (False, 2)])
def test_the_depth_map_is_a_channel_more(depth, channels):
    network = CamNet(settings_from(depth=depth, widths=(8,) * 8))
    assert network(torch.zeros(1, channels, 32, 32)).shape[0] == 1
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 5 - channels, 32, 32))


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        settings_from("paper", widths=(8,) * 8),
        settings_from(widths=(8,) * 8, strides=(1,) * 8),
        settings_from(widths=(8,) * 8, strides=(2, 1, 1, 2, 1, 2, 1, 1), dilations=(3, 1, 2, 1, 4, 1, 1, 2)),
    ],
)
def test_a_map_is_smaller_by_the_stride(settings):
    network = CamNet(settings).eval()
    u, z = 2 * settings.stride, 5 * settings.stride
    channels = 2 + settings.depth
    with torch.inference_mode():
        assert network(torch.zeros(3, channels, u, z)).shape == (3, len(settings.types), 2, 5)


def test_there_is_a_map_for_each_class():
    names = ("lung", "breast", "cervix")
    for no_tumour in (False, True):
        network = CamNet(settings_from(widths=(8,) * 8, types=names, no_tumour=no_tumour))
        assert network(torch.zeros(1, 3, 16, 16)).shape[1] == 3 + no_tumour


def test_the_classes_are_linear_in_the_features():
    """Which is what makes w_c · f(x) an activation map (eq. 1)."""
    network, images = new_network(SMALL).eval(), noise(2, 32, 48)
    with torch.inference_mode():
        features = network.features(images)
        weights, bias = network.classify.weight[:, :, 0, 0], network.classify.bias
        expected = torch.einsum("cf,nfuz->ncuz", weights, features) + bias[:, None, None]
        assert network.classify.weight.shape[2:] == (1, 1)
        assert torch.allclose(network(images), expected, atol=1e-5)
        assert (features >= 0).all() and (features > 0).any()


def test_a_map_moves_with_the_image():
    """By a cell for each stride of pixels, where the image's edge is out of reach."""
    network, stride = new_network(SMALL).eval(), SMALL.stride
    blob = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(1))
    images = torch.zeros(2, 3, 288, 288)
    images[0, :, 132:144, 132:144] = blob
    images[1, :, 132 + stride : 144 + stride, 132 + 3 * stride : 144 + 3 * stride] = blob
    with torch.inference_mode():
        first, second = network(images)
    inner = slice(18, 54)
    moved = first[:, inner, inner]
    assert moved.std() > 1e-3, "the blob shows"
    assert not torch.allclose(second[:, inner, inner], moved, atol=1e-3)
    assert torch.allclose(second[:, 19:55, 21:57], moved, atol=1e-4)


def test_images_of_a_batch_do_not_disturb_each_other():
    network, images = new_network(SMALL).eval(), noise(3, 32, 48)
    with torch.inference_mode():
        alone = torch.cat([network(image[None]) for image in images])
        assert torch.allclose(network(images), alone, atol=1e-5)
    assert not torch.allclose(alone[0], alone[1], atol=1e-3)


def test_the_same_seed_gives_the_same_maps():
    images = noise(1, 32, 32)
    other = settings_from(widths=(8,) * 8, random_seed=1)
    with torch.inference_mode():
        first, again, different = (new_network(settings).eval()(images) for settings in (SMALL, SMALL, other))
    assert torch.equal(first, again)
    assert not torch.allclose(first, different, atol=1e-3)


def test_maps_are_dropped_from_the_third_layer_on_and_only_in_training():
    network, images = new_network(SMALL), noise(1, 32, 32)
    assert [layer.p for layer in layers(network, nn.Dropout2d)] == [0.0] * 2 + [SMALL.dropout] * 6
    with torch.inference_mode():
        assert not torch.equal(network.train()(images), network(images))
        assert torch.equal(network.eval()(images), network(images))


def test_an_image_without_any_uptake_gives_finite_maps_and_gradients():
    network = new_network(Settings())
    maps = network(torch.zeros(1, 3, 64, 64))
    maps.sum().backward()
    assert torch.isfinite(maps).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def noise(n: int, u: int, z: int) -> torch.Tensor:
    return torch.rand(n, 3, u, z, generator=torch.Generator().manual_seed(0))
