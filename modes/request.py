"""Describes the clips to generate, and names them.

A clip is determined by its seed and, if the model knows words, its word. The
latent vector is drawn from the seed alone. So a clip is the same alone, among
others, and as the start of an interpolation, up to the rounding of another
batch size. Its file is named 00007, or Seven_00007.

Words take turns by seed, not by position: of W words, seed s says word s mod W.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from modes import kit, latents
from system import settings

KIT_CHOICE = 10  # clips for each of a kit to choose from, if not given
VOICES = 8, 1  # that say a phrase, and that are kept, if not given


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip to generate.

    Attributes:
      point: Index of its latent vector.
      name: Name of its file, without suffix.
      word: Word that it says; "" if the model knows no words.
    """

    point: int
    name: str
    word: str = ""


@dataclasses.dataclass(frozen=True)
class Request:
    """Describes the clips to make.

    Attributes:
      num_clips: Number of clips, or of phrases if `say` is given.
      seed: Seed of the first clip; the following clips have the following
        seeds.
      ends: Two seeds between which the clips interpolate; empty: no
        interpolation.
      steps: Number of clips of an interpolation, including both ends.
      interpolation: Path between the ends, a key of `latents.INTERPOLATIONS`.
      truncation: Factor of the latent vectors, in (0, 1]; the smaller it is,
        the more alike the clips are.
      label: Word that the classifier should recognise; "": any.
      best: Number of clips to keep, those in which the classifier recognises
        `label` with the highest probability, or of phrases, those whose words
        it recognises; 0: all.
      kit: Number of clips to keep, as different as possible, in a folder of
        their own with files that samplers open; 0: no kit.
      concat: Whether to write all clips to one file, half a second apart.
      words: Words that the clips say, in turn; empty: all that the model knows.
        An interpolation keeps to one word, by default to that of its first
        seed; of several words, each has its own interpolation.
      say: Words of a phrase, which is written to one file, in one voice, by the
        same latent vector; empty: no phrase.

    Raises:
      ValueError: A field is out of its range, or two exclude each other.
    """

    num_clips: int = 20
    seed: int = 0
    ends: tuple[int, ...] = ()
    steps: int = 9
    interpolation: str = "slerp"
    truncation: float = 1.0
    label: str = ""
    best: int = 0
    kit: int = 0
    concat: bool = False
    words: tuple[str, ...] = ()
    say: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks every field."""
        check = settings.check_value
        check("n", self.num_clips, low=1)
        if len(self.ends) not in (0, 2):
            raise settings.SettingError("interpolate", self.ends, "two seeds")
        for seed in (self.seed, *self.ends):
            check("seed", seed, low=0)
        check("steps", self.steps, low=2)
        ways = tuple(latents.INTERPOLATIONS)
        check("interpolation", self.interpolation, choices=ways)
        if not 0 < self.truncation <= 1:
            raise settings.SettingError(
                "truncation", self.truncation, "a number in (0, 1]"
            )
        others = {
            "--interpolate": self.ends,
            "--label": self.label,
            "--concat": self.concat,
        }
        for flag, given, excluded in (
            ("--say", self.say, {**others, "--word": self.words}),
            ("--kit", self.kit, {**others, "--say": self.say}),
        ):
            for name, value in excluded.items():
                if given and value:
                    raise ValueError(
                        f"{flag} and {name}: expected one of the two"
                    )
        if len(set(self.words)) < len(self.words):
            raise settings.SettingError(
                "word", ",".join(self.words), "each word once"
            )
        if bool(self.label) != bool(self.best) and not self.say:
            raise ValueError(
                "--label and --best go together: a word, and how many clips "
                "of it to keep"
            )
        num_clips = self.num_clips
        if self.ends:
            num_clips = self.steps * max(1, len(self.words))
        if not 0 <= self.best <= num_clips:
            raise settings.SettingError(
                "best", self.best, f"0 to {num_clips}, the number of clips"
            )
        check("kit", self.kit, low=0, high=min(num_clips, kit.MAX_CLIPS))

    @property
    def points(self) -> list[str]:
        """Names of the latent vectors, in order."""
        if self.ends:
            ends = "-".join(f"{seed:05d}" for seed in self.ends)
            return [f"{ends}_{i:03d}" for i in range(self.steps)]
        return [f"{self.seed + i:05d}" for i in range(self.num_clips)]

    def draw(self, latent_dim: int) -> np.ndarray:
        """Draws latent vectors by point, `[num_points, latent_dim]`."""
        if self.ends:
            a, b = (latents.sample_z(1, latent_dim, s)[0] for s in self.ends)
            interpolate = latents.INTERPOLATIONS[self.interpolation]
            shares = np.linspace(0, 1, self.steps)
            z = np.stack([interpolate(a, b, share) for share in shares])
        else:
            z = latents.sample_z(self.num_clips, latent_dim, self.seed)
        return (self.truncation * z).astype(np.float32)

    def clips(self, vocabulary: Sequence[str]) -> list[Clip]:
        """Lists the clips to make, in order.

        Args:
          vocabulary: Words that the model knows.

        Raises:
          ValueError: The model does not know a word, or knows none.
        """
        _check_words("word", self.words, vocabulary)
        _check_words("say", self.say, vocabulary)
        points = list(enumerate(self.points))
        if not vocabulary:
            return [Clip(i, name_clip("", point)) for i, point in points]
        words = self.words or tuple(vocabulary)
        if self.say:
            pairs = [
                (i, point, word) for i, point in points for word in self.say
            ]
        elif self.ends:
            if not self.words:
                words = (words[self.ends[0] % len(words)],)
            pairs = [(i, point, word) for word in words for i, point in points]
        else:
            pairs = [
                (i, point, words[(self.seed + i) % len(words)])
                for i, point in points
            ]
        return [
            Clip(i, name_clip(word, point), word) for i, point, word in pairs
        ]


def split_words(text: str) -> tuple[str, ...]:
    """Splits a phrase at its commas, or at its spaces if it has no commas."""
    words = text.lower().split("," if "," in text else None)
    return tuple(word.strip() for word in words if word.strip())


def _check_words(
    field: str, words: Sequence[str], vocabulary: Sequence[str]
) -> None:
    """Raises a SettingError unless the model knows all these words."""
    if words and not vocabulary:
        raise settings.SettingError(
            field,
            " ".join(words),
            "nothing, since that model knows no words: train one with "
            "--data_labels=words",
        )
    if unknown := [word for word in words if word not in vocabulary]:
        raise settings.SettingError(
            field,
            " ".join(words),
            f"words that the model knows, {', '.join(vocabulary)}; not "
            + ", ".join(unknown),
        )


def name_clip(word: str, point: str) -> str:
    """Names a file so that `eval.labels` reads the word from it.

    Args:
      word: Word that the clip says; "" if the model knows no words.
      point: Name of its latent vector, such as 00007 for seed 7.
    """
    if not word:
        return point
    if "_" in word or word.title().lower() != word:
        return f"{word}/{point}"
    return f"{word.title()}_{point}"
