"What files of annotation tools refuse."
from refusals import *

REFUSED = {
    'read_label_studio': [
        case('no such file', lambda t: read_label_studio(t/'none.json'), 'none.json', 'does not exist', 'Export', error=FileNotFoundError),
        case('a folder', lambda t: read_label_studio(t), 'cannot be read', 'a file', error=OSError),
        case('half a file', lambda t: read_label_studio(exported(t, '{')), 'export.json is no JSON', 'Export it anew'),
        case('bytes that are no text', lambda t: ((t/'export.json').write_bytes(b'\xff\xfe\x00'), read_label_studio(t/'export.json')), 'export.json is not written in UTF-8', 'save it in UTF-8'),
        case('no list of tasks', lambda t: read_label_studio(exported(t, '{}')), 'a dict', 'expected a list of tasks'),
        case('tasks that are none', lambda t: read_label_studio(exported(t, [1, 2])), 'A task in', 'holds 1', 'expected a record'),
        case('no such key', lambda t: read_label_studio(exported(t, [dict(id=7, data=dict(text='x'))]), key='image'), "Task 7", "no 'image'", "['text']", 'key=', error=UnknownNameError),
        case('another task without the key', lambda t: read_label_studio(exported(t, [task(), dict(id=8, data=dict(text='x'), annotations=[dict(result=[])])])), "Task 8", "no 'image' in its data", 'key=', error=UnknownNameError),
        case('no choices', lambda t: read_label_studio(exported(t, [dict(task(), annotations=[dict(completed_by=1, result=[])])])), 'no choices in any of them'),
        case('choices without a value', lambda t: read_label_studio(exported(t, [dict(task(), annotations=[dict(result=[dict(type='choices', value={})])])])), 'no choices in any of them'),
        case('a result that is none', lambda t: read_label_studio(exported(t, [dict(task(), annotations=[dict(result=['x'])])])), 'has a form that is not known', 'Export'),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
