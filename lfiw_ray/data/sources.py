"""Where the named data sets come from: files, published MD5s, official addresses, classes.

A set has one layout or more, each a complete way to hold it; when no file is there, the first is downloaded.
"""

from typing import NamedTuple


class SourceFile(NamedTuple):
    """A published file and its MD5."""

    name: str
    md5: str


class Layout(NamedTuple):
    """Files that together hold a set, the training files first.

    `subfolder` is where the published archive puts them ("" without archive).  `url` is the archive's address, or
    the folder's, to which a file's name is appended; `archive_md5` is None for the latter.
    """

    files: tuple[SourceFile, ...]
    url: str
    subfolder: str = ""
    archive_md5: str | None = None


class NamedSet(NamedTuple):
    """A data set with a name of its own."""

    title: str
    layouts: tuple[Layout, ...]
    class_names: tuple[str, ...]


_FASHION_MNIST = Layout(
    files=(
        SourceFile("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        SourceFile("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        SourceFile("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        SourceFile("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
    url="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)

_MNIST = Layout(
    files=(
        SourceFile("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        SourceFile("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        SourceFile("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        SourceFile("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
)

_CIFAR10_BINARY = Layout(
    files=(
        SourceFile("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"),
        SourceFile("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"),
        SourceFile("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"),
        SourceFile("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"),
        SourceFile("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"),
        SourceFile("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"),
    ),
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    subfolder="cifar-10-batches-bin",
    archive_md5="c32a1d4ab5d03f1284b67883e8d87530",
)

_CIFAR10_PYTHON = Layout(
    files=(
        SourceFile("data_batch_1", "c99cafc152244af753f735de768cd75f"),
        SourceFile("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
        SourceFile("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
        SourceFile("data_batch_4", "634d18415352ddfa80567beed471001a"),
        SourceFile("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
        SourceFile("test_batch", "40351d587109b95175f43aff81a1287e"),
    ),
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    subfolder="cifar-10-batches-py",
    archive_md5="c58f30108f718f92721af3b95e74349a",
)

SETS = {
    "fashion-mnist": NamedSet(
        title="Fashion-MNIST",
        layouts=(_FASHION_MNIST,),
        class_names=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
    ),
    "mnist": NamedSet(title="MNIST", layouts=(_MNIST,), class_names=tuple("0123456789")),
    "cifar10": NamedSet(
        title="CIFAR-10",
        layouts=(_CIFAR10_BINARY, _CIFAR10_PYTHON),
        class_names=(
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
    ),
}
