"""The 8-layer CAM network (paper §2, Fig. 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wslpet.core.settings import NORM_GROUPS, Settings


class CamNet(nn.Module):
    """Eight convolutions and one linear classification layer, which keeps class activation maps possible.

    Input (n, channel, u, z): a MIP scaled to [0, 1] and, where the settings say so, its depth map; a last
    channel says which view it is. Output (n, class, u / stride, z / stride): the unnormalised CAM
    w_c^T f(x) of every class, the numerator of eq. 1.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        channels = 2 + settings.depth  # MIP, view, depth
        layers: list[nn.Module] = []
        plan = zip(settings.strides, settings.dilations, settings.widths, strict=True)
        for number, (stride, dilation, width) in enumerate(plan, start=1):
            layers += [
                nn.Conv2d(channels, width, 3, stride, padding=dilation, dilation=dilation, bias=False),
                nn.GroupNorm(NORM_GROUPS, width),
                nn.Sequential(nn.ReLU(inplace=True), nn.Dropout2d(settings.dropout if number >= 3 else 0.0)),
            ]
            channels = width
        self.features = nn.Sequential(*layers)
        self.classify = nn.Conv2d(channels, len(settings.classes), 1)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the unnormalised CAMs: (n, channel, u, z) → (n, class, u / stride, z / stride)."""
        cams: Tensor = self.classify(self.features(images.contiguous(memory_format=torch.channels_last)))
        return cams
