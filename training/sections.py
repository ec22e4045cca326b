"""Defines the settings of data and training that models of all kinds share."""

import dataclasses

import loader
from eval import labels
from networks import fast_conv, precision
from system import settings
from system.settings import setting


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which audio is learned, and how it is cut. See `loader.make_dataset`.

    Raises:
      ValueError: A setting is out of its range.
    """

    dir: str = setting(
        "",
        "Folder of audio files, searched at any depth; if it has a folder "
        "train/, only that is used. If left out, synthetic spoken digits are "
        "made.",
        flag="data_dir",
        resumable=True,
    )
    sample_rate: int = setting(
        16000,
        "Sampling rate in Hz; files with another rate are resampled.",
        flag="data_sample_rate",
        low=1,
    )
    overlap_ratio: float = setting(
        0.0,
        "Overlap of neighbouring slices, as a share in [0, 1).",
        flag="data_overlap_ratio",
        low=0,
        high=0.999,
    )
    first_slice: bool = setting(
        False, "Use only the first slice of each file.", flag="data_first_slice"
    )
    pad_end: bool = setting(
        False,
        "Also use the last, incomplete slice of each file, padded with "
        "silence.",
        flag="data_pad_end",
    )
    normalize: bool = setting(
        False, "Scale each file to a peak of 1.", flag="data_normalize"
    )
    fast_wav: bool = setting(
        False,
        "Refuse files that would have to be converted: all but 16-bit or float "
        "WAV files at the sampling rate.",
        flag="data_fast_wav",
        resumable=True,
    )
    prefetch_gpu_num: int = setting(
        0,
        "Index of the GPU to which batches are prefetched; -1: none.",
        flag="data_prefetch_gpu_num",
        resumable=True,
    )
    cache: str = setting(
        "auto",
        "Where decoded audio is kept; auto: in memory if it fits in a quarter "
        "of the free memory.",
        flag="data_cache",
        choices=loader.CACHES,
        resumable=True,
    )
    max_bad: float = setting(
        0.01,
        "Share of unusable files, in [0, 1], above which training does not "
        "start.",
        flag="data_max_bad",
        low=0,
        high=1,
        resumable=True,
    )
    labels: str = setting(
        "",
        "Labels of the clips; none if left out. If words, the label of a clip "
        "is the word in the name of its file (Seven_x.wav) or folder "
        "(seven/x.wav), and the model generates words on demand.",
        flag="data_labels",
        choices=("", "words"),
    )
    words: tuple[str, ...] = setting(
        (),
        "Words that the labels stand for, in their order; known once a run "
        "has begun.",
    )

    def __post_init__(self) -> None:
        """Checks all settings."""
        settings.check(self)
        labels.check_words(self.words)


@dataclasses.dataclass(frozen=True)
class CommonTrainConfig:
    """How networks of any kind are trained.

    Raises:
      SettingError: A setting is out of its range.
    """

    batch_size: int = setting(
        64, "Number of clips in a batch.", flag="train_batch_size", low=1
    )
    learning_rate: float = setting(
        0.0,
        "Learning rate; 0: the default of the chosen loss (1e-4 for wgan-gp) "
        "or model.",
        flag="train_learning_rate",
        low=0,
        high=1,
    )
    ema_decay: float = setting(
        0.0,
        "Decay of the running average of the generator's weights at each "
        "update, in [0, 1); 0: no average, but 0.999 for diffusion.",
        flag="train_ema_decay",
        low=0,
        below=1,
    )
    seed: int = setting(
        0,
        "Seed of the weights, the order of the data and all other draws. In "
        "generate: seed of the first clip; the following clips have the "
        "following seeds.",
        flag="seed",
        low=0,
        high=2**31 - 1,
    )
    deterministic: bool = setting(
        False,
        "Make training on a GPU bit-identical for the same seed, which takes "
        "more time; on a CPU it always is.",
        flag="deterministic",
    )
    jit: bool = setting(
        False,
        "Compile the training step with XLA; random draws then differ for the "
        "same seed.",
        flag="train_jit",
    )
    precision: str = setting(
        "fp32",
        "Precision of activations and matrix products: float32 (fp32) or "
        "bfloat16 (bf16); weights and losses are float32 in both.",
        flag="precision",
        choices=tuple(precision.POLICIES),
    )
    conv: str = setting(
        "auto",
        "How strided convolutions of audio are evaluated: fast, with fewer "
        "multiplications, for CPUs; stock, by TensorFlow's own operation, for "
        "GPUs; auto: stock on a GPU. Results agree up to rounding.",
        flag="train_conv",
        choices=fast_conv.FORMS,
        resumable=True,
    )
    decay_steps: int = setting(
        0,
        "Number of generator updates before --train_max_steps over which the "
        "learning rates fall linearly to 1/50; 0: they are constant.",
        flag="train_decay_steps",
        low=0,
        resumable=True,
    )
    max_steps: int = setting(
        0,
        "Number of generator updates; 0: no limit.",
        flag="train_max_steps",
        low=0,
        resumable=True,
    )
    save_secs: float = setting(
        300.0,
        "Seconds between two checkpoints.",
        flag="train_save_secs",
        low=0,
        resumable=True,
    )
    keep: int = setting(
        3,
        "Number of newest checkpoints to keep.",
        flag="train_keep",
        low=1,
        resumable=True,
    )
    keep_every_secs: float = setting(
        0.0,
        "Seconds between two checkpoints that are kept for good, in "
        "TRAIN_DIR/milestones; 0: none.",
        flag="train_keep_every_secs",
        low=0,
        resumable=True,
    )
    summary_secs: float = setting(
        120.0,
        "Seconds between two sets of audio and pictures for TensorBoard.",
        flag="train_summary_secs",
        low=0,
        resumable=True,
    )

    def __post_init__(self) -> None:
        """Checks all settings."""
        settings.check(self)
        if self.decay_steps > self.max_steps:
            raise settings.SettingError(
                "decay_steps",
                self.decay_steps,
                f"at most max_steps, which is {self.max_steps}",
            )

    @property
    def batches_per_step(self) -> int:
        """Number of batches of real clips that a training step takes."""
        return 1

    @property
    def method(self) -> str:
        """Describes how the networks learn, in a few words."""
        return f"batches of {self.batch_size} clips"

    def new_networks(self, source: "CommonTrainConfig") -> set[str]:
        """Returns the names of networks that cannot take another run's weights.

        Args:
          source: Settings of that run, of the same networks but for these.
        """
        return set()
