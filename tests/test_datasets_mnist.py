"""Handwritten digits."""

import builtins
import gzip
import hashlib

import numpy as np
import pytest

from hetsyn_core.datasets import mnist as module
from hetsyn_core.datasets.download import digest
from hetsyn_core.datasets.mnist import digits, mnist
from hetsyn_core.paths import datasets_folder

SMALL_TRAIN = "e04a88bba1e6e7d7b38c553e8fb573e54c35e5666f87bfa2e75167c8d4b606fb"  # of scikit-learn 1.9.1


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Three digits in the format of MNIST, the images packed and the labels not, as if they were the canonical ones."""
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    labels = np.array([7, 0, 9], np.uint8)
    folder = tmp_path / "mnist"
    folder.mkdir()
    known = {}
    for (name, md5), values in zip(module.FILES["test"].items(), (images, labels), strict=True):
        header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
        data = header + values.tobytes()
        known[name] = (hashlib.md5(data).hexdigest(), md5[1])
        if values is images:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)
    monkeypatch.setattr(module, "FILES", {"test": known})
    return folder, images, labels


def test_idx_files_are_read(small):
    _, images, labels = small
    found = mnist("test")
    assert np.array_equal(found[0], images) and np.array_equal(found[1], labels)
    assert (found[0].dtype, found[1].dtype, found[2]) == (np.uint8, np.int64, "MNIST")


def test_other_bytes_are_refused(small):
    folder = small[0]
    path = next(folder.glob("*labels*"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x08")
    with pytest.raises(ValueError, match="labels.*canonical"):
        mnist("test")
    packed = next(folder.glob("*images*"))
    packed.write_bytes(packed.read_bytes()[:100])
    with pytest.raises(ValueError, match="images.*damaged"):
        mnist("test")


@pytest.mark.skipif(not (datasets_folder() / "mnist").exists(), reason="needs the files in $HETSYN_DATA/mnist")
def test_mnist_is_whole():
    for split, n in (("train", 60_000), ("test", 10_000)):
        images, labels, _ = mnist(split)
        assert images.shape == (n, 28, 28) and labels.shape == (n,) and set(labels) == set(range(10))


def test_small_digits_need_no_file():
    (train, train_labels, source), (test, test_labels, _) = digits("train"), digits("test")
    assert train.shape == (1437, 8, 8) and test.shape == (360, 8, 8) and "UCI" in source
    assert train.dtype == np.uint8 and train.min() == 0 and train.max() == 255
    assert set(train_labels) == set(test_labels) == set(range(10))


def test_small_digits_need_no_scikit_learn(monkeypatch):
    imports = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest: name.startswith("sklearn") or imports(name, *rest))
    images, labels, _ = digits("train")
    monkeypatch.undo()
    assert digest(images.tobytes() + labels.astype("<i8").tobytes(), "sha256") == SMALL_TRAIN


def test_small_digits_are_those_of_scikit_learn():
    images, labels = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    ours = [np.concatenate(parts) for parts in list(zip(digits("train"), digits("test"), strict=True))[:2]]
    assert np.array_equal(ours[0].reshape(-1, 64), np.round(images * (255 / 16))) and np.array_equal(ours[1], labels)


def test_another_split_is_refused():
    for reader in (mnist, digits):
        with pytest.raises(ValueError, match="train"):
            reader("validation")
