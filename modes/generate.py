"""Generates clips: by seed and word, between two seeds, the best of many.

A clip is determined by its seed and, if the model knows words, its word. The
latent vector is drawn from the seed alone. So a clip is the same alone, among
others, and as the start of an interpolation, up to the rounding of another
batch size. Its file is named 00007, or Seven_00007.

Words take turns by seed, not by position: of W words, seed s says word s mod W.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import gan as gan_lib
from audio import write
from eval import classifier, features, manifest
from modes import latents, phrase, render
from system import settings
from training import config as config_lib
from training import train_dir

MAX_PHRASE_NAME = 50  # characters of a phrase that its file's name holds
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
        for name, given in (
            ("--word", self.words),
            ("--interpolate", self.ends),
            ("--label", self.label),
            ("--concat", self.concat),
        ):
            if self.say and given:
                raise ValueError(f"--say and {name}: expected one of the two")
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
            return [Clip(i, name) for i, name in points]
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
        return [Clip(i, _name(word, point), word) for i, point, word in pairs]


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


def _name(word: str, point: str) -> str:
    """Names a file so that `eval.labels` reads the word from it."""
    if "_" in word or word.title().lower() != word:
        return f"{word}/{point}"
    return f"{word.title()}_{point}"


def generate(
    gan: gan_lib.GAN,
    directory: train_dir.TrainDir,
    config: config_lib.RunConfig,
    request: Request,
    writing: write.Writing,
    *,
    out_dir: pathlib.Path,
    classifier_dir: pathlib.Path | None = None,
) -> None:
    """Generates clips with the newest checkpoint and writes them to files.

    Args:
      gan: A GAN of the config.
      directory: A train dir, in which training may be going on.
      config: Config of its run.
      request: The clips to generate.
      writing: Format of the files.
      out_dir: Output folder, created if missing. Single clips are listed in
        its manifest; interpolations, joined clips and phrases go to folders of
        these names in it.
      classifier_dir: Folder that `eval.train_classifier` made; None: the
        classifier that `incept` trained. Only read to choose the best.

    Raises:
      FileNotFoundError: There is no checkpoint.
      ValueError: The classifier, or the model, does not know the word.
    """
    vocabulary = config.data.words
    clips = request.clips(vocabulary)
    word_classifier = None
    if request.best:
        own = directory.path / "incept/classifier"
        word_classifier = classifier.load(classifier_dir or own)
    step = train_dir.restore(gan, directory)
    rate = config.data.sample_rate
    z = request.draw(gan.latent_dim)[[clip.point for clip in clips]]
    labels = None
    if vocabulary:
        labels = np.array([vocabulary.index(clip.word) for clip in clips])
    heard = ""
    if word_classifier:
        audio = render.generate_audio(gan.generate, z, labels)
        chosen, heard = _best(word_classifier, request, clips, audio, rate)
        clips, z = [clips[i] for i in chosen], z[chosen]
        labels = None if labels is None else labels[chosen]
    names = [clip.name for clip in clips]
    kind = ""
    audio = render.generate_audio(gan.generate, z, labels)
    if request.say:
        kind = "phrases"
        num_words = len(request.say)
        said = "_".join(request.say)[:MAX_PHRASE_NAME]
        points = [request.points[clip.point] for clip in clips[::num_words]]
        names = [f"{said}_{point}" for point in points]
        audio = _phrases(audio, num_words, rate)
    elif request.concat:
        kind = "joined"
        names = [_joined_name(names, bool(request.ends))]
        audio = iter([render.string_together(list(audio), rate)])
    elif request.ends:
        kind = "interpolations"
    files = [f"{name}.{writing.format}" for name in names]
    for file, samples in zip(files, audio, strict=True):
        path = out_dir / kind / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write.write(path, samples, rate, writing)
    kept = 0
    if not kind:
        kept = manifest.add(out_dir, files, _made_by(gan, request, writing))
    if len(files) == 1:
        print(f"step {step}: {path}{heard}")
    else:
        what = "phrases" if request.say else "clips"
        print(f"step {step}: {len(files)} {what} in {out_dir / kind}{heard}")
    if kept:
        print(
            f"clips of other weights or settings that stay in {out_dir} and "
            f"that scores leave out ({manifest.FILE}): {kept}"
        )


def _joined_name(names: Sequence[str], interpolated: bool) -> str:
    """Names the file of all clips by its first and last one."""
    ends = [name.replace("/", "_") for name in (names[0], names[-1])]
    if interpolated:  # without the numbers of the clips between two seeds
        ends = [name.rpartition("_")[0] for name in ends]
    return "_to_".join(dict.fromkeys(ends))


def _made_by(
    gan: gan_lib.GAN, request: Request, writing: write.Writing
) -> dict[str, Any]:
    """Describes what clips must have in common to be scored together."""
    weights = gan.ema_generator.get_weights()
    return {
        "weights": classifier.fingerprint(weights)[:16],
        "truncation": request.truncation,
        "words": list(request.words),
        "label": request.label,
        "best": request.best,
        **dataclasses.asdict(writing),
    }


def _phrases(
    audio: Iterator[np.ndarray], num_words: int, sample_rate: int
) -> Iterator[np.ndarray]:
    """Yields phrases, each of the next `num_words` clips."""
    while clips := list(itertools.islice(audio, num_words)):
        yield phrase.join(clips, sample_rate)


def _best(
    word_classifier: classifier.Classifier,
    request: Request,
    clips: Sequence[Clip],
    audio: Iterator[np.ndarray],
    sample_rate: int,
) -> tuple[np.ndarray, str]:
    """Chooses the clips, or phrases, that are recognised best.

    Args:
      word_classifier: Classifier that knows the words.
      request: Request with `best`.
      clips: Clips of the request.
      audio: Their audio, `[num_samples, channels]` each.
      sample_rate: In Hz.

    Returns:
      Indices of the chosen clips, the best first, and a description.

    Raises:
      SettingError: The classifier does not know a word.
    """
    known = [word.lower() for word in word_classifier.words]
    wanted = [(request.label or clip.word).lower() for clip in clips]
    if unknown := [word for word in wanted if word not in known]:
        raise settings.SettingError(
            "label" if request.label else "say",
            request.label or " ".join(request.say),
            f"words that the classifier knows, {', '.join(known)}; not "
            f"{unknown[0]}",
        )
    probs = []
    while batch := list(itertools.islice(audio, render.BATCH_SIZE)):
        heard = features.fit(np.stack(batch), sample_rate)
        probs.append(classifier.predict(word_classifier.model, heard))
    columns = [known.index(word) for word in wanted]
    correct = np.concatenate(probs)[np.arange(len(clips)), columns]
    # A phrase is recognised if each of its words is.
    num_words = len(request.say) or 1
    correct = correct.reshape(-1, num_words).prod(axis=1)
    order = np.argsort(-correct, kind="stable")[: request.best]
    rows = np.arange(len(clips)).reshape(-1, num_words)[order]
    best, worst = correct[order[[0, -1]]]
    probability = f"{best:.2f}" + (f" to {worst:.2f}" if len(order) > 1 else "")
    return rows.ravel(), (
        f", the best of {len(correct)}: heard as "
        f'"{request.label or " ".join(request.say)}" with a probability of '
        f"{probability} by the classifier {word_classifier.name}"
    )
