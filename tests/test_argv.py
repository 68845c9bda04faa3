"""Configuration from a file, the environment and flags: precedence, types, and messages that name the fault."""

import re
from pathlib import Path

import fsspec
import pytest
import yaml

from lfiw_ray.argv import Invocation, build, from_argv, to_yaml
from lfiw_ray.config import PipelineConfig
from lfiw_ray.errors import ConfigError
from lfiw_ray.section import Section


def read(*argv: str, env: dict[str, str] | None = None) -> Invocation:
    return from_argv(argv, "a job", env or {})


@pytest.fixture
def file(tmp_path: Path):
    """Writes a configuration file and returns the flags that name it."""

    def write(text: str) -> tuple[str, str]:
        path = tmp_path / "some-file.yaml"
        path.write_text(text)
        return "--config", str(path)

    return write


def leaves(section: Section, prefix: str = "") -> dict[str, object]:
    """Dotted name and value of every field."""
    found: dict[str, object] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, Section) else {f"{prefix}{name}": value}
    return found


def test_nothing_given_is_the_default():
    assert read() == Invocation(PipelineConfig(), dry_run=False, repair=False)


def test_flags_beat_the_environment_which_beats_the_file(file):
    named = file("seed: 1\nresample: {k: 1, num_tasks: 1}\ngenerate:\n  pool: {max_actors: 3}\n")
    env = {"LFIW__SEED": "2", "LFIW__RESAMPLE__K": "2", "OTHER__SEED": "9", "PATH": ":"}
    config = read(*named, "--seed=3", env=env).config
    assert (config.seed, config.resample.k, config.resample.num_tasks) == (3, 2, 1)
    assert config.generate.pool.max_actors == 3
    assert config.generate.pool.min_actors == 1


def test_the_environment_is_read_unless_one_is_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LFIW__SEED", "5")
    assert from_argv([], "a job").config.seed == 5


def test_a_file_may_lie_at_a_url():
    with fsspec.open("memory://somewhere/c.yaml", "w") as out:
        out.write("seed: 4\n")
    assert read("--config", "memory://somewhere/c.yaml").config.seed == 4


def test_an_empty_file_changes_nothing(file):
    assert read(*file("# nothing\n")).config == PipelineConfig()


def test_a_section_given_in_part_keeps_the_rest_of_its_own_default(file):
    default = PipelineConfig().classifier.train
    assert default != type(default)()  # else this shows nothing
    for argv in (["--classifier.train.lr=0.5"], file("classifier: {train: {lr: 0.5}}")):
        assert read(*argv).config.classifier.train == default.model_copy(update={"lr": 0.5})


@pytest.mark.parametrize(
    "argv",
    [
        ["--generate.num-samples=20000", "--dry-run"],
        ["--generate.num_samples", "20000", "--dry_run"],
        ["--generate.num_samples=3", "--generate.num_samples=2e4", "--dry-run"],
    ],
)
def test_hyphens_and_underscores_are_the_same_and_the_last_flag_wins(argv: list[str]):
    asked = read(*argv)
    assert (asked.config.generate.num_samples, asked.dry_run, asked.repair) == (20_000, True, False)
    assert read("--repair").repair


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("generate.num_samples", "1e6", 1_000_000),
        ("generate.num_samples", "+1E6", 1_000_000),
        ("generate.num_samples", "1.5e6", 1_500_000),
        ("generate.num_samples", "1_000_000", 1_000_000),
        ("generator.train.lr", "1e-4", 1e-4),
        ("generator.train.lr", "3", 3.0),
        ("generator.train.bf16", "false", False),
        ("weights.alpha", "0.5", 0.5),
        ("weights.alpha", "auto", "auto"),
        ("resample.schemes", "[gumbel]", ["gumbel"]),
        ("evaluate.num_rows", "null", None),
        ("evaluate.extractors", "[inception, vgg16]", ["inception", "vgg16"]),
        ("evaluate.reference_npz", "{domain: /x/stats.npz}", {"domain": "/x/stats.npz"}),
    ],
)
def test_values_have_the_same_type_from_every_source(file, field: str, text: str, value: object):
    nested = text
    for part in reversed(field.split(".")):
        nested = f"{{{part}: {nested}}}"
    env = {"LFIW__" + field.upper().replace(".", "__"): text}
    for config in (read(f"--{field}={text}"), read(env=env), read(*file(nested))):
        found = leaves(config.config)[field]
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize("text", ["2024-01-01", "123", "on", "a: b", "~/x", "s3://bucket/run=1", "1e6", "None"])
def test_a_text_field_takes_its_text_as_it_stands(text: str):
    assert read(f"--run={text}").config.run == text
    assert read(env={"LFIW__RUN": text}).config.run == text


@pytest.mark.parametrize("text", ["None", "none", "null", "~", ""])
def test_an_optional_field_can_be_unset(text: str, file):
    named = file("data: {path: /somewhere}\nevaluate: {num_rows: 100}")
    config = read(*named, f"--data.path={text}", f"--evaluate.num_rows={text}").config
    assert config.data.path is None
    assert config.evaluate.num_rows is None


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("generate.num_sampels", "generate.num_samples"),
        ("num_samples", "generate.num_samples"),
        ("sead", "seed"),
        ("resample.kk", "resample.k"),
        ("classifier.train.epoch", "classifier.train.epochs"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one_whatever_its_source(file, key: str, nearest: str):
    nested: object = 5
    for part in reversed(key.split(".")):
        nested = {part: nested}
    variable = "LFIW__" + key.upper().replace(".", "__")
    hint = re.escape(f"{key}; did you mean {nearest}?")
    with pytest.raises(ConfigError, match=f"unknown flag --{hint}"):
        read(f"--{key}=5")
    with pytest.raises(ConfigError, match=f"unknown environment variable {variable}: key {hint}"):
        read(env={variable: "5"})
    with pytest.raises(ConfigError, match=f"unknown configuration key {hint}"):
        read(*file(yaml.safe_dump(nested)))


@pytest.mark.parametrize(
    ("name", "right"),
    [("LFIW_SEED", "LFIW__SEED"), ("LFIW_GENERATE__NUM_SAMPLES", "LFIW__GENERATE__NUM_SAMPLES")],
)
def test_a_variable_with_an_underscore_too_few_is_not_ignored(name: str, right: str):
    with pytest.raises(ConfigError, match=f"{name}: settings begin with LFIW__; did you mean {right}"):
        read(env={name: "5"})
    assert read(env={right: "16384", "LFIW_DATA": "/a/folder", "LFIW_SOMETHING": "else", "MY_LFIW_SEED": "5"})


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--zzz"], "unknown flag --zzz; --help lists all"),
        (["--repiar"], "unknown flag --repiar; did you mean repair?"),
        (["--dry-run=yes"], "ignored explicit argument 'yes'"),
        (["--seed"], "--seed: expected one argument"),
        (["more"], "unexpected argument 'more'"),
        (["--see=5"], "did you mean seed?"),
        (["--generate.num_samples=many"], "generate.num_samples: Input should be a valid integer, got 'many'"),
        (["--generate.num_samples=1.5"], "generate.num_samples: Input should be a valid integer, got 1.5"),
        (["--generate.num_samples=1e999999999"], "generate.num_samples: Input should be a valid integer, got inf"),
        (["--generate.num_samples=0"], "generate.num_samples: Input should be greater than or equal to 1, got 0"),
        (["--generate.num_samples=-5"], "generate.num_samples: Input should be greater than or equal to 1, got -5"),
        (["--generate.num_samples", "-5"], "generate.num_samples: Input should be greater than or equal to 1, got -5"),
        (["--generate.rows_per_shard=0"], "generate.rows_per_shard: Input should be greater than or equal to 1, got 0"),
        (["--generate.rows_per_shard=100"], "rows_per_shard (100) must be a multiple of"),
        (["--generate.batch_size=1000"], "batch_size (1000) must divide 1024"),
        (["--run="], "run: String should have at least 1 character, got ''"),
        (["--weights.alpha=-0.5"], "weights.alpha: Input should be greater than or equal to 0, got -0.5"),
        (["--resample.k=0"], "resample.k: Input should be greater than or equal to 1, got 0"),
        (["--resample.k=200000"], "resample.k (200000) is more than generate.num_samples (100000)"),
        (["--resample.schemes=[sir, sirr]"], "resample.schemes: Input should be 'sir', 'systematic', 'stratified', "),
        (["--resample.schemes=[]"], "resample.schemes: List should have at least 1 item"),
        (["--resample.schemes=[sir"], "resample.schemes: value '[sir' cannot be read"),
        (["--generator.train.bf16=2"], "generator.train.bf16: Input should be a valid boolean, got 2"),
        (["--generator.train.lr=.nan"], "generator.train.lr: Input should be a finite number, got nan"),
        (["--generator.train.lr=fast"], "generator.train.lr: Input should be a valid number, got 'fast'"),
        (["--generator.train.schedule=cosin"], "generator.train.schedule: Input should be 'constant', 'linear' or"),
        (["--data.generator_fraction=0.9"], "data: the three fractions sum to 1.3"),
        (["--evaluate.reference_npz={inception: a}"], "evaluate: reference_npz names inception; the extractors are"),
        (["--evaluate.extractors=[incepton]"], "evaluate.extractors: Input should be 'domain', 'random', 'inception'"),
        (["--generate.pool.min_actors=3"], "generate.pool: max_actors (1) is less than min_actors (3)"),
        (["--seed=x", "--resample.k=y"], "seed: Input should be a valid integer, got 'x'; resample.k: Input should"),
    ],
)
def test_a_bad_flag_names_field_and_value(argv: list[str], message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        read(*argv)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("generate: 5", "configuration key generate is a section of fields, got 5"),
        ("generate: [1]", "configuration key generate is a section of fields, got [1]"),
        ("generate: {pool: big}", "configuration key generate.pool is a section of fields, got 'big'"),
        ("generate:", "configuration key generate is a section of fields, got None"),
        ("seed: {a: 1}", "seed: Input should be a valid integer"),
        ("seed: '5'", "seed: Input should be a valid integer, got '5'"),
        ("run: 5", "run: Input should be a valid string, got 5"),
        ("resample: {k: 2000000}", "resample.k (2000000) is more than generate.num_samples (100000)"),
        ("clasifier: {train: {lr: 1}}", "unknown configuration key clasifier; did you mean classifier?"),
        ("1: 2", "unknown configuration key 1"),
        ("dry_run: true", "unknown configuration key dry_run"),
        ("- seed", "must hold sections of fields, got list"),
        ("seed", "must hold sections of fields, got str"),
        ("seed: [1", "some-file.yaml: while parsing"),
        ("seed: !!python/object:os.system {}", "some-file.yaml: could not determine a constructor"),
        ("\x00", "some-file.yaml: unacceptable character"),
    ],
)
def test_a_bad_file_names_what_is_wrong(file, text: str, message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        read(*file(text))


def test_a_flag_into_a_section_that_the_file_gave_as_a_scalar(file):
    with pytest.raises(ConfigError, match="generate is a section of fields, got 5"):
        read(*file("generate: 5"), "--generate.num_samples=7")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    for path in (tmp_path / "none.yaml", tmp_path, "abfs://x/y.yaml"):
        with pytest.raises(ConfigError, match=f"configuration file {path}: "):
            read("--config", str(path))


def test_help_explains_every_field(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        read("--help")
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "a job" in text
    for key, default in leaves(PipelineConfig()).items():
        wanted = rf"--{re.escape(key)} V ((?! --).)+? \[(what|how); default {re.escape(str(default))}\]"
        assert re.search(wanted, text), key


def test_yaml_holds_the_whole_configuration(file):
    config = read(
        "--generator.train.lr=1e-7", "--run=2024-01-01", "--resample.schemes=[gumbel]", "--weights.alpha=0.25"
    ).config
    assert read(*file(to_yaml(config))).config == config
    assert build(yaml.safe_load(to_yaml(PipelineConfig()))) == PipelineConfig()


def test_the_shipped_configurations_are_valid():
    shipped = sorted((Path(__file__).parents[1] / "jobs" / "configs").glob("*.yaml"))
    assert shipped
    for path in shipped:
        read("--config", str(path))
