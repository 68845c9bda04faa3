"""Likelihood of VAE and IWAE on binary MNIST, beside the published table: writes a JSON file.

python jobs/likelihood.py --fixed=DIR --mnist=DIR [--stages=8] [--seed=0] [--device=cpu] [--json=likelihood.json]

DIR holds binarized_mnist.npz, and MNIST's four idx files.  Without --stages: a few minutes on one core, far from
converged, and the table says how far.  Exit codes: 0 done, 2 bad input.
"""

import argparse
import json
import sys
from pathlib import Path

from lfiw_ray.argv import count
from lfiw_ray.data.binarised import load_parts
from lfiw_ray.data.named import load_named
from lfiw_ray.errors import LfiwError
from lfiw_ray.studies.likelihood import FULL, SMALL, Data, Sizes, study

TRAIN_ROWS = 60_000  # of MNIST; its test rows follow them


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fixed", required=True, metavar="DIR", help="fixed binarisation: the file or its folder")
    parser.add_argument("--mnist", required=True, metavar="DIR", help="MNIST's original files")
    parser.add_argument(
        "--stages", type=int, choices=range(1, 9), help="the paper's first so many stages, of 8, on all rows"
    )
    parser.add_argument("--test-rows", type=count, default=FULL.num_test_rows, help="of them with --stages (10000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (0)")
    parser.add_argument("--device", default="cpu", help="torch device (cpu)")
    parser.add_argument("--json", type=Path, default=Path("likelihood.json"), metavar="FILE", help="where results go")
    return parser.parse_args()


def _sizes(arguments: argparse.Namespace) -> Sizes:
    if arguments.stages is None:
        return SMALL
    return FULL._replace(
        stages=FULL.stages[: arguments.stages],
        num_test_rows=arguments.test_rows,
        architectures=FULL.architectures if arguments.stages == len(FULL.stages) else SMALL.architectures,
    )


def main() -> int:
    """Run the study; returns the exit code."""
    arguments = _arguments()
    try:
        fixed, grey = load_parts(arguments.fixed), load_named("mnist", arguments.mnist).x
    except LfiwError as err:
        print(f"error: {err}", file=sys.stderr)
        return err.exit_code
    data = Data(fixed["train"], fixed["test"], grey[:TRAIN_ROWS], grey[TRAIN_ROWS:])
    found = study(arguments.seed, data, _sizes(arguments), arguments.device)
    arguments.json.write_text(json.dumps(found, indent=1))
    for row in found["arms"]:
        published = (
            ""
            if row["published_nll_nats"] is None
            else f"   others {row['published_nll_nats']:.2f}: {row['published_source']}"
        )
        name = (
            f"{row['binarisation']:10s} {row['group']:5s} {row['architecture']} {row['objective']} k = {row['k']:<3d}"
        )
        print(f"{name} NLL {row['nll_nats']:.2f} +- {row['nll_se']:.2f} nats{published}")
    print(f"{found['label']}; {arguments.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
