"The gate on stored outputs: what it lets pass, and what it finds."
import base64, io, json, re, sys
from pathlib import Path

import nbformat, numpy as np, pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]/'scripts'))
from check_outputs import STORED_ON, ROUNDED, SAME, cell_difference, check, differences, picture_difference, shown, text_difference


def picture(grey=200, size=(60, 40), box=None) -> str:
    "A PNG as notebooks store it, with a black box of this width"
    pixels = np.full((size[1], size[0], 3), grey, dtype=np.uint8)
    if box: pixels[:, :box] = 0
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, 'png')
    return base64.b64encode(out.getvalue()).decode()


def cell(*outputs): return nbformat.v4.new_code_cell('1', outputs=list(outputs))
def result(text, **data): return nbformat.v4.new_output('execute_result', {'text/plain': text, **{k.replace('_', '/'): v for k, v in data.items()}})
def printed(text, name='stdout'): return nbformat.v4.new_output('stream', name=name, text=text)


@pytest.mark.parametrize('old, new, within', [
    ('tensor(0.6667)', 'tensor(0.6667)', SAME), ('error 1e-07', 'error 2e-07', SAME), ('−.05', '-.05', SAME), ('NaN 0.5', 'NaN 0.5', SAME),
    ('n    0.5\nlonger 1', 'n 0.5\nlonger    1', SAME),   # columns have another width
    ('loss 0.463 of 12', 'loss 0.464 of 12', ROUNDED),  # another processor's last digit
    ('0.951 of 200', '0.95 of 201', ROUNDED),
])
def test_equal_enough(old, new, within): assert text_difference(old, new, within) == ''


@pytest.mark.parametrize('old, new, says', [
    ('0.463', '0.471', '0.463 is now 0.471'),
    ('0.463', '-0.463', '0.463 is now -0.463'),
    ('1436 images', '1000 images', '1436 is now 1000'),
    ('1.0', '1.0 2.0', "'1.0' is now '1.0 2.0'"),
    ('SoftCategory(cat 1.00)', 'SoftCategory(dog 1.00)', "line 1: 'SoftCategory(cat 1.00)' is now 'SoftCategory(dog 1.00)'"),
    ('a\nb 0.5', 'a\nb NaN', "line 2: 'b 0.5' is now 'b NaN'"),
    ('a\nb', 'a', "line 2: 'b' is now '(no more)'"),
])
def test_differences_in_text_are_named(old, new, says):
    for within in (SAME, ROUNDED): assert says in text_difference(old, new, within)
    assert text_difference('0.463', '0.464', SAME) == '0.463 is now 0.464'


def test_exact_means_exact():
    assert text_difference('1e-07', '2e-07') == '' and "'1e-07' is now '2e-07'" in text_difference('1e-07', '2e-07', None)
    assert picture_difference(picture(200), picture(200), None) == '' and 'other pixels' in picture_difference(picture(200), picture(201), None)


def test_pictures():
    assert picture_difference(picture(box=20), picture(box=21, size=(61, 40)), ROUNDED) == '' # a tick label that is a pixel wider
    assert 'mean difference 0.004' in picture_difference(picture(200), picture(201), SAME) and picture_difference(picture(200), picture(201), ROUNDED) == ''
    assert 'looks different: mean difference 0.27' in picture_difference(picture(box=20), picture(box=40), ROUNDED)
    for within in (SAME, ROUNDED, None): assert '60×40 is now 60×80' in picture_difference(picture(), picture(size=(60, 80)), within)


def test_what_is_missing_or_new_is_found():
    figure = nbformat.v4.new_output('display_data', {'text/plain': '<Figure size 640x480>', 'image/png': picture()})
    assert cell_difference(cell(result('1')), cell(result('1'))) == ''
    assert cell_difference(cell(result('1'), figure), cell(result('1'))) == 'shows text where text, picture is stored'
    assert cell_difference(cell(), cell(printed('hello'))) == 'shows printed where nothing is stored'
    assert '0.1 is now 0.9' in cell_difference(cell(result('df', text_html='<td>0.1</td>')), cell(result('df', text_html='<td>0.9</td>')))


def test_times_bars_and_others_warnings_do_not_count():
    def table(time, loss): return nbformat.v4.new_output('display_data', dict.fromkeys(['text/html', 'text/plain'], f'<div><table class="fastprogress"><td>{loss}</td><td>{time}</td></table></div>'))
    bar = nbformat.v4.new_output('display_data', {'text/html': '', 'text/plain': '<IPython.core.display.HTML object>'})
    assert cell_difference(cell(bar, table('00:05', .463)), cell(table('01:12', .463))) == ''
    assert '0.463 is now 0.9' in cell_difference(cell(table('00:05', .463)), cell(table('00:05', .9)))
    assert cell_difference(cell(), cell(printed('/lib/site-packages/torch/x.py:5: FutureWarning: old', 'stderr'))) == ''
    assert shown(cell(printed('a', 'stdout'), printed('b', 'stdout'))) == shown(cell(printed('ab')))


def test_a_warning_of_our_own_is_a_fault():
    warns = cell(printed('/home/me/fastai_softlabels/core.py:37: UserWarning: not writable', 'stderr'))
    assert cell_difference(cell(), warns) == 'a warning from our own code: fastai_softlabels/core.py:37: UserWarning: not writable'
    assert cell_difference(warns, warns) == ''


def test_another_processor_is_forgiven_after_a_training_only():
    def book(loss, *last, first='0.693'): return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell('entropy(p)', id='before', outputs=[result(first)]), nbformat.v4.new_code_cell('learn.fit_one_cycle(5)', id='fit', outputs=[result(f'0.{loss}')]),
                                                                 nbformat.v4.new_markdown_cell('So.'), nbformat.v4.new_code_cell('learn.predict(f)', id='after', outputs=[result('cat' if loss < 5 else 'dog'), *last])])
    assert differences(book(3), book(3), same=True) == []
    assert differences(book(3), book(9, first='0.694'), same=False) == []
    assert differences(book(3), book(9, first='0.694'), same=True) == ['cell before: 0.693 is now 0.694', 'cell fit: 0.3 is now 0.9', "cell after: line 1: 'cat' is now 'dog'"]
    assert differences(book(3), book(3, first='0.712'), same=False) == ['cell before: 0.693 is now 0.712']
    assert differences(book(3), book(3, result('more')), same=False) == ['cell after: shows text, text where text is stored']
    assert differences(book(3), book(4), same=False, exact=True) == ["cell fit: line 1: '0.3' is now '0.4'"]


def test_the_machine_that_stored_the_outputs_is_known():
    assert set(json.loads(STORED_ON.read_text())) >= {'*'} and re.fullmatch('[0-9a-f]{16}', json.loads(STORED_ON.read_text())['*'])


def test_notebooks_run_and_are_compared(tmp_path):
    stored = [nbformat.v4.new_code_cell('x = 1', id='first'), nbformat.v4.new_code_cell('x/4', id='second', outputs=[nbformat.v4.new_output('execute_result', {'text/plain': '0.5'})]),
              nbformat.v4.new_code_cell('#| eval: false\n1/0', id='never')]
    path = tmp_path/'a.ipynb'
    nbformat.write(nbformat.v4.new_notebook(cells=stored), path)
    assert check(path)[0] == ['cell second: 0.5 is now 0.25']
    assert check(path, store=True)[0] == [] and check(path, exact=True)[0] == []
    stored.append(nbformat.v4.new_code_cell('1/0', id='fails'))
    nbformat.write(nbformat.v4.new_notebook(cells=stored), path)
    assert 'ZeroDivisionError' in check(path)[0][0]
