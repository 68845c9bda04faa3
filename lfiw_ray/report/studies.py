"""The page's section of studies with known answers: for each that was run, its sentence, figures and tables.

Keys are those that each study's docstring names; a study that was not run is not shown.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lfiw_ray.report import study_figures, toy_figures
from lfiw_ray.report.cells import Cell, Number, cell, exact, percent, plain, short, with_error
from lfiw_ray.report.figures import Dot, dots


class StudyTable(NamedTuple):
    """A table: `rows` are (label, cells), a cell for each column after the first."""

    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[str, list[Cell]]]


class StudyView(NamedTuple):
    """What the page shows of one study; `figures` are (svg, caption)."""

    title: str
    sentences: list[str]
    figures: list[tuple[str, str]]
    tables: list[StudyTable]


def views(studies: Mapping[str, dict[str, Any]]) -> list[StudyView]:
    """The studies that were run, in the order of the page."""
    return [view(studies[name]) for name, view in VIEWS.items() if name in studies]


def _toy(toy: dict[str, Any]) -> StudyView:
    loss, covered, sets = toy["log_loss_nats"], toy["coverage"], toy["coverage"]["num_data_sets"]
    sentences = [
        f"A Gaussian fitted to a mixture of two; a classifier of {toy['num_points']:,} real and as many generated "
        f"points. Its expected log loss is {plain(loss['estimated'])} nats, the least possible one "
        f"{plain(loss['bayes'])}; the mean of its weights is {plain(toy['mean_w'], 3)} where exact ones give 1. "
        f"The bands hold the true curve over {_percent(covered['mean'], covered['se'])} of the points, on average "
        f"over {sets} data sets; {percent(toy['level'], 0)} is wanted.",
        f"Pool-wise SIR: {toy['num_outputs']:,} outputs, each drawn from k candidates by weight, "
        f"{toy['num_repeats']} repeats. With true weights the outputs become draws of the data; with estimated ones "
        "they stay as far off as the weights are wrong.",
    ]
    figures = [
        (toy_figures.densities(toy), "The data and the generator."),
        (toy_figures.probabilities(toy), "Class probabilities: estimated, with pointwise bands, and optimal."),
        (toy_figures.resampled(toy), "Outputs of SIR with growing k over the density of the data (filled)."),
        (toy_figures.distances(toy), "Mean over repeats; bars: ± two standard errors."),
    ]
    return StudyView("One Gaussian for a mixture of two", sentences, figures, [_toy_table(toy)])


def _percent(share: Number, se: Number) -> str:
    hundredfold = [None if value is None else 100 * value for value in (share, se)]
    return f"{with_error(*hundredfold)} %"


def _toy_table(toy: dict[str, Any]) -> StudyTable:
    columns = [(kind, name) for name in ("wasserstein", "ks") for kind in ("true", "estimated")]
    by = {(entry["weights"], entry["k"]): entry for entry in toy["sir"]}
    ks = list(dict.fromkeys(entry["k"] for entry in toy["sir"]))
    rows = [(f"k = {k:,}", [cell(by[kind, k][name], by[kind, k][f"{name}_se"]) for kind, name in columns]) for k in ks]
    limits, floor = toy["limits"], toy["floor"]
    rows.append(
        ("limit of large k and many outputs", [exact(limits[kind][name], decimals=4) for kind, name in columns])
    )
    rows.append(("as many draws of the data", [cell(floor[name], floor[f"{name}_se"]) for _, name in columns]))
    heads = ("candidates", "W1, true weights", "W1, estimated", "KS, true weights", "KS, estimated")
    return StudyTable("Distance of the outputs to the data", heads, rows)


def _estimators(found: dict[str, Any]) -> StudyView:
    sentences = [
        f"A Gaussian target and a narrower generator, {found['num_rows']:,} rows of it, exact weights, "
        f"{found['num_replicates']:,} replicates: what is off is the weights' own doing. k is the true Pareto shape "
        "of their tail, and from k = 0.5 on they have no variance."
    ]
    name = "second_moment"
    figures = [_error_dots(case, name, found["quantities"][name], place) for place, case in enumerate(found["cases"])]
    tables = [_error_table(case, found["quantities"]) for case in found["cases"]]
    return StudyView("Bias and variance of the forms of the weights", sentences, figures, tables)


def _error_dots(case: dict[str, Any], name: str, label: str, place: int) -> tuple[str, str]:
    """Dot plot of the root mean squared errors of one quantity."""
    rows = []
    for estimator in case["estimators"]:
        errors = estimator["values"][name]
        rows.append(Dot(estimator["label"], errors["rmse"], errors["rmse_se"], [], "chosen"))
    return dots(rows, f"estimators-{place}", f"root mean squared error of {label}"), f"k = {short(case['k'])}."


def _error_table(case: dict[str, Any], quantities: dict[str, str]) -> StudyTable:
    kinds = ("bias", "sd", "rmse")
    rows = []
    for estimator in case["estimators"]:
        values = [(estimator["values"][name] or {}, kind) for name in quantities for kind in kinds]
        cells = [cell(of.get(kind), of.get(f"{kind}_se"), "it has none") for of, kind in values]
        rows.append((estimator["label"], cells))
    shown = with_error(case["k_hat"]["mean"], case["k_hat"]["se"])
    caption = (
        f"k = {short(case['k'])}: k_hat {shown}, ESS / N {percent(case['ess_fraction']['mean'])}, the weights' "
        f"variance is {'finite' if case['variance_finite'] else 'infinite: sd and rmse grow with the replicates'}"
    )
    heads = [f"{kind} of {label}" for label in quantities.values() for kind in kinds]
    return StudyTable(caption, ("weights", *heads), rows)


ARM_LABELS = {
    "single": "one classifier",
    "single_long": "one, trained longer",
    "telescoped": "telescoped",
}


def _telescoping(found: dict[str, Any]) -> StudyView:
    models = list(dict.fromkeys(arm["model"] for arm in found["arms"]))
    sentences = [
        f"Two Gaussians in {found['num_dims']} dimensions whose KL divergences are known, "
        f"{found['num_rows']:,} training rows of each, {found['num_bridges']} bridges, {found['num_repeats']} repeats. "
        "Telescoping sums the log ratios of neighbouring bridges; one classifier is trained for as many updates, or "
        "longer, for as many forward passes of rows.",
        *(_chasm_sentence(model, [arm for arm in found["arms"] if arm["model"] == model]) for model in models),
    ]
    figures, tables = [], []
    for place, model in enumerate(models):
        arms = [arm for arm in found["arms"] if arm["model"] == model]
        caption = f"Estimated against true KL, {model} model; on the dotted line they are equal."
        figures.append((study_figures.chasm(arms, ARM_LABELS, f"chasm-{place}"), caption))
        tables.append(_chasm_table(model, arms))
    return StudyView("Telescoping over a density chasm", sentences, figures, tables)


def _chasm_sentence(model: str, arms: list[dict[str, Any]]) -> str:
    widest = max(arm["kl_nats"] for arm in arms)
    said = (
        f"{with_error(arm['error_nats'], arm['error_nats_se'])} ({ARM_LABELS.get(arm['arm'], arm['arm'])})"
        for arm in arms
        if arm["kl_nats"] == widest
    )
    return f"At {widest:g} nats the {model} model's log ratio is off by, in nats: {', '.join(said)}."


def _chasm_table(model: str, arms: list[dict[str, Any]]) -> StudyTable:
    names = {
        "kl_estimate_nats": "estimated KL",
        "reverse_kl_estimate_nats": "estimated reverse KL",
        "error_nats": "mean error",
        "correlation": "correlation",
        "slope": "slope",
        "correlation_generated": "correlation, generated rows",
    }
    rows = [
        (
            f"{arm['kl_nats']:g} nats, {ARM_LABELS.get(arm['arm'], arm['arm'])}",
            [cell(arm[name], arm[f"{name}_se"]) for name in names],
        )
        for arm in arms
    ]
    caption = f"Estimated against true log ratio on other rows, {model} model, nats; both KL divergences are the same"
    return StudyTable(caption, ("true KL and classifier", *names.values()), rows)


RATIO_FIGURES = {
    "correlation": "correlation with the true log weights (1)",
    "slope": "slope over the true log weights (1)",
    "error_nats": "mean error of the log weights, nats (0)",
    "log_loss_nats": "log loss, nats",
    "bayes_log_loss_nats": "log loss of the true ratio (Bayes), nats",
    "excess_log_loss_nats": "excess over Bayes, nats (0)",
    "raw_excess_log_loss_nats": "excess before calibration, nats",
    "mean_w": "mean weight of generated rows (1)",
    "true_mean_w": "the same of the true weights",
    "ess_fraction": "ESS / N of generated rows",
    "true_ess_fraction": "the same of the true weights",
}


def _gaussians(found: dict[str, Any]) -> StudyView:
    cases = found["cases"]
    sentences = [
        f"Two Gaussians {plain(found['kl_nats'], 2)} nats apart; the pipeline's own classifier on features, trained "
        f"on {found['num_rows']:,} rows of each and calibrated on others; {found['num_repeats']} repeats, "
        f"{found['num_test_rows']:,} test rows of each. What is wanted stands in brackets."
    ]
    rows = [(label, [cell(case[name], case[f"{name}_se"]) for case in cases]) for name, label in RATIO_FIGURES.items()]
    heads = ("quantity", *(f"{case['num_dims']} dimensions" for case in cases))
    table = StudyTable("The classifier's weights against the true ratio", heads, rows)
    caption = "Estimated against true log weight of generated rows; on the dotted line they are equal."
    figure = study_figures.ratios(found["example"], "ratios")
    return StudyView("Weights against the true ratio of two Gaussians", sentences, [(figure, caption)], [table])


VIEWS: dict[str, Callable[[dict[str, Any]], StudyView]] = {
    "toy": _toy,
    "estimators": _estimators,
    "telescoping": _telescoping,
    "gaussians": _gaussians,
}
"""Study to its view, in the order of the page."""
