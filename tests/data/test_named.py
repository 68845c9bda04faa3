"""Fashion-MNIST, MNIST and CIFAR-10 by name: the real files, and small ones with checksums of their own."""

import gzip
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

import fsspec
import numpy as np
import pytest

from lfiw_ray.config import DataConfig
from lfiw_ray.data.download import md5_of
from lfiw_ray.data.load import ImageData, load
from lfiw_ray.data.named import cache_folder
from lfiw_ray.data.sources import SETS, SourceFile
from lfiw_ray.errors import DataError

IDX_NAMES = [file.name for file in SETS["mnist"].layouts[0].files]
Publish = Callable[[str, Mapping[str, bytes], Path], None]


def load_named(name: str, path: object = None) -> ImageData:
    return load(DataConfig(name=name, path=None if path is None else str(path)))


# --- the real files


@pytest.mark.parametrize(
    ("name", "folder", "first_labels", "counts"),
    [
        ("mnist", "mnist", [5, 0, 4, 1, 9], [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]),
        ("fashion-mnist", "fashion_mnist", [9, 0, 0, 3, 0], [7000] * 10),
    ],
)
def test_the_published_idx_files(name: str, folder: str, first_labels: list[int], counts: list[int], shared_data: Path):
    data = load_named(name, shared_data / folder)
    assert data.x.shape == (70_000, 28, 28, 1)
    assert data.labels is not None
    assert data.labels[:5].tolist() == first_labels
    assert np.bincount(data.labels).tolist() == counts
    assert data.class_names is not None
    assert len(data.class_names) == 10
    raw = gzip.decompress((shared_data / folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    assert data.x[60_000:].tobytes() == raw[16:]  # the test rows come last, in their order


def test_the_published_cifar10_binary_files(cifar10_folder: Path, cifar10: ImageData):
    for folder in (cifar10_folder, cifar10_folder / "cifar-10-batches-bin"):
        data = load_named("cifar10", folder)
        assert np.array_equal(data.x, cifar10.x)
        assert np.array_equal(data.labels, cifar10.labels)
        assert data.x.shape == (60_000, 32, 32, 3)
    assert data.class_names is not None
    assert data.class_names[int(data.labels[0])] == "frog"  # type: ignore[index]


def test_a_flipped_bit_of_a_cifar10_batch_is_found(cifar10_folder: Path, tmp_path: Path):
    for file in (cifar10_folder / "cifar-10-batches-bin").iterdir():
        (tmp_path / file.name).symlink_to(file)
    data = bytearray((tmp_path / "data_batch_3.bin").read_bytes())
    data[12_345_678] ^= 1
    (tmp_path / "data_batch_3.bin").unlink()
    (tmp_path / "data_batch_3.bin").write_bytes(data)
    message = r"data_batch_3\.bin: 30730000 bytes with MD5 [0-9a-f]{32}, expected 942cd6a4bcdd0dd3c604fbe906cb4421"
    with pytest.raises(DataError, match=message):
        load_named("cifar10", tmp_path)


def test_the_published_md5s_are_torchvisions():
    """Read from its source: an import of torchvision is not needed for this."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        pytest.skip("needs torchvision")
    source = "".join((Path(spec.origin).parent / "datasets" / f"{name}.py").read_text() for name in ("cifar", "mnist"))
    files = [file for name in ("mnist", "fashion-mnist") for file in SETS[name].layouts[0].files]
    for file in [*files, *SETS["cifar10"].layouts[1].files]:
        line = next(line for line in source.splitlines() if file.md5 in line)
        assert f'"{file.name}"' in line


# --- small files


def idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return gzip.compress(header + values.tobytes())


@pytest.fixture
def tiny() -> dict[str, bytes]:
    """The four files of a set of 3 + 2 images of 4 x 5 pixels."""
    x = np.arange(100, dtype=np.uint8).reshape(5, 4, 5)
    parts = [x[:3], np.array([1, 2, 3], np.uint8), x[3:], np.array([4, 5], np.uint8)]
    return {name: idx(part) for name, part in zip(IDX_NAMES, parts, strict=True)}


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """publish(name, files, server): make these files, by their MD5s and the folder `server`, the published ones."""

    def publish(name: str, files: Mapping[str, bytes], server: Path) -> None:
        old = SETS[name]
        layouts = tuple(
            layout._replace(
                files=tuple(SourceFile(file.name, md5_of(files.get(file.name, b""))) for file in layout.files),
                url=f"{server.as_uri()}/",
                archive_md5=None,
            )
            for layout in old.layouts
        )
        monkeypatch.setitem(SETS, name, old._replace(layouts=layouts))

    return publish


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LFIW_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mnist"


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_train_rows_then_test_rows(tiny: dict[str, bytes], publish: Publish, tmp_path: Path):
    publish("mnist", tiny, tmp_path)
    data = load_named("mnist", write(tmp_path, tiny))
    assert data.x.ravel().tolist() == list(range(100))
    assert data.x.shape == (5, 4, 5, 1)
    assert data.labels is not None
    assert data.labels.tolist() == [1, 2, 3, 4, 5]
    assert data.labels.dtype == np.int64
    assert data.name == "mnist"


def test_files_at_a_url(tiny: dict[str, bytes], publish: Publish, memory: fsspec.AbstractFileSystem, tmp_path: Path):
    publish("mnist", tiny, tmp_path)
    memory.pipe({f"/sets/mnist/{name}": data for name, data in tiny.items()})
    assert load_named("mnist", "memory://sets/mnist/").x.ravel().tolist() == list(range(100))


def test_python_batches_of_cifar10(publish: Publish, python_batch: Callable[[object], bytes], tmp_path: Path):
    rows = np.random.default_rng(0).integers(0, 256, (12, 3072), dtype=np.uint8)
    names = [file.name for file in SETS["cifar10"].layouts[1].files]
    files = {
        name: python_batch({"labels": [n, n + 1], "data": rows[2 * n : 2 * n + 2]}) for n, name in enumerate(names)
    }
    publish("cifar10", files, tmp_path)
    write(tmp_path / "cifar-10-batches-py", files)
    for folder in (tmp_path, tmp_path / "cifar-10-batches-py"):
        data = load_named("cifar10", folder)
        assert np.array_equal(data.x, rows.reshape(12, 3, 32, 32).transpose(0, 2, 3, 1))
        assert data.labels is not None
        assert data.labels.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]


def test_an_altered_python_batch_is_not_unpickled(
    publish: Publish, python_batch: Callable[[object], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = [file.name for file in SETS["cifar10"].layouts[1].files]
    files = dict.fromkeys(names, python_batch({"labels": [0], "data": np.zeros((1, 3072), np.uint8)}))
    publish("cifar10", files, tmp_path)
    write(tmp_path, {**files, "test_batch": files["test_batch"] + b"x"})
    monkeypatch.setattr("lfiw_ray.data.named.parse_python", lambda *_: pytest.fail("unpickled before all were checked"))
    with pytest.raises(DataError, match=r"test_batch: .* expected"):
        load_named("cifar10", tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
def test_damaged_files_are_named_with_both_md5s(damage: str, tiny: dict[str, bytes], publish: Publish, tmp_path: Path):
    publish("mnist", tiny, tmp_path)
    good = tiny[IDX_NAMES[2]]
    bad = {"truncated": good[:-1], "altered": good[:20] + bytes([good[20] ^ 1]) + good[21:], "empty": b""}[damage]
    write(tmp_path, {**tiny, IDX_NAMES[2]: bad})
    message = rf"{IDX_NAMES[2]}: {len(bad)} bytes with MD5 {md5_of(bad)}, expected {md5_of(good)}"
    with pytest.raises(DataError, match=message):
        load_named("mnist", tmp_path)


def test_missing_files_are_listed_and_nothing_is_downloaded_into_a_given_folder(
    tiny: dict[str, bytes], publish: Publish, tmp_path: Path
):
    server, mine = write(tmp_path / "server", tiny), tmp_path / "mine"
    publish("mnist", tiny, server)
    write(mine, {name: tiny[name] for name in IDX_NAMES[:2]})
    with pytest.raises(DataError) as caught:
        load_named("mnist", mine)
    text = str(caught.value)
    assert f"MNIST: 2 of 4 files are missing from {mine}:" in text
    for name in IDX_NAMES[2:]:
        assert f"{name}  MD5 {md5_of(tiny[name])}" in text
    assert not any(name in text for name in IDX_NAMES[:2])
    assert sorted(path.name for path in mine.iterdir()) == sorted(IDX_NAMES[:2])


def test_without_a_path_the_missing_files_are_downloaded_once(
    tiny: dict[str, bytes], publish: Publish, tmp_path: Path, cache: Path
):
    server = write(tmp_path / "server", tiny)
    publish("mnist", tiny, server)
    write(cache, {IDX_NAMES[0]: tiny[IDX_NAMES[0]]})
    assert len(load_named("mnist").x) == 5
    for name in IDX_NAMES:
        (server / name).unlink()
    assert len(load_named("mnist").x) == 5  # from the cache alone


def test_without_network_the_message_says_what_to_put_where(
    tiny: dict[str, bytes], publish: Publish, tmp_path: Path, cache: Path
):
    publish("mnist", tiny, tmp_path / "nowhere")
    with pytest.raises(DataError) as caught:
        load_named("mnist")
    text = str(caught.value)
    assert f"4 of 4 files are missing from {cache}:" in text
    assert all(f"{name}  MD5 {md5_of(data)}" in text for name, data in tiny.items())
    assert f"they are published at {(tmp_path / 'nowhere').as_uri()}/" in text
    assert "failed: " in text


def test_a_damaged_file_in_the_cache_is_an_error(tiny: dict[str, bytes], publish: Publish, tmp_path: Path, cache: Path):
    publish("mnist", tiny, write(tmp_path / "server", tiny))
    write(cache, {**tiny, IDX_NAMES[3]: b"half"})
    with pytest.raises(DataError, match=rf"{cache}/{IDX_NAMES[3]}: 4 bytes with MD5"):
        load_named("mnist")


def test_the_home_cache_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("LFIW_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("mnist") == tmp_path / ".cache" / "lfiw_ray" / "mnist"
