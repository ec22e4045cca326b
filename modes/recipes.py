"""Reads from the query of a URL which clips to make."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from modes import kit, latents

MAX_SEED = 2**31 - 1  # as in training
Query = dict[str, list[str]]  # values by name


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a clip is made of: a seed, or a place on the way to another.

    Attributes:
      seed: Of the latent vector, as in `latents.sample_z`.
      to: Seed at the other end; None: there is none.
      mix: How far to go, 0 to 1.
      path: A key of `latents.INTERPOLATIONS`.
      word: What the clip is to say; "" if the generator knows no words.
      to_word: Word at the other end.
    """

    seed: int
    to: int | None = None
    mix: float = 0.0
    path: str = "straight"
    word: str = ""
    to_word: str = ""

    def z(self, latent_dim: int) -> np.ndarray:
        """The latent vector, float32, `[1, latent_dim]`."""
        start = latents.sample_z(1, latent_dim, self.seed)
        if self.to is None:
            return start
        end = latents.sample_z(1, latent_dim, self.to)
        mixed = latents.INTERPOLATIONS[self.path](start[0], end[0], self.mix)
        return mixed[np.newaxis].astype(np.float32)

    def shares(self, words: Sequence[str]) -> np.ndarray:
        """Returns the share of each word, float32, `[1, num_words]`.

        From one word to another the way is straight, whatever z's is.
        """
        shares = np.zeros((1, len(words)), np.float32)
        share = 0.0 if self.to is None else self.mix
        for word, part in ((self.word, 1 - share), (self.to_word, share)):
            if part:
                shares[0, words.index(word)] += part
        return shares


def read_recipe(query: Query, words: Sequence[str] = ()) -> Recipe:
    """Reads the recipe of one clip.

    Args:
      query: Values by name.
      words: That the generator knows; if any, each end of a recipe says one.

    Raises:
      ValueError: The query is anything else than a recipe.
    """
    clip, morph = ["seed"], ["seed", "to", "mix", "path"]
    if words:
        clip, morph = [*clip, "word"], [*morph, "word", "to_word"]
    if set(query) not in (set(clip), set(morph)) or any(
        len(values) != 1 for values in query.values()
    ):
        raise ValueError(
            f"Expected {' and '.join(clip)}, or {', '.join(morph[:-1])} and "
            f"{morph[-1]}, each once."
        )
    values = {name: given[0] for name, given in query.items()}
    for name in {"word", "to_word"} & {*values}:
        _check_word(name, values[name], words)
    word = values.get("word", "")
    if len(values) == len(clip):
        return Recipe(_read_seed("seed", values["seed"]), word=word)
    if not re.fullmatch(r"0(\.\d{1,6})?|1(\.0{1,6})?", values["mix"], re.ASCII):
        raise ValueError("Expected a mix of 0 to 1, with up to six decimals.")
    if values["path"] not in latents.INTERPOLATIONS:
        ways = " or ".join(latents.INTERPOLATIONS)
        raise ValueError(f"Expected a path of {ways}.")
    return Recipe(
        _read_seed("seed", values["seed"]),
        _read_seed("to", values["to"]),
        float(values["mix"]),
        values["path"],
        word,
        values.get("to_word", ""),
    )


def read_kit(query: Query, words: Sequence[str] = ()) -> list[Recipe]:
    """Reads the recipes of a kit: as many seeds as clips, and a word for each.

    Args:
      query: Values by name.
      words: That the generator knows; if none, seeds are all.

    Raises:
      ValueError: The query is anything else than a kit.
    """
    names = {"seed", "word"} if words else {"seed"}
    seeds = query.get("seed", [])
    said = query.get("word", [""] * len(seeds))
    number_fits = 1 <= len(seeds) <= kit.MAX_CLIPS
    if set(query) != names or len(said) != len(seeds) or not number_fits:
        with_words = ", and a word for each" if words else ""
        raise ValueError(f"Expected 1 to {kit.MAX_CLIPS} seeds{with_words}.")
    if words:
        for word in said:
            _check_word("word", word, words)
    return [
        Recipe(_read_seed("seed", seed), word=word)
        for seed, word in zip(seeds, said, strict=True)
    ]


def _check_word(name: str, word: str, words: Sequence[str]) -> None:
    if word not in words:
        raise ValueError(f"Expected one of {', '.join(words)} as {name}.")


def _read_seed(name: str, text: str) -> int:
    if re.fullmatch(r"\d{1,10}", text, re.ASCII) and int(text) <= MAX_SEED:
        return int(text)
    raise ValueError(f"Expected a whole number from 0 to {MAX_SEED} as {name}.")
