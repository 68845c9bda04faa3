"""What all jobs share: flags in, exit code out.

Exit codes: 0 done, 1 the work failed, 2 the input is at fault (the message says what to do).
"""

import logging
import sys
from collections.abc import Callable

from lfiw_ray import pipeline
from lfiw_ray.argv import from_argv, to_yaml
from lfiw_ray.engine.cluster import connected
from lfiw_ray.engine.estimate import describe
from lfiw_ray.engine.repair import repair
from lfiw_ray.engine.run import Real, Run, prepare
from lfiw_ray.errors import LfiwError


def main(work: Callable[[Run, Real], list[str]], description: str | None) -> None:
    """Run a job from the command line and exit."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    try:
        sys.exit(_run(work, description or ""))
    except LfiwError as err:
        print(f"error: {err}", file=sys.stderr)
        sys.exit(err.exit_code)


def _run(work: Callable[[Run, Real], list[str]], description: str) -> int:
    asked = from_argv(sys.argv[1:], description)
    if asked.dry_run:
        run, _ = prepare(asked.config)
        print(to_yaml(asked.config), *describe(run), sep="\n")
        return 0
    run, real = pipeline.open_run(asked.config)
    if asked.repair:
        print(*(repair(run) or ["nothing to repair"]), sep="\n")
    with connected(asked.config):
        lines = work(run, real)
    print("", *lines, sep="\n")
    return 0
