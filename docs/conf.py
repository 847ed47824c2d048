"""Sphinx settings of the site. `python -m tools.site` lays out its sources and builds it."""

import tomllib
from importlib.util import find_spec

from hetsyn_core.paths import ROOT

project = "HetSyn companion"
author = "HetSyn companion contributors"
copyright = "code: MIT; text and figures: CC BY 4.0"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
html_title = project

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx-mathjax-offline"]
root_doc = "index"
exclude_patterns = ["_build"]
suppress_warnings = ["mystnb.unknown_mime_type"]

myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # a page shows the outputs that the notebook was committed with
nb_output_stderr = "remove"  # progress bars
nb_ipywidgets_js = {}  # would come from other servers; a page shows the static pictures instead

default_role = "literal"
add_module_names = False
autodoc_inherit_docstrings = False
autodoc_mock_imports = [] if find_spec("triton") else ["triton"]  # no Triton on macOS
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # a folder is shown by its name in the code, not where it lies here
autodoc_typehints = "signature"
napoleon_use_rtype = False

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_use_index = html_domain_indices = False  # the search finds functions
html_theme_options = {
    "show_navbar_depth": 1,
    "navbar_persistent": [],  # the search field stands in the side bar
    "home_page_in_toc": True,
    "use_download_button": True,
    "use_fullscreen_button": False,
    "toc_title": "On this page",
    "pygments_light_style": "a11y-light",
    "pygments_dark_style": "a11y-dark",
}
mathjax3_config = {"options": {"menuOptions": {"settings": {"explorer": False}}}}
