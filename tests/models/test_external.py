"""Generators made elsewhere, as modules: import paths, files of torch, pipelines.  Nothing is imported unasked."""

import io
import sys
import types
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from lfiw_ray.core import noise
from lfiw_ray.errors import ConfigError, GeneratorError
from lfiw_ray.models.external_diffusers import PipelineGenerator
from lfiw_ray.models.external_file import FileGenerator
from lfiw_ray.models.external_import import ImportedGenerator, source_sha256, table_seed

Saved = Callable[[torch.nn.Module], bytes]
IDS = np.arange(1020, 1030)  # two blocks of noise
SOURCE = """
import numpy as np
class Good:
    def sample(self, sample_ids, seed):
        return np.zeros((len(sample_ids), 2, 2, 1), np.uint8) + np.uint8(seed % 251)
good = Good()
def make():
    return Good()
def broken():
    raise OSError("weights.bin is not there")
number = 3
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `mine` with the module `mine.net`, and `minefield`, on the path."""
    for name, text in {"mine/__init__.py": "", "mine/net.py": SOURCE, "minefield.py": "touched = 1 / 0"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in ("mine", "minefield")]:
        del sys.modules[name]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", ["good", "Good", "make"])
def test_an_object_a_class_and_a_factory_are_all_generators(name: str) -> None:
    x = ImportedGenerator(f"mine.net:{name}", ["mine"]).sample(IDS, 5, "samples")
    assert x.shape == (10, 2, 2, 1)
    assert x[0, 0, 0, 0] == table_seed(5, "samples") % 251


def test_each_table_has_a_seed_of_its_own_that_every_library_takes() -> None:
    seeds = {table_seed(seed, stream) for seed in range(500) for stream in ("samples", "fit_samples")}
    assert len(seeds) == 1000  # false alarm 1 in 10,000, and fixed
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert table_seed(5, "samples") == table_seed(5, "samples")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("allowed", [[], ["min"], ["mine.other"], ["mine.net.deeper"]])
def test_a_module_that_is_not_allowed_is_not_imported(allowed: list[str]) -> None:
    for opened in (ImportedGenerator, source_sha256):
        with pytest.raises(ConfigError, match=r"external\.allowed .* if you trust it, add 'mine' or 'mine\.net' there"):
            opened("mine.net:good", allowed)
    assert "mine" not in sys.modules


@pytest.mark.usefixtures("package")
def test_a_prefix_is_a_whole_name() -> None:
    with pytest.raises(ConfigError, match="importing minefield would run its code"):
        source_sha256("minefield:touched", ["mine"])
    with pytest.raises(GeneratorError, match="importing minefield: ZeroDivisionError: division by zero"):
        ImportedGenerator("minefield:touched", ["minefield"])


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("path", ["mine.net", "mine.net:", ":good", "mine/net.py:good", "mine.net:good:x"])
def test_another_form_of_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"is not of the form package\.module:object"):
        ImportedGenerator(path, ["mine"])


@pytest.mark.usefixtures("package")
def test_what_an_import_path_lacks_is_said() -> None:
    for name, found in {"number": "of type int", "absent": "not in its module"}.items():
        with pytest.raises(ConfigError, match=rf"mine\.net:{name} is {found}, without a method sample"):
            ImportedGenerator(f"mine.net:{name}", ["mine"])
    with pytest.raises(GeneratorError, match=r"calling mine\.net:broken: OSError: weights\.bin is not there"):
        ImportedGenerator("mine.net:broken", ["mine"])
    for module in ("mine.absent", "mine.net.deeper"):
        with pytest.raises(ConfigError, match=rf"there is no module {module}; install it, or set PYTHONPATH"):
            source_sha256(f"{module}:x", ["mine"])


def test_a_changed_module_is_another_generator(package: Path) -> None:
    before = source_sha256("mine.net:good", ["mine"])
    (package / "mine" / "net.py").write_text(SOURCE + "\n")
    assert len(before) == 64
    assert source_sha256("mine.net:good", ["mine"]) != before


class Decoder(torch.nn.Module):
    """(N, 3) to (N, 1, 2, 2) in (-1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 4)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(z)).reshape(-1, 1, 2, 2)


class Bytes(Decoder):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (super().forward(z) * 127.5 + 127.5).round().to(torch.uint8)


class Loud(Decoder):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return 255 * super().forward(z)


class Flat(Decoder):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.layer(z)


def scripted(module: torch.nn.Module) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(module, torch.zeros(2, 3)), buffer)
    return buffer.getvalue()


def exported(module: torch.nn.Module) -> bytes:
    buffer, rows = io.BytesIO(), torch.export.Dim("rows", min=1, max=4096)
    torch.export.save(torch.export.export(module, (torch.zeros(2, 3),), dynamic_shapes=({0: rows},)), buffer)
    return buffer.getvalue()


def expected(ids: np.ndarray, seed: int, stream: str) -> np.ndarray:
    """What the decoder gives for each id's own noise, rounded to the grid by other means."""
    rows = []
    for one in ids:
        block = noise.generator(seed, stream, int(one) // 1024).standard_normal((1024, 3), dtype=np.float32)
        out = Decoder()(torch.from_numpy(block[one % 1024][None])).detach().numpy()[0, 0]
        rows.append(np.rint((out + 1) * 127.5).astype(np.uint8)[..., None])
    return np.array(rows)


@pytest.mark.parametrize("saved", [scripted, exported])
@pytest.mark.parametrize("module", [Decoder, Bytes])
def test_a_file_maps_each_ids_noise_to_an_image(saved: Saved, module: type[Decoder]) -> None:
    generator = FileGenerator(saved(module()), 3, "cpu")
    x = generator.sample(IDS, 7, "samples")
    assert x.dtype == np.uint8
    assert np.array_equal(x, expected(IDS, 7, "samples"))
    assert np.array_equal(generator.sample(IDS[3:5], 7, "samples"), x[3:5])
    assert not np.array_equal(generator.sample(IDS, 7, "fit_samples"), x)


def test_a_file_that_gives_no_images_is_told() -> None:
    with pytest.raises(GeneratorError, match=r"gave numbers from -\d.* to \d.*; floats must lie in \[-1, 1\]"):
        FileGenerator(scripted(Loud()), 3, "cpu").sample(IDS, 0, "samples")
    with pytest.raises(GeneratorError, match=r"gave \(10, 4\); a tensor of images \(N, C, H, W\) is needed"):
        FileGenerator(scripted(Flat()), 3, "cpu").sample(IDS, 0, "samples")


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "")
    return buffer.getvalue()


@pytest.mark.parametrize("data", [b"", b"not a zip", zipped("data.pkl")])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"neither a TorchScript module .* nor an exported program"):
        FileGenerator(data, 3, "cpu")


def test_a_damaged_file_is_told() -> None:
    with pytest.raises(GeneratorError, match=r"external\.path: the file cannot be loaded: "):
        FileGenerator(zipped("archive/code/x.py"), 3, "cpu")


class FakePipeline:
    """What the library promises: row i of every draw comes from the i-th generator."""

    loaded: ClassVar[list[tuple[str, dict[str, Any]]]] = []
    asked: ClassVar[list[dict[str, Any]]] = []
    scale = 1.0

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> "FakePipeline":
        if name == "absent":
            raise OSError("no such repository")
        cls.loaded.append((name, options))
        return cls()

    def to(self, device: str) -> "FakePipeline":
        assert device == "cpu"
        return self

    def set_progress_bar_config(self, disable: bool) -> None:
        assert disable

    def __call__(self, generator: list[torch.Generator], output_type: str, **options: Any) -> Any:
        assert output_type == "np"
        self.asked.append(options)
        rows = [torch.rand((2, 2, 3), generator=one).numpy() * self.scale for one in generator]
        return types.SimpleNamespace(images=np.stack(rows))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> type[FakePipeline]:
    module = types.ModuleType("diffusers")
    module.DiffusionPipeline = FakePipeline  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "diffusers", module)
    monkeypatch.setattr(FakePipeline, "loaded", [])
    monkeypatch.setattr(FakePipeline, "asked", [])
    return FakePipeline


def test_a_pipelines_sample_depends_on_its_id_alone(library: type[FakePipeline]) -> None:
    pipeline = PipelineGenerator("me/ddpm@v2", 20, None, "cpu")
    x = pipeline.sample(IDS, 7, "samples")
    assert (x.shape, x.dtype) == ((10, 2, 2, 3), np.uint8)
    assert len(np.unique(x.reshape(10, -1), axis=0)) == 10
    assert np.array_equal(pipeline.sample(IDS[::-1][:4], 7, "samples"), x[::-1][:4])
    for other in ((8, "samples"), (7, "fit_samples")):
        assert not np.array_equal(pipeline.sample(IDS, *other), x)
    assert library.loaded == [("me/ddpm", {"revision": "v2"})]
    assert library.asked[0] == {"batch_size": 10, "num_inference_steps": 20}


@pytest.mark.usefixtures("library")
def test_a_pipelines_floats_are_rounded_to_the_nearest_of_256_values() -> None:
    x = PipelineGenerator("ddpm", None, None, "cpu").sample(IDS[:1], 7, "samples")
    seed = int(noise.generator(7, "samples", 0).integers(2**63, size=1024)[1020])
    y = torch.rand((2, 2, 3), generator=torch.Generator().manual_seed(seed)).numpy()
    assert np.array_equal(x[0], np.rint(y * 255))


def test_a_prompt_is_given_for_every_row(library: type[FakePipeline]) -> None:
    PipelineGenerator("ldm", None, "a shoe", "cpu").sample(IDS, 7, "samples")
    assert library.asked == [{"prompt": ["a shoe"] * 10}]


@pytest.mark.usefixtures("library")
def test_mistakes_of_a_pipeline_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GeneratorError, match="the pipeline absent cannot be loaded: OSError: no such repository"):
        PipelineGenerator("absent", None, None, "cpu")
    for scale in (255.0, float("nan")):
        monkeypatch.setattr(FakePipeline, "scale", scale)
        with pytest.raises(GeneratorError, match=r"gave float32 of shape \(10, 2, 2, 3\); floats in \[0, 1\]"):
            PipelineGenerator("ddpm", None, None, "cpu").sample(IDS, 7, "samples")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ConfigError, match=r"pip install lfiw-ray\[diffusers\]"):
        PipelineGenerator("ddpm", None, None, "cpu")
