"""Configure Sphinx for the documentation site: `make docs`."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

from taskmaster import __version__

project = "TaskMaster"
author = "TaskMaster"
version = release = __version__

extensions = ["myst_parser", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["__pycache__"]
nitpicky = True

# Anchors are those that a forge gives to headings, so that links work in both places.
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"TaskMaster {release}"
html_favicon = "../static/taskmaster/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_last_updated_fmt = None
# The colours are those of static/taskmaster/tokens.css.
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#3538cd",
        "color-brand-content": "#3538cd",
        "color-brand-visited": "#3538cd",
        "color-background-secondary": "#f6f7f9",
    },
    "dark_css_variables": {
        "color-brand-primary": "#a4bcfd",
        "color-brand-content": "#a4bcfd",
        "color-brand-visited": "#a4bcfd",
        "color-background-primary": "#0c111d",
        "color-background-secondary": "#141a29",
    },
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"

# `make docs-links` checks the links to other sites. Addresses of the reader's machine are examples.
linkcheck_ignore = [r"https?://(localhost|127\.0\.0\.1)", r"https?://[^/]*example\.(com|org)"]
linkcheck_timeout = 20

#: Files of the repository that a page of the site includes.
_INCLUDED = {"deploy/README.md": "how-to/deploy.md", "CHANGELOG.md": "changelog.md"}
_LINK = re.compile(r"\]\((?:\.\./)+([\w/]+\.md)(#[\w-]+)?\)")


def _link_to_including_pages(_: Sphinx, _page: str, source: list[str]) -> None:
    """Point links to a Markdown file of the repository to the page that includes it.

    Links to other files of the repository become downloads. Sphinx checks that they exist.
    """

    def target(link: re.Match[str]) -> str:
        including = _INCLUDED.get(link[1])
        return f"](/{including}{link[2] or ''})" if including else link[0]

    source[0] = _LINK.sub(target, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handlers of this site."""
    app.connect("source-read", _link_to_including_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
