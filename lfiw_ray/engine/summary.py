"""What a finished run says in a dozen lines, for the log of a job."""

from typing import Any


def summarise(diagnostics: dict[str, Any], calibration: dict[str, Any], evaluation: dict[str, Any]) -> list[str]:
    """Lines of text from the stages' results."""
    chosen, naive, alpha = diagnostics["chosen"], diagnostics["naive"], diagnostics["alpha"]
    lines = [
        f"weights      alpha {alpha['alpha']:g}{' (auto)' if alpha['auto'] else ''}  "
        f"ESS {chosen['ess']:,.0f} of {chosen['n']:,} ({chosen['ess_fraction']:.1%})  "
        f"k_hat {_number(chosen['k_hat'])}  heaviest row {chosen['max_share']:.2%} of the weight",
        f"             done naively ({diagnostics['naive_is']}, alpha 1): ESS {naive['ess']:,.0f}, "
        f"k_hat {_number(naive['k_hat'])}",
        f"calibration  log loss {_number(calibration['log_loss_nats'])} nats  ECE {_number(calibration['ece'])}  "
        f"Z {_number(calibration['z'])}  AUC {_number(calibration['auc'])}  "
        f"E_model[w] {_number(calibration['mean_w_model'])} +- {_number(calibration['mean_w_model_se'])}",
    ]
    for name, found in evaluation["improvement"].items():
        raw, sir, gain = found["raw"], found["resampled"], found["difference"]
        z = "" if gain["z"] is None else f" = {gain['z']:.1f} standard errors"
        word = "nearer to" if gain["mean"] > 0 else "farther from"
        lines.append(
            f"FID {name:8s} raw {raw['mean']:.2f} +- {raw['se']:.2f}  resampled {sir['mean']:.2f} +- {sir['se']:.2f}  "
            f"real rows {evaluation['extractors'][name]['real']['fid']:.2f}: {word} the real data by "
            f"{abs(gain['mean']):.2f} +- {gain['se']:.2f}{z}"
        )
    verdict = diagnostics["verdict"]
    lines.append("gate         passed" if verdict["passed"] else "gate         FAILED")
    return lines + [f"             {text}" for text in (*verdict["reasons"], *verdict["advice"])]


def code_length_line(found: dict[str, Any]) -> str:
    """The generator's bits per pixel value on test rows."""
    error = "" if found["se_bpd"] is None else f" +- {found['se_bpd']:.3f}"
    rows, bits = f"{found['num_rows']:,} test rows", f"{found['mean_bpd']:.3f}{error} bits a pixel value"
    return f"generator    {bits} on {rows}: {found['meaning']}"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3g}"
