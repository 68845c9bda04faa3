"""What all jobs share: flags in, exit code out.

Exit codes, the same for all jobs:

0    done
1    the work failed, or a goal was missed: nothing is wrong with the input
2    the input is at fault; the message says what to do
130  stopped by Ctrl-C
143  stopped by SIGTERM, as `ray job stop` and Kubernetes send it

Whatever the code, finished work is kept: the same call goes on from there.  `ray job submit` itself ends with 1 for
every code but 0, and with 0 when the job was stopped; its last lines and `ray job list` tell the job's own.
"""

import logging
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

from lfiw_ray import pipeline
from lfiw_ray.argv import from_argv, to_yaml
from lfiw_ray.engine.cluster import connected
from lfiw_ray.engine.estimate import describe
from lfiw_ray.engine.repair import repair
from lfiw_ray.engine.run import Real, Run, prepare
from lfiw_ray.errors import LfiwError
from lfiw_ray.places import printable

_AGAIN = "run it again to go on"


def main(work: Callable[[Run, Real], list[str]], description: str | None) -> None:
    """Run a job from the command line and exit."""
    sys.excepthook = _unforeseen
    stop_when_told()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    try:
        sys.exit(_run(work, description or ""))
    except LfiwError as err:
        print(f"error: {printable(str(err))}", file=sys.stderr)
        sys.exit(err.exit_code)
    except KeyboardInterrupt:
        _stopped(signal.SIGINT)


def stop_when_told(then: str = _AGAIN) -> None:
    """End with a line of our own, which says what `then`, Ray tidied up, and exit code 143 on SIGTERM."""
    signal.signal(signal.SIGTERM, lambda number, _: _stopped(number, then))


def _stopped(number: int, then: str = _AGAIN) -> NoReturn:
    print(f"stopped by {signal.Signals(number).name}; {then}", file=sys.stderr)
    raise SystemExit(128 + number)


def _unforeseen(kind: type[BaseException], err: BaseException, trace: TracebackType | None) -> None:
    """What nobody foresaw ends with its traceback, and a last line that says whose fault it is; exit code 1."""
    sys.__excepthook__(kind, err, trace)
    if isinstance(err, Exception):
        print(
            f"error: {kind.__name__}: a fault of this program or machine; please report the lines above, "
            "finished work is kept",
            file=sys.stderr,
        )


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
