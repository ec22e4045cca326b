"""Downloads Speech Commands and unpacks its ten digits, the paper's SC09.

Source: the paper, section 5; Warden, arXiv:1804.03209.
"""

import hashlib
import http.client
import pathlib
import re
import shutil
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zlib

import tqdm

from digits import synthesizer
from system import atomic

URL = (
    "https://storage.googleapis.com/download.tensorflow.org/data/"
    "speech_commands_v0.01.tar.gz"
)
SHA256 = "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d"
NUM_BYTES = 1489096277
CLIP_COUNTS = {"train": 18620, "valid": 2494, "test": 2552}
LISTS = {"validation_list.txt": "valid", "testing_list.txt": "test"}
DIGIT_CLIP = re.compile(
    rf"({'|'.join(synthesizer.WORDS)})/([0-9a-f]+_nohash_[0-9]+\.wav)"
)
CHUNK_LEN = 2**16  # bytes
# The archive unpacks to 65,000 files, 2 GB in all, with 3 MB in the largest.
MAX_MEMBERS = 200_000
MAX_MEMBER_LEN = 2**24  # bytes
MAX_TOTAL_LEN = 2**33  # bytes
# Errors of a damaged archive.
ARCHIVE_ERRORS = EOFError, tarfile.TarError, zlib.error


def download(
    data_dir: pathlib.Path,
    url: str = URL,
    num_bytes: int = NUM_BYTES,
    sha256: str = SHA256,
    keep_archive: bool = True,
) -> None:
    """Downloads Speech Commands and writes SC09 to a new folder.

    Args:
      data_dir: Folder to create; it is left unchanged if it holds SC09 already.
      url: URL of the archive.
      num_bytes: Size of the archive in bytes.
      sha256: SHA-256 checksum of the archive in hexadecimal.
      keep_archive: Whether to keep the archive next to `data_dir`.

    Raises:
      OSError: The network or the disk fails.
      ValueError: The folder exists and holds something else, or the archive is
        not the expected one.
      EOFError, tarfile.TarError, zlib.error: The archive is damaged.
    """
    manifest = {"source": "Speech Commands", "licence": "CC BY 4.0"}
    manifest["sha256"] = sha256
    if synthesizer.is_complete(data_dir, manifest):
        return
    archive = data_dir.parent / archive_name(url)
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    check_space(archive, num_bytes)
    fetch(url, archive, num_bytes, sha256)
    with synthesizer.new_folder(data_dir, manifest) as partial_dir:
        counts = unpack_digits(archive, partial_dir)
        if sha256 == SHA256 and counts != CLIP_COUNTS:
            raise ValueError(f"{archive} has {counts}, not {CLIP_COUNTS}")
        if not any(counts.values()):
            raise ValueError(f"{archive} has no digits: check --url")
    if keep_archive:
        print(f"{archive} is kept for another run: delete it if you like")
    else:
        archive.unlink()


def archive_name(url: str) -> str:
    """Returns the file name at the end of a URL.

    Raises:
      ValueError: The URL has no file name, or is neither http nor https.
    """
    parts = urllib.parse.urlsplit(url)
    name = pathlib.PurePosixPath(parts.path).name
    if parts.scheme not in ("http", "https") or not name:
        raise ValueError(f"--url {url}: give the http(s) address of a file")
    return name


def check_space(archive: pathlib.Path, num_bytes: int) -> None:
    """Checks before the download that the disk has enough free space.

    Raises:
      OSError: There is too little free space.
    """
    # The archive, the clips (half its size), and a reserve.
    needed = 2 * num_bytes
    needed -= size_of(archive) + size_of(part_of(archive))
    free = shutil.disk_usage(archive.parent).free
    if free < needed:
        raise OSError(
            f"{archive.parent} has {free / 1e9:.1f} GB free and needs "
            f"{needed / 1e9:.1f} GB: free some, or choose another DIR"
        )


def part_of(archive: pathlib.Path) -> pathlib.Path:
    """Returns the path of an archive until it is complete and verified."""
    return archive.with_name(archive.name + ".part")


def size_of(path: pathlib.Path) -> int:
    """Returns the size of a file in bytes, 0 if there is no file."""
    return path.stat().st_size if path.exists() else 0


def fetch(url: str, archive: pathlib.Path, num_bytes: int, sha256: str) -> None:
    """Downloads an archive, or the missing part of it, and verifies it.

    Args:
      url: URL of the archive.
      archive: Path of the archive; a `.part` file until it is verified.
      num_bytes: Size of the archive in bytes.
      sha256: SHA-256 checksum of the archive in hexadecimal.

    Raises:
      OSError: The network or the disk fails; the received part is kept.
      ValueError: The archive is not the expected one; it is deleted.
    """
    if archive.exists():
        if checksum(archive) != sha256:
            raise ValueError(
                f"{archive} is there and its sha256 is not {sha256}: "
                "delete it and run the same command again"
            )
        return
    part = part_of(archive)
    if size_of(part) > num_bytes:
        part.unlink()
    if size_of(part) < num_bytes:
        try:
            receive(url, part, num_bytes)
        except urllib.error.HTTPError as error:
            raise OSError(
                f"{url}: HTTP {error.code} {error.reason}: check --url"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise OSError(
                f"{url}: {reason}: run the same command again to go on"
            ) from error
    if size_of(part) < num_bytes:
        raise OSError(
            f"{url}: cut after {size_of(part):,} of {num_bytes:,} bytes: "
            "run the same command again to go on"
        )
    if (found := checksum(part)) != sha256:
        part.unlink()
        raise ValueError(
            f"{url}: sha256 is {found}, not {sha256}, so it was thrown away: "
            "run the same command again, or check --url and --sha256"
        )
    atomic.move([part], [archive])


def receive(url: str, part: pathlib.Path, num_bytes: int) -> None:
    """Appends the missing part of a file, until the connection ends.

    Raises:
      OSError: The network or the disk fails.
      ValueError: The file on the server has another size.
    """
    num_done = size_of(part)
    headers = {"Range": f"bytes={num_done}-"} if num_done else {}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            num_done = 0  # the server does not support ranges: start anew
        offered = num_done + int(response.headers.get("Content-Length", -1))
        if "Content-Length" in response.headers and offered != num_bytes:
            raise ValueError(
                f"{url} has {offered:,} bytes, not {num_bytes:,}: "
                "check --url and --num_bytes"
            )
        with (
            part.open("ab" if num_done else "wb") as file,
            tqdm.tqdm(
                desc="Downloading",
                total=num_bytes,
                initial=num_done,
                unit="B",
                unit_scale=True,
                disable=None,
            ) as bar,
        ):
            # Received bytes are written at once, so that little is lost if the
            # program ends; and never more than the expected number of bytes,
            # whatever the server sends.
            while chunk := response.read1(min(CHUNK_LEN, num_bytes - num_done)):
                file.write(chunk)
                num_done += len(chunk)
                bar.update(len(chunk))


def checksum(path: pathlib.Path) -> str:
    """Returns the SHA-256 checksum of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_LEN):
            digest.update(chunk)
    return digest.hexdigest()


def unpack_digits(
    archive: pathlib.Path, data_dir: pathlib.Path
) -> dict[str, int]:
    """Unpacks the ten digits of an archive into train/, valid/ and test/.

    No path in the archive is used as a path on this machine: the name of a clip
    must match a pattern, and its path is built from the matched parts.

    Returns:
      Number of clips by split.

    Raises:
      ValueError: The archive has too many members, or an unsafe one.
    """
    clips: dict[str, pathlib.Path] = {}  # paths by names in the archive
    lists: dict[str, set[str]] = {}  # names in the archive by split
    total_len = 0
    with (
        archive.open("rb") as file,
        tqdm.tqdm.wrapattr(
            file,
            "read",
            total=archive.stat().st_size,
            desc="Unpacking",
            disable=None,
        ) as stream,
        tarfile.open(fileobj=stream, mode="r|gz") as tar,
    ):
        for num_members, member in enumerate(tar, start=1):
            total_len += member.size
            if num_members > MAX_MEMBERS or total_len > MAX_TOTAL_LEN:
                raise ValueError(f"{archive} is too large: not unpacked")
            check_member(member)
            name = member.name.removeprefix("./")
            content = tar.extractfile(member)
            if content is None:  # a folder
                continue
            if match := DIGIT_CLIP.fullmatch(name):
                clips[name] = data_dir / f"train/{match[1].title()}_{match[2]}"
                clips[name].write_bytes(content.read())
            elif name in LISTS:
                lists[LISTS[name]] = set(content.read().decode().split())
    num_odd = 0
    for name, path in clips.items():
        split = rule = synthesizer.assign_split(path.name.split("_")[1])
        if len(lists) == len(LISTS):
            split = next((s for s in lists if name in lists[s]), "train")
            num_odd += split != rule
        if split != "train":
            path.rename(data_dir / split / path.name)
    if num_odd:
        print(f"{num_odd} clips are split by the archive's lists, not the rule")
    return {
        split: len(list((data_dir / split).iterdir()))
        for split in synthesizer.SPLITS
    }


def check_member(member: tarfile.TarInfo) -> None:
    """Refuses members that an archive of clips has no reason to hold.

    Raises:
      ValueError: The member's path leads out of the folder, it is neither a
        file nor a folder, or it is too large.
    """
    path = pathlib.PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{member.name!r} leaves the folder: not unpacked")
    if not (member.isfile() or member.isdir()):
        raise ValueError(f"{member.name!r} is a link or device: not unpacked")
    if member.size > MAX_MEMBER_LEN:
        raise ValueError(f"{member.name!r} is too large: not unpacked")
