"""Pictures and pages: figures as PNG bytes, and self-contained HTML."""

from medgen.report.figures import Panel, preview
from medgen.report.html import data_uri, render
from medgen.report.labels import label_preview
from medgen.report.slices import to_ras

__all__ = ["Panel", "data_uri", "label_preview", "preview", "render", "to_ras"]
