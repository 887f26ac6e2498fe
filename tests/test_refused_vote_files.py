"What files of annotation tools refuse."
from refusals import *

REFUSED = {
    'read_label_studio': [
        case('no such file', lambda t: read_label_studio(t/'none.json'), 'none.json', 'does not exist', 'Export', error=FileNotFoundError),
        case('a folder', lambda t: read_label_studio(t), 'cannot be read', 'a file', error=OSError),
        case('half a file', lambda t: read_label_studio(exported(t, '{')), 'export.json is no JSON export'),
        case('bytes that are no text', lambda t: ((t/'export.json').write_bytes(b'\xff\xfe\x00'), read_label_studio(t/'export.json')), 'export.json is not written in UTF-8', 'save it in UTF-8'),
        case('no list of tasks', lambda t: read_label_studio(exported(t, '{}')), 'a dict', 'expected a list of tasks', '"JSON-MIN"'),
        case('tasks that are none', lambda t: read_label_studio(exported(t, [1, 2])), 'Task 1', 'expected a dict', '"JSON"'),
        case('no such key', lambda t: read_label_studio(exported(t, [dict(id=7, data=dict(text='x'))])), "Task 7", "no 'image' in its data", 'key=', error=UnknownNameError),
        case('no choices', lambda t: read_label_studio(exported(t, [task(was_cancelled=True)])), '1 tasks, but no choices'),
        case('annotations null', lambda t: read_label_studio(exported(t, [dict(id=7, data=dict(image='a'), annotations=None)])), '1 tasks, but no choices'),
        case('choices without a value', lambda t: read_label_studio(exported(t, [dict(task(), annotations=[dict(result=[dict(type='choices', value={})])])])), 'Task 7', "no 'choices'", 'Export'),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
