"How Sphinx makes the site; scripts/make_docs.py prepares its source and calls it."
import sys
from pathlib import Path

from docutils.utils.math.latex2mathml import tex2mathml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'scripts'))
from repository import repository

project, author = 'fastai_softlabels', 'The fastai_softlabels maintainers'
copyright = author
extensions = ['myst_nb']
exclude_patterns = ['_extra', '.built', 'files']
html_theme, html_title = 'furo', project
html_static_path, html_css_files = ['static'], ['custom.css']
html_copy_source = html_show_sourcelink = html_show_sphinx = False
pygments_style, pygments_dark_style = 'a11y-light', 'a11y-high-contrast-dark' # every token has a contrast of 4.5:1 to its ground (tests/test_docs.py)
home = repository()['url'] # empty while the project has none
html_theme_options = {'footer_icons': [{'name': 'Repository', 'url': home, 'html': 'Repository', 'class': ''}] if home else []}
smartquotes_action = 'D' # dashes only: docstrings quote what Python reads
html_favicon = 'static/icon.svg'
add_module_names, python_maximum_signature_line_length = False, 80
toc_object_entries_show_parents = 'hide'

nb_execution_mode = 'off' # the stored outputs are shown
nb_mime_priority_overrides = [('html', 'image/png', 0), ('html', 'text/html', 1), ('html', 'text/markdown', 2), ('html', 'text/plain', 3)]
myst_enable_extensions = ['dollarmath', 'fieldlist']
myst_dmath_allow_digits, myst_dmath_double_inline = False, True
myst_heading_anchors = 4
suppress_warnings = ['myst.header', 'misc.highlighting_failure'] # from # to ### where a section would be empty; code with an ellipsis


def mathml(self, node, block):
    "Formulas as MathML, by docutils: no script, nothing from elsewhere"
    from docutils import nodes
    self.body.append(tex2mathml(node.astext().replace(r'\dots', r'\ldots'), as_block=block))
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer('mathml', (lambda self, node: mathml(self, node, False), None), (lambda self, node: mathml(self, node, True), None))


html_math_renderer = 'mathml'
