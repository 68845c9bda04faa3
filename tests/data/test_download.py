"""Downloads into a folder: atomic and checked.  The server is a folder behind file:// URLs."""

import io
import tarfile
from pathlib import Path

import pytest

from lfiw_ray.data.download import download, md5_of
from lfiw_ray.data.sources import Layout, SourceFile
from lfiw_ray.errors import DataError

CONTENT = {"one": b"first file" * 1000, "two": b"second"}
FILES = tuple(SourceFile(name, md5_of(data)) for name, data in CONTENT.items())


@pytest.fixture
def server(tmp_path: Path) -> Path:
    folder = tmp_path / "server"
    folder.mkdir()
    for name, data in CONTENT.items():
        (folder / name).write_bytes(data)
    return folder


def archive(server: Path, names: list[str]) -> Layout:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            data = CONTENT.get(Path(name).name, b"evil")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (server / "all.tar.gz").write_bytes(out.getvalue())
    return Layout(FILES, (server / "all.tar.gz").as_uri(), "inside", md5_of(out.getvalue()))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_single_files(server: Path, tmp_path: Path):
    download(Layout(FILES, f"{server.as_uri()}/"), FILES, tmp_path / "new" / "cache")
    assert contents(tmp_path / "new" / "cache") == CONTENT


def test_only_the_missing_files_are_fetched(server: Path, tmp_path: Path):
    (server / "one").unlink()
    download(Layout(FILES, f"{server.as_uri()}/"), FILES[1:], tmp_path / "cache")
    assert contents(tmp_path / "cache") == {"two": CONTENT["two"]}


def test_an_archive_gives_its_wanted_members_alone(server: Path, tmp_path: Path):
    layout = archive(server, ["inside/one", "../evil", "/evil", "inside/other", "inside/two"])
    download(layout, FILES, tmp_path / "cache")
    assert contents(tmp_path / "cache") == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "server"]


def test_an_archive_without_the_file_is_refused(server: Path, tmp_path: Path):
    with pytest.raises(DataError, match="has no file inside/two"):
        download(archive(server, ["inside/one"]), FILES, tmp_path / "cache")


def test_altered_contents_never_get_a_name(server: Path, tmp_path: Path):
    (server / "one").write_bytes(CONTENT["one"][:-1])
    with pytest.raises(DataError, match=rf"/one: 9999 bytes with MD5 .*expected {FILES[0].md5}"):
        download(Layout(FILES, f"{server.as_uri()}/"), FILES, tmp_path / "cache")
    assert contents(tmp_path / "cache") == {}


def test_a_missing_server_file_and_an_unwritable_folder(server: Path, tmp_path: Path):
    (server / "two").unlink()
    with pytest.raises(DataError, match=r"download from file:.* failed: .*"):
        download(Layout(FILES, f"{server.as_uri()}/"), FILES, tmp_path / "cache")
    with pytest.raises(DataError, match=r"failed: .*(Not a directory|File exists)"):
        download(Layout(FILES, f"{server.as_uri()}/"), FILES, server / "one")
