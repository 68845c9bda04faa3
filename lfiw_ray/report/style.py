"""One look for all figures: inline SVG whose colours are CSS variables, so that it follows light and dark.

Figures are drawn on a canvas of about a phone's width (380 units, 12-unit text): scaled up on a desktop they
stay calm, and on a phone nothing shrinks below what can be read.  Text stays text (no glyph outlines, no font
files); names given by a user are never parsed as formulas.
"""

import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure

COLOURS = {
    "ink": "#1f2934",
    "muted": "#5d6977",
    "grid": "#dde2e8",
    "real": "#157a57",
    "raw": "#6e7987",
    "chosen": "#2461b6",
    "naive": "#b8500f",
    "rival": "#7345a8",
}
_RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLOURS["grid"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib settings of the page; a decorator of the functions that draw."""
    with matplotlib.rc_context(_RC):
        yield


def canvas(height: float, width: float = 380) -> Figure:
    """An empty figure of that many SVG units."""
    return Figure(figsize=(width / 72, height / 72), layout="constrained")


def to_svg(figure: Figure, plot_id: str, alt: str) -> str:
    """`figure` as an inline `<svg>` element.

    Parameters
    ----------
    plot_id : str
        Prefix of all ids; ids must not repeat on a page.
    alt : str
        What a reader who cannot see the figure should know.
    """
    out = io.StringIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": plot_id}):
        # The browser chooses the font, so it does not matter which glyphs Matplotlib's own one lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _inline(out.getvalue(), plot_id, alt)


def _inline(svg: str, plot_id: str, alt: str) -> str:
    """Cut the XML prologue; make ids unique, colours variable, the size free."""
    view_box = re.search(r'viewBox="[^"]*"', svg)
    assert view_box is not None
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style .*?</style>", "", body, flags=re.DOTALL)  # it would apply to the whole page
    body = re.sub(r"\bid=\"([^\"]+)\"", rf'id="{plot_id}-\1"', body)
    body = re.sub(r"(href=\"|url\()#", rf"\1#{plot_id}-", body).replace("xlink:href", "href")
    body = re.sub(r"'DejaVu Sans'[^;\"<]*", "system-ui, sans-serif", body)
    for colour, value in COLOURS.items():
        body = body.replace(value, f"var(--{colour})")
    return f'<svg role="img" aria-label="{html.escape(alt)}" {view_box.group()}>{body}'


def standalone(svg: str) -> str:
    """A whole SVG file of an inline `<svg>`: it names its space, and its colours are those of the light page."""
    colours = "".join(f"--{name}:{value};" for name, value in COLOURS.items())
    head, body = svg.split(">", 1)
    space = 'xmlns="http://www.w3.org/2000/svg"'
    return f"{head.replace('<svg ', f'<svg {space} ', 1)}><style>svg{{{colours}background:#fff}}</style>{body}"
