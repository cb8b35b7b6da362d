"""Self-contained pages: templates with autoescape, pictures as data URIs, no script, no network."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render `templates/NAME.html.j2`; every value is escaped, a missing one is an error."""
    return _environment().get_template(f"{template}.html.j2").render(context)


def data_uri(png: bytes) -> str:
    """Return PNG bytes as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def number(value: float | None, digits: int = 4) -> str:
    """Return a number in `digits` significant digits without exponents where that reads well."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude >= 6 or magnitude < -4:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    return f"{value:.{max(0, digits - 1 - magnitude)}f}".replace("-", "−")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("medgen.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["data_uri"] = lambda png: Markup(data_uri(png))
    environment.filters["breakable"] = lambda name: Markup("_<wbr>").join(name.split("_"))
    return environment
