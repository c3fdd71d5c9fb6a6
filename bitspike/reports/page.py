"""The page: sections into one template, with nothing in it that comes from anywhere else.

The page's own policy forbids every connection and every script but its one, by that script's hash.
"""

import base64
import hashlib
from importlib.resources import files

from bitspike.reports.canvas import inline
from bitspike.reports.parts import Headline, Section

_TEMPLATES = "bitspike.reports", "templates"


def page(title: str, lead: str, headlines: tuple[Headline, ...], sections: tuple[Section, ...]) -> str:
    """The text of the page, which is HTML and well-formed XML; all texts in it are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader(*_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    script, style = _own("report.js"), _own("report.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Ours, and matplotlib's own SVG, which escapes what stands in it.
    pictures = {one.name: Markup(inline(one)) for section in sections for one in section.drawings}
    return environment.get_template("report.html.jinja").render(
        title=title,
        lead=lead,
        headlines=headlines,
        sections=sections,
        pictures=pictures,
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        style=Markup(style),
    )


def _own(name: str) -> str:
    return files(_TEMPLATES[0]).joinpath(_TEMPLATES[1], name).read_text(encoding="utf-8")
