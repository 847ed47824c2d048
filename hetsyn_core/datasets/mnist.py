"""Handwritten digits: MNIST, and small ones that come with this repository."""

import numpy as np

from ..paths import ROOT, datasets_folder
from .download import content, digest, fetch
from .split import Split, check_split

MNIST, SMALL = "MNIST", "UCI digits, 8 x 8 (scikit-learn)"  # what they are called
URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
# For each file, md5 of its content, and of the packed file at URL.
FILES = {
    "train": {
        "train-images-idx3-ubyte": ("6bbc9ace898e44ae57da46a324031adb", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        "train-labels-idx1-ubyte": ("a25bea736e30d166cdddb491f175f624", "d53e105ee54ea40749a09fcbcd1e9432"),
    },
    "test": {
        "t10k-images-idx3-ubyte": ("2646ac647ad5339dbf082846283269ea", "9fb629c4189551a2d022fa330f9573f3"),
        "t10k-labels-idx1-ubyte": ("27ae3e4e09519cfbb04c329615203637", "ec29112dd5afa0611ce80d1b7f02629c"),
    },
}
HEADERS = (16, 8)  # bytes before the first value, of images and of labels
UCI = ROOT / "data" / "digits" / "digits.csv.gz"  # 64 pixels from 0 to 16, row by row, and the digit
DIGITS_TEST = 360

Images = tuple[np.ndarray, np.ndarray, str]


def mnist(split: Split) -> Images:
    """60,000 training or 10,000 test digits: images, uint8 (n, 28, 28); labels, int64 (n,); what they are.

    The four canonical files lie in ``$HETSYN_DATA/mnist``, packed or not, or are downloaded (12 MB).

    Raises:
        ConnectionError: a file is missing, and it cannot be downloaded.
        ValueError: an unknown split, or a file is not the canonical one.
    """
    check_split(split)
    values = [_values(name, *md5, header) for (name, md5), header in zip(FILES[split].items(), HEADERS, strict=True)]
    return values[0].reshape(-1, 28, 28), values[1].astype(np.int64), MNIST


def digits(split: Split) -> Images:
    """1,437 training or 360 test digits of 8 x 8 pixels, without a download: as `mnist`, values from 0 to 255.

    ``data/digits`` holds the 1,797 digits of the UCI set in the order of scikit-learn's ``load_digits``, which names no
    split of them; here, the last 360 are the test set. A pixel counts the black ones among 4 x 4
    finer ones, so it has 17 levels.

    Raises:
        ValueError: an unknown split.
    """
    check_split(split)
    table = np.loadtxt(UCI, np.uint8, delimiter=",")
    images, labels = table[:, :-1], table[:, -1]
    rows = slice(-DIGITS_TEST) if split == "train" else slice(-DIGITS_TEST, None)
    images = np.round(images[rows] * (255 / 16)).astype(np.uint8)
    return images.reshape(-1, 8, 8), labels[rows].astype(np.int64), SMALL


def _values(name: str, md5: str, packed_md5: str, header: int) -> np.ndarray:
    path = datasets_folder() / "mnist" / name
    if not path.exists():
        path = fetch(f"mnist/{name}.gz", f"{URL}{name}.gz", f"md5:{packed_md5}")
    data = content(path, name) if path.suffix == ".gz" else path.read_bytes()
    if digest(data) != md5:
        raise ValueError(f"{path} does not hold the canonical MNIST: delete it, then fetch it again")
    return np.frombuffer(data, np.uint8, offset=header)
