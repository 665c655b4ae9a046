"""The peer: a plain PyTorch DCGAN loop over an image folder, and a plain Pillow loop, as tutorials write them."""

import time
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def generator(latent: int, channels: int) -> nn.Sequential:
    """The 64x64 generator of the DCGAN tutorial."""
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent, channels * 8, 4, 1, 0, bias=False)]
    for width in (channels * 8, channels * 4, channels * 2):
        layers += [nn.BatchNorm2d(width), nn.ReLU(True)]
        layers += [nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)]
    layers += [nn.BatchNorm2d(channels), nn.ReLU(True), nn.ConvTranspose2d(channels, 3, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*layers)


def discriminator(channels: int) -> nn.Sequential:
    """The 64x64 discriminator of the DCGAN tutorial, probability out."""
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for width in (channels, channels * 2, channels * 4):
        layers += [nn.Conv2d(width, width * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width * 2), nn.LeakyReLU(0.2, True)]
    layers += [nn.Conv2d(channels * 8, 1, 4, 1, 0, bias=False), nn.Sigmoid()]
    return nn.Sequential(*layers)


class PlainLoop:
    """Dataset of JPEGs, DataLoader, fp32, BCELoss, ``.item()`` every step; ``run`` gives images per second."""

    def __init__(self, folder: Path, batch: int, device: torch.device, channels: int = 64, workers: int = 2) -> None:
        transform = transforms.Compose(
            [
                transforms.Resize(64),
                transforms.CenterCrop(64),
                transforms.ToTensor(),
                transforms.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )
        dataset = datasets.ImageFolder(str(folder), transform)
        self.loader = DataLoader(dataset, batch, shuffle=True, num_workers=workers, drop_last=True)
        self.device = device
        self.generator, self.discriminator = generator(100, channels).to(device), discriminator(channels).to(device)
        self.loss = nn.BCELoss()
        self.optimizers = [
            torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999))
            for network in (self.generator, self.discriminator)
        ]
        self.batches = iter(self.loader)

    def run(self, steps: int) -> float:
        began = time.perf_counter()
        images = 0
        for _ in range(steps):
            images += self._step()
        return images / (time.perf_counter() - began)

    def _step(self) -> int:
        try:
            real = next(self.batches)[0].to(self.device)
        except StopIteration:
            self.batches = iter(self.loader)
            real = next(self.batches)[0].to(self.device)
        count = len(real)
        ones, zeros = torch.ones(count, device=self.device), torch.zeros(count, device=self.device)
        self.discriminator.zero_grad()
        loss_real = self.loss(self.discriminator(real).view(-1), ones)
        loss_real.backward()
        fake = self.generator(torch.randn(count, 100, 1, 1, device=self.device))
        loss_fake = self.loss(self.discriminator(fake.detach()).view(-1), zeros)
        loss_fake.backward()
        self.optimizers[1].step()
        self.generator.zero_grad()
        loss = self.loss(self.discriminator(fake).view(-1), ones)
        loss.backward()
        self.optimizers[0].step()
        _ = (loss_real + loss_fake).item(), loss.item()
        return count


def pillow_loop(files: list[Path], size: int) -> float:
    """Decode, resize and crop on one core; pictures per second."""
    began = time.perf_counter()
    for file in files:
        with Image.open(file) as image:
            picture = image.convert("RGB")
            scale = size / min(picture.size)
            picture = picture.resize(
                (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS
            )
            left, top = (picture.width - size) // 2, (picture.height - size) // 2
            picture.crop((left, top, left + size, top + size)).tobytes()
    return len(files) / (time.perf_counter() - began)
