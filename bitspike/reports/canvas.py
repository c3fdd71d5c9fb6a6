"""Figures by matplotlib that a page can take in: no network, its own colours of text, identifiers that do not clash.

matplotlib is optional and is imported at the first use. Letters stay letters, so that figures are small and can be
searched; names in them are never read as mathematics, which a ``$`` would begin.
"""

import re
from collections.abc import Callable
from html import escape
from importlib import import_module
from io import BytesIO
from typing import Any

from bitspike.errors import MissingDependencyError
from bitspike.reports.parts import Drawing, Form
from bitspike.sim.mesh_figure import INSTALL

#: Of lines and letters, and of the ground: an inline figure has the colour of the page's text, and no ground.
INK, PAPER = "#1b1b1c", "#fefefd"
#: Colours that can be told apart on white, on black, and by those who do not see all colours (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "bitspike",
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
}


def check_matplotlib() -> None:
    """Raise MissingDependencyError where matplotlib is not installed."""
    try:
        import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{error.name} is not installed; run: {INSTALL}") from None


def drawing(
    name: str, title: str, description: str, *, size: tuple[float, float], draw: Callable[[Any], None]
) -> Drawing:
    """A figure of `size` in inches that `draw` fills when a form of it is wanted."""

    def render(form: Form) -> bytes:
        check_matplotlib()
        import matplotlib as mpl
        from matplotlib.figure import Figure

        with mpl.rc_context(_SETTINGS):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure)
            content = BytesIO()
            figure.savefig(content, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
        return content.getvalue()

    return Drawing(name=name, title=title, description=description, render=render)


def plain_numbers(axis: Any) -> None:
    """Write the numbers of a logarithmic axis as they are; powers of ten would be mathematics, which is off.

    Between powers of ten, 2 and 5 are written too where the axis is short, so that it has more than one number.
    """

    def between(value: float, _: int) -> str:
        low, high = axis.get_view_interval()
        return f"{value:,g}" if high < 100 * low and f"{value:e}"[0] in "25" else ""

    axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.set_minor_formatter(between)


def standalone(one: Drawing) -> str:
    """The figure as an SVG file, its title and description in it."""
    return _svg(one)


def inline(one: Drawing) -> str:
    """The figure as an ``svg`` element for a page, in the colour of its text; identifiers begin with its name."""
    text = _svg(one)
    names = set(re.findall(r'\bid="([^"]+)"', text))
    text = re.sub(r'\bid="([^"]+)"', rf'id="{one.name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{one.name}-\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{one.name}-\1"', text)
    labels = f'aria-labelledby="{one.name}-title {one.name}-desc"'
    text = text.replace("<title>", f'<title id="{one.name}-title">', 1) if "title" not in names else text
    text = text.replace("<desc>", f'<desc id="{one.name}-desc">', 1) if "desc" not in names else text
    text = text.replace('role="img"', f'role="img" {labels}', 1)
    return text if one.paper else text.replace(INK, "currentColor").replace(PAPER, "none")


def _svg(one: Drawing) -> str:
    """The bare ``svg`` element, without what matplotlib says of itself, with a title and a description."""
    text = one.render("svg").decode("utf-8")
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, _, rest = text.partition(">")
    said = f"<title>{escape(one.title)}</title>\n <desc>{escape(one.description)}</desc>"
    return f'{head} role="img">\n {said}{rest}'
