"""How Sphinx builds the documentation site; `make_source.py` writes its pages."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from xfernas_jax import __version__

project = "xfernas_jax"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
root_doc = "index"

html_theme = "furo"
html_title = f"xfernas_jax {__version__}"
html_show_sourcelink = False
html_copy_source = False

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block"]
suppress_warnings = ["myst.xref_missing"]  # links to files that come beside the pages

napoleon_numpy_docstring = False
napoleon_attr_annotations = True
autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": False}
maximum_signature_line_length = 80
