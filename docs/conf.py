"""
The configuration of Sphinx: `nox -s docs` builds the pages.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pygments.lexers.data import JsonLexer
from pygments.lexers.special import TextLexer

import kling_async

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "kling_async"
author = "the kling_async founders"
version = release = kling_async.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "commands", "names"]
exclude_patterns = ["_build", "_ext"]
nitpicky = True  # every name in a page or docstring must exist; `names` has the exceptions

myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # a list below the class; as members, attributes would appear twice
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
default_role = "py:name"
add_module_names = False

html_theme = "furo"
html_title = "kling_async"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def setup(app: "Sphinx") -> None:
    app.add_lexer("csv", TextLexer)
    app.add_lexer("jsonl", JsonLexer)
