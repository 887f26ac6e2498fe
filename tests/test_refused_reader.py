"What a reader refuses."
from refusals import *

REFUSED = {
    'SoftLabelReader': [
        case('sum is not 1', lambda: read(shares(cat=[1., .5, .1, 0.])), "row 2 (item 'im2.png')", '[0.1, 0.8]', 'sum to 0.9', 'normalize=True'),
        case('negative number', lambda: read(table(cat=[3, 2, -1, 0])), "row 2 (item 'im2.png')", 'negative'),
        case('NaN among numbers', lambda: read(shares(cat=[1., np.nan, .2, 0.])), "row 1 (item 'im1.png')", 'nan', 'Fill in 0'),
        case('infinite number', lambda: read(shares(cat=[1., np.inf, .2, 0.])), "row 1 (item 'im1.png')", 'infinite'),
        case('numbers too large to add', lambda: read(shares(cat=[1e308]*4, dog=[1e308]*4), normalize=True), "row 0 (item 'im0.png')", '1e+308', 'too large'),
        case('no votes', lambda: read(table(cat=[3, 0, 1, 0], dog=[0, 0, 2, 3])), "row 1 (item 'im1.png')", 'all zeros', 'ignore=True'),
        case('a text for a number', lambda: read(table(cat=['3', 'two', '1', '0'])), "row 1 (item 'im1.png')", "'two' in column 'cat' is not a number"),
        case('decimal commas', lambda: read(shares(cat=['1,0', '0,5', '0,2', '0,0'])), "'1,0' in column 'cat' is not a number"),
        case('lists in cells', lambda: read(table(cat=[[1]]*4)), "[1] in column 'cat' is not a number"),
        case('no such column', lambda: read(classes=['cat', 'lynx']), "no column 'lynx'", "['fname', 'cat', 'dog']", error=UnknownNameError),
        case('the item among the classes', lambda: SoftLabelReader(table(), 'cat', PETS), "`classes` names 'cat', which is the column of the item: leave it out"),
        case('no such item column', lambda: SoftLabelReader(table(), 'file', PETS), "no column 'file'", 'fname', error=UnknownNameError),
        case('item column by number', lambda: SoftLabelReader(table(), 0, PETS), 'no column 0', 'fname', error=UnknownNameError),
        case('several item columns', lambda: SoftLabelReader(table(), ['fname'], PETS), "`item` is ['fname']", 'the name of one column'),
        case('index of several levels', lambda: SoftLabelReader(table().set_index(['fname', 'cat'], drop=False), None, PETS), 'index has 2 levels', 'reset_index'),
        case('class named twice', lambda: read(classes=['cat', 'cat']), "`classes` names the class 'cat' more than once"),
        case('item twice', lambda: read(table(fname=['a', 'b', 'a', 'c'])), "row 2 (item 'a') repeats row 0 (item 'a')", 'each item once', 'groupby'),
        case('no table', lambda: read({'cat': [1]}), 'a dict', 'pandas DataFrame', '.to_pandas()'),
        case('empty table', lambda: read(table().head(0)), '0 rows', 'nothing to read'),
        case('no class', lambda: read(classes=[]), 'names 0 columns', 'nothing to read'),
        case('a set has no order', lambda: read(classes={'cat', 'dog'}), '`classes` is', 'a set has no order'),
        case('column twice', lambda: read(table().rename(columns={'dog': 'cat'}), classes=['cat']), "more than one column 'cat'"),
        case('dates', lambda: read(table(cat=pd.Timestamp('2020-01-01'))), "Column 'cat' holds datetime64"),
        case('durations', lambda: read(table(cat=pd.Timedelta('1s'))), "Column 'cat' holds timedelta64", 'Expected votes or probabilities'),
        case('periods', lambda: read(table(cat=pd.period_range('2020', periods=4, freq='D'))), "Column 'cat' holds period[D]"),
        case('item is the index', lambda: read(table().set_index('fname')), "no column 'fname'", 'say `item=None`', error=UnknownNameError),
        case('item missing', lambda: read(table(fname=['a', None, 'b', 'c'])), 'Row 1 has no item name'),
        case('item an empty text', lambda: read(table(fname=['a', '', 'b', 'c'])), 'Row 1 has no item name', 'Fill it in'),
        case('normalize and multi', lambda: read(multi=True, normalize=True), '`normalize` is for one distribution', 'n_votes='),
        case('n_votes without multi', lambda: read(n_votes=3), '`n_votes` is for `multi=True`'),
        case('n_votes of 0', lambda: read(multi=True, n_votes=0), "row 0 (item 'im0.png')", 'n_votes is not a finite number above 0'),
        case('n_votes a column of texts', lambda: read(table(n='three'), multi=True, n_votes='n'), "row 0 (item 'im0.png')", "'three' in column 'n' is not a number"),
        case('n_votes for other rows', lambda: read(multi=True, n_votes=[3]*9), '9 values in `n_votes`', '4 rows'),
        case('n_votes infinite', lambda: read(multi=True, n_votes=np.inf), 'n_votes is not', 'inf'),
        case('a text for a function', lambda: read(key='stem'), "`key` is 'stem'", 'expected a function'),
        case('row without item', lambda: read()({'file': 'im0.png'}), "has no 'fname' to look up", error=UnknownNameError),
        case('unknown item', lambda: read()(Path('data/im9.png')), "'data/im9.png'", '4 rows', 'im0.png', 'key=', error=UnknownNameError),
        case('a list for an item', lambda: read()(['im0.png']), "['im0.png']", 'key=', error=UnknownNameError),
    ],
    'SoftLabelReader.check_items': [
        case('an item without row', lambda: from_reader(read(), FIVE), 'im4.png', '4 rows', error=UnknownNameError),
        case('no such item column', lambda: from_reader(read(), pd.concat([table()]*2).rename(columns={'fname': 'file'})), "no column 'fname' to look up", 'file', error=UnknownNameError),
        case('two items, one row', lambda: from_reader(read(), [*FILES[:2], '/elsewhere/im1.png', *FILES[2:4]]), "/elsewhere/im1.png' have the same row 'im1.png'", 'key='),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
