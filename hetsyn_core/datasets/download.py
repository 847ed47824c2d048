"""Files fetched by address and checksum, and taken out of archives."""

import gzip
import hashlib
import re
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pooch
import requests
from filelock import FileLock
from urllib3.exceptions import HTTPError

from ..paths import datasets_folder, writable
from ..progress import bar

STALL_S = 30  # without a byte for so long, the connection counts as broken
WAIT_S = 1  # before the next attempt
ATTEMPTS = 3  # in a row that bring nothing new


def fetch(name: str, url: str, checksum: str | None) -> Path:
    """``$HETSYN_DATA/name``: the file that is there, or a download, whole or not at all.

    A broken download goes on where it ended, in this call or in the next one.

    Args:
        checksum: of the download, as "md5:..." or "sha256:..."; None where only the content has one. A file that is
            already there is for its reader to check.

    Raises:
        ConnectionError: the download does not come to its end.
        OSError: the folder cannot be written to.
        ValueError: it has another checksum.
    """
    target = datasets_folder() / name
    if target.exists():
        return target
    part = target.with_name(f".{target.name}.part")

    def download(url: str, file: str, _: object) -> None:
        _download(url, part)
        part.replace(file)

    writable(target.parent)
    advice = f"try again later, or put {target.name} into {target.parent} yourself"
    try:
        # Of several processes that miss the file at the same time, one fetches it and the others wait.
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.exists():
                pooch.retrieve(url, checksum, target.name, target.parent, downloader=download)
        return target
    except (requests.RequestException, HTTPError) as error:
        raise ConnectionError(f"{url} could not be downloaded ({_one_line(error)}): {advice}") from None
    except ValueError:  # by pooch, which has deleted what came
        raise ValueError(f"{url} sent something else than {checksum}: {advice}") from None


def digest(data: Path | bytes, kind: str = "md5") -> str:
    """The checksum ("md5" or "sha256") of a file or of bytes, in hexadecimal digits."""
    if isinstance(data, bytes):
        return hashlib.new(kind, data).hexdigest()
    return pooch.file_hash(data, kind)


def content(archive: Path, name: str) -> bytes:
    """What is in a .gz file, or in the member ``name`` of a .zip file, in whatever folder.

    Raises:
        ValueError: as `unzip`, or there is no such member.
    """
    if archive.suffix == ".gz":
        with _archive(archive):
            return gzip.decompress(archive.read_bytes())
    found = unzip(archive, re.compile(re.escape(name)))
    if not found:
        raise ValueError(f"{archive} does not hold {name}")
    return found[name]


def unzip(archive: Path, wanted: re.Pattern) -> dict[str, bytes]:
    """Names, without their folders, and contents of the members that are called as ``wanted``.

    Raises:
        ValueError: the archive is damaged, or one of its members points outside the folder it would be unpacked to.
    """
    with _archive(archive), zipfile.ZipFile(archive) as file:
        for member in file.namelist():
            if member.startswith(("/", "\\")) or ":" in member or ".." in re.split(r"[/\\]", member):
                raise ValueError(f"{archive} is refused: its member {member} points outside its folder")
        names = {PurePosixPath(member).name: member for member in file.namelist()}
        return {name: file.read(member) for name, member in names.items() if wanted.fullmatch(name)}


@contextmanager
def _archive(path: Path) -> Iterator[None]:
    try:
        if path.stat().st_size == 0:
            raise EOFError("it is empty")
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it, then fetch it again") from None


def _download(url: str, part: Path) -> None:
    longest, fruitless = 0, 0
    while True:
        try:
            return _continue(url, part)
        except (requests.RequestException, HTTPError) as error:
            size = part.stat().st_size if part.exists() else 0
            fruitless = 0 if size > longest else fruitless + 1
            longest = max(longest, size)
            refused = isinstance(error, requests.HTTPError) and error.response.status_code < 500
            if refused or fruitless == ATTEMPTS:
                raise
            time.sleep(WAIT_S)


def _continue(url: str, part: Path) -> None:
    """Append to ``part`` what it lacks; begin again where the server ignores Range."""
    have = part.stat().st_size if part.exists() else 0
    # A server that calls .gz an encoding of the transfer must not have it taken off: hence identity, and raw below.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, stream=True, timeout=STALL_S, headers=headers) as answer:
        if answer.status_code == 416:  # nothing is left to send: it was whole, or the checksum will tell
            return
        answer.raise_for_status()
        have = have if answer.status_code == 206 else 0
        total = have + int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
        shown = bar(desc=part.name[1:-5], total=total, initial=have, unit="B", unit_scale=True)
        with shown, open(part, "ab" if have else "wb") as file:
            for block in answer.raw.stream(2**16, decode_content=False):
                file.write(block)
                shown.update(len(block))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
