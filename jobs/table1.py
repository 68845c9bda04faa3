"""The paper's table: raw, weighted and chosen samples of several generators against real rows, over disjoint pools.

python jobs/table1.py                                      # small: two generators, tens of minutes on two cores
python jobs/table1.py --full --num-gpus=1                  # 10,000 against 10,000 test and 50,000 against 50,000 train
python jobs/table1.py --config=A.yaml --config=B.yaml --extractor=inception --inception-weights=FILE --num-rows=500

Each generator is a configuration of the pipeline, which runs up to its weights in ROOT/<name of the file>; finished
stages and finished pools are not computed again.  Flags that are not named here set fields of all configurations.
Writes FILE, and beside it the table (.md) and the figure (.svg).  Exit codes: 0 done, 1 the work failed, 2 bad input.
"""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

from job import stop_when_told

from lfiw_ray import pipeline
from lfiw_ray.argv import count, from_argv
from lfiw_ray.config import PipelineConfig
from lfiw_ray.engine.cluster import connected
from lfiw_ray.engine.repair import repair
from lfiw_ray.errors import ConfigError, LfiwError
from lfiw_ray.report import table1_figure, table1_text
from lfiw_ray.studies.table1 import study
from lfiw_ray.studies.table1_job import FULL, SMALL, Sizes

CONFIGS = Path(__file__).parent / "configs"
SMALL_NAMES = ("fashion_mnist_vae_small", "cifar10_sngan_small")
FULL_NAMES = ("cifar10_sngan", "cifar10_pixelcnn", "cifar10_vae")
DIVIDED = ("fashion-mnist", "mnist", "cifar10")  # data whose publisher names test rows


def _arguments(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", action="append", metavar="FILE", help="a generator's configuration; may repeat")
    parser.add_argument("--run", default="runs/table1", metavar="ROOT", help="folder or URL of the runs (runs/table1)")
    parser.add_argument("--full", action="store_true", help="the paper's sizes: days on a GPU; without: small")
    parser.add_argument("--num-repeats", type=count, metavar="R", help="disjoint pools, at least 2 (10)")
    parser.add_argument("--num-rows", type=count, metavar="N", help="at most so many rows of an arm, at least 2")
    parser.add_argument(
        "--extractor",
        action="append",
        metavar="NAME",
        help="feature space, may repeat (domain, random; inception too with --full or --inception-weights)",
    )
    parser.add_argument("--inception-weights", metavar="FILE", help="local Inception weights; none: downloaded")
    parser.add_argument("--repair", action="store_true", help="check every byte of finished work and redo what is bad")
    parser.add_argument("--json", type=Path, default=Path("table1.json"), metavar="FILE", help="where results go")
    return parser.parse_known_args(argv)


def main(argv: list[str]) -> int:
    """Run the study; returns the exit code."""
    stop_when_told()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    asked, others = _arguments(argv)
    try:
        found = _study(asked, others)
    except LfiwError as err:
        print(f"error: {err}", file=sys.stderr)
        return err.exit_code
    _write(asked.json, found)
    return 0


def _study(asked: argparse.Namespace, others: list[str]) -> dict[str, Any]:
    sizes, extractors = _sizes(asked), _extractors(asked)
    names = FULL_NAMES if asked.full else SMALL_NAMES
    files = asked.config or [str(CONFIGS / f"{name}.yaml") for name in names]
    opened = {Path(file).stem: pipeline.open_run(_config(asked, file, others, sizes, extractors)) for file in files}
    if asked.repair:
        for run, _ in opened.values():
            print(*(repair(run) or [f"{run.url}: nothing to repair"]), sep="\n")
    generators = []
    for name, (run, real) in opened.items():
        with connected(run.config):
            pipeline.run_to_weights(run, real)
            generators.append({"name": name, **study(run, real, sizes, extractors)})
    label = "Full: the paper's sizes" if sizes == FULL else "Small: fewer rows than the paper's, and small generators"
    return {"label": label, "generators": generators}


def _sizes(asked: argparse.Namespace) -> Sizes:
    usual = FULL if asked.full else SMALL
    protocols = [p._replace(num_rows=min(p.num_rows, asked.num_rows or p.num_rows)) for p in usual.protocols]
    return Sizes(tuple(protocols), asked.num_repeats or usual.num_repeats)


def _extractors(asked: argparse.Namespace) -> list[str]:
    wanted = asked.extractor or ["domain", "random"]
    if not asked.extractor and (asked.full or asked.inception_weights):
        wanted.append("inception")
    return list(dict.fromkeys(wanted))


def _config(
    asked: argparse.Namespace, file: str, others: list[str], sizes: Sizes, extractors: list[str]
) -> PipelineConfig:
    """The generator's configuration, with a folder of its own, its test rows apart, and samples for all pools.

    There are twice as many samples as the arms have rows, so that those which choose have something to choose from; a
    folder of samples has what it has.
    """
    invocation = from_argv([f"--config={file}", *others], "")
    if invocation.dry_run:
        raise ConfigError(
            "--dry-run: not possible for several runs at once; ask jobs/full_pipeline.py for each --config"
        )
    given = invocation.config
    least = 2 * sizes.num_repeats * max(protocol.num_rows for protocol in sizes.protocols)
    flags = [
        f"--run={asked.run.rstrip('/')}/{Path(file).stem}",
        f"--evaluate.extractors=[{', '.join(extractors)}]",
        "--evaluate.naive=false",
    ]
    if given.generator.model != "folder":
        flags.append(f"--generate.num_samples={max(given.generate.num_samples, least)}")
    if given.data.name in DIVIDED or given.data.test_column:
        flags.append("--data.test_rows=apart")
    if asked.inception_weights:
        flags.append(f"--evaluate.inception_weights={asked.inception_weights}")
    return from_argv([f"--config={file}", *others, *flags], "").config


def _write(path: Path, found: dict[str, Any]) -> None:
    """The numbers, the table and the figure."""
    text, drawn = table1_text.markdown(found), table1_figure.figure(found)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, allow_nan=False))
    path.with_suffix(".md").write_text(text)
    path.with_suffix(".svg").write_text(drawn)
    print("", text, path, path.with_suffix(".md"), path.with_suffix(".svg"), sep="\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
