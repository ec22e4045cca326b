"""The flags that all models share, and the command line of one model."""

import dataclasses
from collections.abc import Callable
from typing import Any

from training import model as model_lib
from training import train_dir

Setting = tuple[str, str, str, str]  # flag, section and field of it, help
Option = tuple[str, Any, str]  # flag that is no field, default, help

# Names of the original stay; * is the model's.
SETTINGS: tuple[Setting, ...] = (
    ("data_dir", "data", "dir", "folder of audio files, however deep; if it "
     "has a folder train/, that one. Spoken digits are made if left out"),
    ("data_sample_rate", "data", "sample_rate", "in Hz; others are resampled"),
    ("data_overlap_ratio", "data", "overlap_ratio", "of slice and next slice"),
    ("data_first_slice", "data", "first_slice", "only each file's first slice"),
    ("data_pad_end", "data", "pad_end", "keep what is left at a file's end"),
    ("data_normalize", "data", "normalize", "bring each file's peak to 1"),
    ("data_fast_wav", "data", "fast_wav", "promise that all files are WAV, "
     "16-bit or float, at the sample rate: others are refused"),
    ("data_prefetch_gpu_num", "data", "prefetch_gpu_num", "GPU that batches "
     "wait on; -1: none"),
    ("data_cache", "data", "cache", "where decoded audio stays: none, memory, "
     "disk; auto: in memory if a quarter of what is free holds it"),
    ("data_max_bad", "data", "max_bad", "share of unusable files to accept"),
    ("data_labels", "data", "labels", "words: learn which word each clip says, "
     "by its name (Seven_x.wav, seven/x.wav), so that words can be asked for"),
    ("*_latent_dim", "model", "latent_dim", "size of z"),
    ("*_kernel_len", "model", "kernel_len", "taps of each convolution"),
    ("*_dim", "model", "dim", "channels of the first critic layer"),
    ("*_batchnorm", "model", "batchnorm", "use batch normalisation"),
    ("*_genr_upsample", "model", "upsample", "zeros (transposed "
     "convolution), nn, linear or cubic"),
    ("*_disc_phaseshuffle", "model", "phaseshuffle", "radius; 0: none"),
    ("*_disc_dropout", "model", "dropout", "share of activations"),
    ("*_disc_nupdates", "train", "critic_steps", "discriminator updates "
     "for each of the generator's"),
    ("*_loss", "train", "loss", "dcgan, lsgan, wgan, wgan-gp, r1 or "
     "r3gan"),
    ("train_batch_size", "train", "batch_size", "clips in each update"),
    ("train_learning_rate", "train", "learning_rate", "of both networks; 0: "
     "the loss's own, 1e-4 for wgan-gp"),
    ("train_disc_learning_rate", "train", "disc_learning_rate", "of the "
     "discriminator alone; 0: as the generator's"),
    ("train_penalty_weight", "train", "penalty_weight", "of the "
     "discriminator's slope penalty; 0: the loss's own, 10 for wgan-gp"),
    ("train_penalty_interval", "train", "penalty_interval", "discriminator "
     "updates from one penalty to the next, each so many times heavier"),
    ("train_ema_decay", "train", "ema_decay", "of the generator's running "
     "average; 0: none"),
    ("train_augment", "train", "augment", "change clips at random before the "
     "discriminator hears them: some of shift,polarity,gain,filter,noise; "
     "SpecGAN's spectrograms have no polarity"),
    ("train_jit", "train", "jit", "compile the step by XLA"),
    ("precision", "train", "precision", "fp32, or bf16: activations and "
     "products in bfloat16, weights and losses in float32"),
    ("train_max_steps", "train", "max_steps", "generator updates; 0: no end"),
    ("train_save_secs", "train", "save_secs", "between two checkpoints"),
    ("train_summary_secs", "train", "summary_secs", "between two sounds and "
     "pictures for TensorBoard"),
    ("deterministic", "train", "deterministic", "the same bits from the same "
     "seed on a GPU too, which costs time; a CPU does so anyway"),
    ("seed", "train", "seed", "of the run; in generate, of the first clip: "
     "the others count on"),
)  # fmt: skip
OPTIONS: tuple[Option, ...] = (
    ("num_gpus", -1, "train: GPUs of this machine; -1: all that it has; 0: "
     "none"),
    ("preview_n", 32, "preview, release: clips; if the model knows words, as "
     "many columns of clips as fit in, a row for each word"),
    ("incept_n", 5000, "incept: clips to score"),
    ("incept_k", 10, "incept: splits of the inception score"),
    ("incept_classifier", None, "incept, generate: folder that "
     "eval.train_classifier made; if left out, one is trained by incept from "
     "the names of the training files"),
    ("checkpoint", None, "import: checkpoint of the authors' code, "
     "PATH/model.ckpt-STEP"),
    ("once", False, "preview, incept: stop after the newest checkpoint"),
    ("n", 20, "generate: number of clips; with --say, of files, 1 if left out"),
    ("word", [], "generate: word that clips say; of several, between commas, "
     "each in turn. All that the model knows if left out"),
    ("say", "", "generate: phrase, as 'three one four', to write to one file, "
     "in one voice; its words between spaces or commas"),
    ("interpolate", [], "generate: two seeds, A B, to walk between instead; "
     "with one word, that of --word or else of seed A"),
    ("steps", 9, "generate: clips on that walk, both ends included"),
    ("interpolation", "slerp", "generate: the way, slerp or straight"),
    ("truncation", 1.0, "generate: what latent vectors are multiplied by; the "
     "smaller, the more alike the clips"),
    ("label", "", "generate: word that a judge is to hear"),
    ("best", 0, "generate: of all clips, how many to keep: those most surely "
     "heard as the label"),
    ("concat", False, "generate: write one file of all clips"),
    ("format", "", "generate: wav or flac; export: savedmodel, keras, tflite "
     "or onnx; the first if left out"),
    ("rate", 0, "generate: in Hz, to resample to; 0: as it is"),
    ("normalize", "none", "generate: bring each clip to its peak, or to a "
     "loudness of -23 LUFS: none, peak or loudness"),
    ("out_dir", None, "generate, export, release: TRAIN_DIR/generated, "
     "TRAIN_DIR/export or TRAIN_DIR/release if left out; with --pretrained, "
     "./generated or ./export"),
    ("port", 0, "play: of this machine, where to serve the page; 0: any free "
     "one"),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """The command line of a model.

    Attributes:
      model: The model.
      own_settings: Flags of fields of the config that this model alone has.
      own_options: Flags of this model alone that are not fields.
      switches: Fields that one of those turns on, and another sizes.
      own_modes: Modes of this model alone.
    """

    model: model_lib.Model
    own_settings: tuple[Setting, ...] = ()
    own_options: tuple[Option, ...] = ()
    switches: dict[str, tuple[str, str]] = dataclasses.field(
        default_factory=dict
    )
    own_modes: dict[
        str, Callable[["CommandLine", train_dir.TrainDir], None]
    ] = dataclasses.field(default_factory=dict)

    @property
    def program(self) -> str:
        """The file that people start."""
        return f"train_{self.model.name}.py"

    @property
    def settings(self) -> list[Setting]:
        """All flags of fields of the config."""
        shared = (
            (name.replace("*", self.model.name), section, field, text)
            for name, section, field, text in SETTINGS
        )
        return [*shared, *self.own_settings]

    @property
    def options(self) -> list[Option]:
        """All flags that are not fields."""
        return [*OPTIONS, *self.own_options]
