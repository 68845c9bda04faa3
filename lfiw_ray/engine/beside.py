"""Another evaluation of a run that has one: with other fields of `evaluate`, in folders of its own beside the first.

    <run>/evaluations/<plan of the stage>/<stage>/

Only stages whose plan is not the one in `run.json` lie there, so that features extracted for one evaluation are read by
the next.  Fields that decide more than the evaluation (`evaluate.naive`, `evaluate.extractor_epochs`) are another plan
of the run, which `store.runs` refuses.
"""

from lfiw_ray.engine.run import Run
from lfiw_ray.store import runs
from lfiw_ray.store.folder import Folder

STAGES = ("evaluation_rows", "embedded", "whole_pool", "evaluation")  # and what lies below them
_SHOWN = ("curves", "report")  # made from the evaluation, with no plan of the run's


def place(run: Run) -> Run:
    """The run with the places of the stages that are evaluated anew; itself where it is new, or evaluated like this.

    Raises
    ------
    StoreError
        `run.json` is not understood.
    """
    folder = Folder(run.url)
    if not folder.exists(runs.NAME):
        return run
    recorded = runs.read_run(folder)["plans"]
    anew = [stage for stage, plan in run.plans.items() if _is_evaluation(stage) and recorded.get(stage) != plan]
    if not anew:
        return run
    places = {stage: _place(run.plans[stage], stage) for stage in anew}
    places |= {stage: _place(run.plans["evaluation"], stage) for stage in _SHOWN}
    return run._replace(places={**run.places, **places})


def _is_evaluation(stage: str) -> bool:
    return stage.split("/")[0] in STAGES


def _place(plan: str, stage: str) -> str:
    return f"evaluations/{plan}/{stage}"
