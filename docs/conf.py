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
exclude_patterns = ['_extra', '.built']
html_theme, html_title = 'furo', project
html_static_path, html_css_files, html_extra_path = ['static'], ['custom.css'], [str(ROOT/'_proc'/'_extra')]
html_copy_source = html_show_sourcelink = html_show_sphinx = False
pygments_style, pygments_dark_style = 'friendly', 'monokai'
html_theme_options = {'footer_icons': [{'name': 'Repository', 'url': repository()['url'], 'html': 'Repository', 'class': ''}]}

nb_execution_mode = 'off' # the stored outputs are shown
nb_mime_priority_overrides = [('html', 'image/png', 0), ('html', 'text/html', 1), ('html', 'text/markdown', 2), ('html', 'text/plain', 3)]
myst_enable_extensions = ['dollarmath']
myst_dmath_allow_digits, myst_dmath_double_inline = False, True
myst_heading_anchors = 4
suppress_warnings = ['myst.header'] # notebooks go from # to ### where a section would be empty


def mathml(self, node, block):
    "Formulas as MathML, by docutils: no script, nothing from elsewhere"
    from docutils import nodes
    self.body.append(tex2mathml(node.astext().replace(r'\dots', r'\ldots'), as_block=block))
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer('mathml', (lambda self, node: mathml(self, node, False), None), (lambda self, node: mathml(self, node, True), None))


html_math_renderer = 'mathml'
