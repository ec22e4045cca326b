"""Downloads SC09, the paper's spoken digits, or synthesises digits offline.

    python sc09.py download DIR
    python sc09.py synthesize DIR --n 2000 --seed 0

Both fill DIR/{train,valid,test} with one-second clips with names such as
Seven_<speaker>_nohash_<n>.wav. `download` fetches Speech Commands v0.01, 1.5 GB
by Pete Warden and Google under CC BY 4.0, and keeps its ten digits: 18,620
clips in train/, 2,494 in valid/, 2,552 in test/. If a download is interrupted,
run the same command again to resume it.

Source: the paper, section 5; Warden, arXiv:1804.03209.
"""

import pathlib

from system import platforms

PROGRAM = "sc09.py"
platforms.check(PROGRAM)  # before packages are loaded

from absl import app, flags

from digits import speech_commands, synthesizer
from system import console

FLAGS = flags.FLAGS
flags.DEFINE_integer("n", 2000, "synthesize: number of clips.")
flags.DEFINE_integer(
    "seed", 0, "synthesize: seed; the same seed gives the same files."
)
flags.DEFINE_string(
    "url",
    speech_commands.URL,
    "download: address of the archive, for example of a mirror.",
)
flags.DEFINE_string(
    "sha256",
    speech_commands.SHA256,
    "download: SHA-256 checksum of the archive.",
)
flags.DEFINE_integer(
    "num_bytes",
    speech_commands.NUM_BYTES,
    "download: size of the archive in bytes.",
)
flags.DEFINE_bool(
    "keep_archive",
    True,
    "download: keep the archive next to DIR, for another run.",
)


def synthesize(data_dir: pathlib.Path) -> None:
    """Synthesises a data set of spoken digits."""
    synthesizer.synthesize(data_dir, FLAGS.n, FLAGS.seed)


def download(data_dir: pathlib.Path) -> None:
    """Downloads the data set of the paper."""
    speech_commands.download(
        data_dir, FLAGS.url, FLAGS.num_bytes, FLAGS.sha256, FLAGS.keep_archive
    )


def report(data_dir: pathlib.Path) -> None:
    """Prints the numbers of clips of a data set in one line."""
    counts = (
        f"{sum(1 for _ in (data_dir / split).glob('*.wav')):,} in {split}/"
        for split in synthesizer.SPLITS
    )
    print(f"{data_dir} holds spoken digits: {', '.join(counts)}")


MODES = {"download": download, "synthesize": synthesize}


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line and reports an error in one line."""
    with console.exit_codes(PROGRAM, (flags.Error,)):
        return FLAGS(argv)


def main(argv: list[str]) -> None:
    """Runs the mode and reports an error in one line."""
    with console.exit_codes(
        PROGRAM,
        speech_commands.ARCHIVE_ERRORS,
        stopped="stopped: run the same command again",
    ):
        if len(argv) != 3 or argv[1] not in MODES:
            raise ValueError(
                f"{' '.join(argv[1:]) or 'nothing'} given: the command is "
                f"python sc09.py {{{','.join(MODES)}}} DIR [--flags]"
            )
        data_dir = pathlib.Path(argv[2])
        MODES[argv[1]](data_dir)
        report(data_dir)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
