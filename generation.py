"""Clips on demand: by seed, between two seeds, the best of many.

A clip is its seed: seed 7 gives the same clip alone, among others, and as the
start of a walk, up to the rounding of another batch; its file is named 00007.
"""

import dataclasses
import itertools
import pathlib

import numpy as np

import gan as gan_lib
import latents
import modes
import recordings
import traindir
from eval import classifier, features


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be made.

    Attributes:
      num_clips: How many.
      seed: Of the first; the others count on from it.
      ends: Seeds to walk between, instead; empty: no walk.
      steps: Clips on that way, both ends included.
      interpolation: In `latents.INTERPOLATIONS`.
      truncation: What latent vectors are multiplied by: the smaller, the more
        alike the clips.
      label: Word that a judge is to hear; "": any.
      best: Clips to keep, those most surely heard as the label; 0: all.
      concat: Write all clips into one file, half a second apart.

    Raises:
      ValueError: A field is out of its range.
    """

    num_clips: int = 20
    seed: int = 0
    ends: tuple[int, ...] = ()
    steps: int = 9
    interpolation: str = "slerp"
    truncation: float = 1.0
    label: str = ""
    best: int = 0
    concat: bool = False

    def __post_init__(self) -> None:
        """Checks every field."""
        if self.num_clips < 1:
            raise ValueError(f"n is {self.num_clips}: expected at least 1")
        if len(self.ends) not in (0, 2):
            raise ValueError(
                f"interpolate is {','.join(map(str, self.ends))}: expected two "
                "seeds"
            )
        for seed in (self.seed, *self.ends):
            if seed < 0:
                raise ValueError(f"seed is {seed}: expected 0 or more")
        if self.steps < 2:
            raise ValueError(f"steps is {self.steps}: expected at least 2")
        if self.interpolation not in latents.INTERPOLATIONS:
            raise ValueError(
                f"interpolation is {self.interpolation!r}: expected one of "
                + ", ".join(latents.INTERPOLATIONS)
            )
        if not 0 < self.truncation <= 1:
            raise ValueError(
                f"truncation is {self.truncation}: expected above 0, to 1"
            )
        if bool(self.label) != bool(self.best):
            raise ValueError(
                "--label and --best go together: a word, and how many clips "
                "of it to keep"
            )
        if not 0 <= self.best <= len(self.names):
            raise ValueError(
                f"best is {self.best}: expected 0 to {len(self.names)}, the "
                "number of clips"
            )

    @property
    def names(self) -> list[str]:
        """Of the clips, in order."""
        if self.ends:
            ends = "-".join(f"{seed:05d}" for seed in self.ends)
            return [f"{ends}_{i:03d}" for i in range(self.steps)]
        return [f"{self.seed + i:05d}" for i in range(self.num_clips)]

    def draw(self, latent_dim: int) -> np.ndarray:
        """Latent vectors of the clips, `[num_clips, latent_dim]`."""
        if self.ends:
            a, b = (latents.sample_z(1, latent_dim, s)[0] for s in self.ends)
            interpolate = latents.INTERPOLATIONS[self.interpolation]
            shares = np.linspace(0, 1, self.steps)
            z = np.stack([interpolate(a, b, share) for share in shares])
        else:
            z = latents.sample_z(self.num_clips, latent_dim, self.seed)
        return (self.truncation * z).astype(np.float32)


def generate(
    gan: gan_lib.GAN,
    directory: traindir.TrainDir,
    request: Request,
    writing: recordings.Writing,
    *,
    out_dir: pathlib.Path,
    judge: classifier.Judge | None = None,
) -> None:
    """Writes clips by the newest checkpoint, and says where they are.

    Args:
      gan: Built as the train dir's config says.
      directory: A train dir; it may be training.
      request: What to make.
      writing: How files are written.
      out_dir: Where to; made if missing.
      judge: Hears the label, if there is one.

    Raises:
      FileNotFoundError: There is no checkpoint.
      ValueError: The judge knows no such word.
    """
    step = traindir.restore(gan, directory)
    rate = directory.read_config()["data"]["sample_rate"]
    names, z = request.names, request.draw(gan.latent_dim)
    heard = ""
    if judge:
        sureness = _listen(judge, request.label, gan, z, rate)
        order = np.argsort(-sureness, kind="stable")[: request.best]
        names, z = [names[i] for i in order], z[order]
        heard = (
            f', heard as "{request.label}" with a probability of '
            f"{sureness[order[0]]:.2f} to {sureness[order[-1]]:.2f} by the "
            f"judge {judge.name}"
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    clips = modes.generate_audio(gan.generate, z)
    if request.concat:
        names = [f"{names[0]}_to_{names[-1]}"]
        clips = iter([modes.string_together(list(clips), rate)])
    for name, audio in zip(names, clips, strict=True):
        path = out_dir / f"{name}.{writing.format}"
        recordings.write(path, audio, rate, writing)
    print(f"step {step}: {len(z)} clips in {out_dir}{heard}")


def _listen(
    judge: classifier.Judge,
    label: str,
    gan: gan_lib.GAN,
    z: np.ndarray,
    sample_rate: int,
) -> np.ndarray:
    """Probabilities that each clip says the label, `[num_clips]`."""
    words = [word.lower() for word in judge.words]
    if label.lower() not in words:
        raise ValueError(
            f"label is {label!r}: expected one of {', '.join(judge.words)}"
        )
    audio = modes.generate_audio(gan.generate, z)
    probs = []
    while clips := list(itertools.islice(audio, modes.BATCH_SIZE)):
        heard = features.fit(np.stack(clips), sample_rate)
        probs.append(classifier.predict(judge.model, heard))
    return np.concatenate(probs)[:, words.index(label.lower())]
