"""Settings of the documentation: MyST pages, built by Sphinx with the theme furo."""

import re
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1] / "edgeadapt" / "__init__.py"

project = "edgeadapt"
author = "the edgeadapt contributors"
project_copyright = author
# Read, not imported: the pages are built without the package's dependencies.
(release,) = re.findall(r'^__version__ = "(.+)"$', _PACKAGE.read_text(encoding="utf-8"), re.M)
version = release

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
pygments_style = "friendly"
pygments_dark_style = "github-dark"

html_theme = "furo"
html_title = f"edgeadapt {release}"
html_static_path = ["_static"]
html_css_files = ["edgeadapt.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0969da",
        "color-brand-content": "#0969da",
        "font-stack": "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', sans-serif",
    },
    "dark_css_variables": {
        "color-brand-primary": "#4493f8",
        "color-brand-content": "#4493f8",
    },
}
