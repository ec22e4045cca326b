"""The training iteration in PyTorch, as ports are written: conv1d, eager."""

import random
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

KERNEL_LEN, STRIDE, LATENT_DIM, RADIUS = 25, 4, 100, 2
CRITIC_STEPS = 5


def phase_shuffle(x: torch.Tensor) -> torch.Tensor:
    """Moves `[batch, channels, time]` by one random shift, with reflection."""
    shift = random.randint(-RADIUS, RADIUS)
    time = x.shape[2]
    if shift > 0:
        return functional.pad(x, (shift, 0), "reflect")[:, :, :time]
    if shift < 0:
        return functional.pad(x, (0, -shift), "reflect")[:, :, -shift:]
    return x


class Generator(nn.Module):
    """Maps latent vectors, `[batch, 100]`, to audio, `[batch, 1, 16384]`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.project = nn.Linear(LATENT_DIM, 256 * dim)
        widths = [16 * dim, 8 * dim, 4 * dim, 2 * dim, dim, 1]
        self.layers = nn.ModuleList(
            nn.ConvTranspose1d(a, b, KERNEL_LEN, STRIDE, 11, 1)
            for a, b in zip(widths, widths[1:], strict=False)
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Generates audio."""
        x = functional.relu(self.project(z).view(-1, 16 * self.dim, 16))
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        return torch.tanh(self.layers[-1](x))


class Discriminator(nn.Module):
    """Maps audio, `[batch, 1, 16384]`, to scores, `[batch]`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        widths = [1, dim, 2 * dim, 4 * dim, 8 * dim, 16 * dim]
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, KERNEL_LEN, STRIDE, 11)
            for a, b in zip(widths, widths[1:], strict=False)
        )
        self.output = nn.Linear(256 * dim, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores audio."""
        for i, layer in enumerate(self.layers):
            x = functional.leaky_relu(layer(x), 0.2)
            if i < 4:
                x = phase_shuffle(x)
        return self.output(x.flatten(1))[:, 0]


def build(dim: int, batch: int) -> Callable[[], float]:
    """Returns a function that makes an iteration.

    Args:
      dim: Width of the networks.
      batch: Number of examples in a batch.
    """
    torch.manual_seed(0)
    clips = torch.rand(8, batch, 1, 16384) * 2 - 1
    generator, critic = Generator(dim), Discriminator(dim)
    adam_g, adam_d = (
        torch.optim.Adam(network.parameters(), 1e-4, (0.5, 0.9), fused=True)
        for network in (generator, critic)
    )

    def draw_z() -> torch.Tensor:
        return torch.rand(batch, LATENT_DIM) * 2 - 1

    def update_critic() -> None:
        real = random.choice(clips)
        with torch.no_grad():
            fake = generator(draw_z())
        alpha = torch.rand(batch, 1, 1)
        between = (real + alpha * (fake - real)).requires_grad_()
        (slope,) = torch.autograd.grad(
            critic(between).sum(), between, create_graph=True
        )
        norm = slope.pow(2).sum((1, 2)).sqrt()
        loss = critic(fake).mean() - critic(real).mean()
        loss = loss + 10 * ((norm - 1) ** 2).mean()
        adam_d.zero_grad()
        loss.backward()
        adam_d.step()

    def update_generator() -> float:
        loss = -critic(generator(draw_z())).mean()
        adam_g.zero_grad()
        loss.backward()
        adam_g.step()
        return float(loss.detach())

    def iterate() -> float:
        critic.requires_grad_(True)
        for _ in range(CRITIC_STEPS):
            update_critic()
        critic.requires_grad_(False)
        return update_generator()

    return iterate
