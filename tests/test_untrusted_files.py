"""Files from elsewhere are data: nothing in the package unpickles, and a planted pickle never runs."""

import ast
import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lfiw_ray.argv import from_argv
from lfiw_ray.config import DataConfig, GeneratorConfig, PipelineConfig
from lfiw_ray.data.load import load
from lfiw_ray.engine.external import TRAINED_HERE, identity, open_generator
from lfiw_ray.engine.models import load_model
from lfiw_ray.errors import ConfigError, LfiwError
from lfiw_ray.models import registry
from lfiw_ray.models.checkpoint import Description, description_to_bytes
from lfiw_ray.models.external_file import FileGenerator
from lfiw_ray.models.weights_file import tensors
from lfiw_ray.store import stages
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.moments_file import of_npz

FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
ROOT = Path(__file__).parents[1]
LOADERS = {  # what runs what a file says, and what makes it safe
    "torch.load": "weights_only=True",
    "np.load": "allow_pickle=False",
    "numpy.load": "allow_pickle=False",
    "yaml.load": "Loader=_Loader",
}
NEVER = {"yaml.unsafe_load", "yaml.full_load", "pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads"}
NEVER |= {
    "joblib.load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "marshal.load",
    "marshal.loads",
    "shelve.open",
    "dill.load",
}
NEVER |= {
    "os.system",
    "os.popen",
    "eval",
    "exec",
    "__import__",
    "runpy.run_path",
    "torch.hub.load",
    "tarfile.extractall",
}


def unsafe_calls(text: str) -> Iterator[str]:
    """Calls that run what a file or a text says."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {ast.unparse(k) for k in node.keywords}
            if name in NEVER or (name in LOADERS and LOADERS[name] not in given):
                yield f"{node.lineno}: {name}"
            if any(k.arg == "shell" or ast.unparse(k) == "allow_pickle=True" for k in node.keywords):
                yield f"{node.lineno}: {name} with {given}"


def test_no_file_of_the_package_runs_what_a_file_says() -> None:
    files = [*(ROOT / "lfiw_ray").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")]
    assert {str(path): found for path in files if (found := list(unsafe_calls(path.read_text())))} == {}
    assert len(files) > 200


@pytest.mark.parametrize(
    "text",
    [
        *("torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)", "np.load(f, allow_pickle=True)"),
        *(
            "pickle.loads(b)",
            "yaml.load(f, Loader=yaml.Loader)",
            "yaml.unsafe_load(f)",
            "eval(x)",
            "run(x, shell=True)",
        ),
    ],
)
def test_an_unsafe_call_is_noticed(text: str) -> None:
    assert list(unsafe_calls(text))


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self._path = str(path)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (self._path,)


@pytest.fixture
def bomb(tmp_path: Path) -> Iterator[object]:
    """A payload, which is shown to work and must not have run by the end."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "works")))
    assert (tmp_path / "works").exists()
    yield Payload(tmp_path / "ran")
    assert not (tmp_path / "ran").exists()


def npz(value: object) -> bytes:
    buffer, array = io.BytesIO(), np.empty(1, object)
    array[0] = value
    np.savez(buffer, mu=array, sigma=array)
    return buffer.getvalue()


def torch_file(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": value}, buffer)
    return buffer.getvalue()


def test_a_pickle_in_place_of_a_checkpoint_is_refused(bomb: object, tmp_path: Path) -> None:
    description = description_to_bytes(Description("vae", {}, (8, 8, 1), {}))
    for data in (pickle.dumps(bomb), torch_file(bomb)):
        folder = Folder(str(tmp_path / f"{len(data)}"))
        stages.finish(folder, "plan", {"model.safetensors": data, "model.json": description}, {})
        for opened in (load_model, lambda url: open_generator(url, TRAINED_HERE, "cpu")):
            with pytest.raises(LfiwError, match=r"model\.safetensors is not a safetensors file"):
                opened(folder.url)
        with pytest.raises(LfiwError, match="does not describe a model"):
            registry.load(b"", data, "generator")


def test_a_pickle_in_place_of_weights_is_refused(bomb: object, tmp_path: Path) -> None:
    for data in (pickle.dumps(bomb, 2), torch_file(bomb)):
        with pytest.raises(LfiwError, match="no PyTorch file of plain tensors"):
            tensors(data, tmp_path / "weights.pth", "evaluate.inception_weights")
        with pytest.raises(LfiwError):
            FileGenerator(data, 3, "cpu")


def test_a_pickle_in_an_npz_is_refused(bomb: object, tmp_path: Path) -> None:
    for data in (npz(bomb), pickle.dumps(bomb)):
        with pytest.raises(LfiwError, match=r"not a whole \.npz file of plain arrays"):
            of_npz(data, "stats.npz", 2)
        (tmp_path / "omniglot.npz").write_bytes(data)
        with pytest.raises(LfiwError):
            load(DataConfig(name="omniglot", path=str(tmp_path / "omniglot.npz")))


def test_a_pickle_in_an_exported_program_is_refused(bomb: object) -> None:
    """The archive of torch.export keeps weights and constants as files of torch.save."""
    buffer, dim = io.BytesIO(), torch.export.Dim("rows", min=1, max=64)
    torch.export.save(torch.export.export(torch.nn.Tanh(), (torch.zeros(2, 3),), dynamic_shapes=({0: dim},)), buffer)
    forged = io.BytesIO()
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(forged, "w") as new:
        for name in old.namelist():
            new.writestr(name, torch_file(bomb) if name.endswith(".pt") else old.read(name))
    with pytest.raises(LfiwError, match=r"the file cannot be loaded: .*[Ww]eights"):
        FileGenerator(forged.getvalue(), 3, "cpu")
    assert FORCE not in os.environ


def test_a_yaml_tag_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"seed: !!python/object/apply:os.mkdir ['{tmp_path}/ran']")
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        from_argv([f"--config={tmp_path}/c.yaml"], "a job", {})
    with pytest.raises(ConfigError):
        from_argv([f"--seed=!!python/object/apply:os.mkdir ['{tmp_path}/ran']"], "a job", {})
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that leaves a folder when it is imported."""
    (tmp_path / "planted.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\ndef make(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "planted:make"
    sys.modules.pop("planted", None)
    assert not (tmp_path / "ran").exists()


def test_a_run_folder_never_says_what_is_imported(module: str, tmp_path: Path) -> None:
    """Path and list of what is allowed come from who starts the job, whatever description lies in the folder."""
    for allowed, message in ((["other"], "does not name it"), ([], "does not name it")):
        external = {"path": module, "allowed": allowed}
        with pytest.raises(ConfigError, match=message):
            identity(GeneratorConfig.model_validate({"model": "import", "external": external}))
    folder = Folder(str(tmp_path / "generator"))
    planted = {"path": module, "allowed": ["planted"], "version": "1", "labels": False}
    description = description_to_bytes(Description("import", planted, (8, 8, 1), {}))
    stages.finish(folder, "plan", {"model.json": description}, {})
    with pytest.raises(ConfigError, match=r"generator\.external\.path: needed"):
        open_generator(folder.url, TRAINED_HERE, "cpu")
    assert PipelineConfig().generator.external.allowed == []
