"""What the tools' own libraries make of the examples in tests/data/votes: `python scripts/votes_by_tools.py argilla|label_studio|zooniverse`

Each runs in an environment of its own, where only that library is installed (argilla 2.8; label-studio-sdk 2.1; panoptes_aggregation
5.3, which wants pandas < 3): none of them is a requirement of this package. Writes files that begin with `by_` beside the examples,
and the library's version into tests/data/votes/by_versions.json. The tests compare what we read with them."""
import importlib.metadata, json, sys, tempfile
from pathlib import Path

DATA = Path(__file__).resolve().parents[1]/'tests'/'data'/'votes'

LABELS = """<View><Image name="image" value="$image"/><Choices name="animal" toName="image"><Choice value="cat"/></Choices>
<Rating name="quality" toName="image"/><Taxonomy name="kind" toName="image"><Choice value="animal"/></Taxonomy>
<Choices name="seen" toName="image" choice="multiple"><Choice value="snow"/></Choices></View>"""


def label_studio():
    "JSON-MIN, CSV and TSV of the exports as JSON"
    from label_studio_sdk.converter import Converter
    for name in ('label_studio', 'label_studio_nasty'):
        tasks = json.loads((DATA/f'{name}.json').read_text(encoding='utf-8-sig'))
        with tempfile.TemporaryDirectory() as d:
            source = Path(d)/'tasks.json'
            source.write_text(json.dumps(tasks))
            converter = Converter(LABELS, d)
            converter.convert_to_json_min(str(source), f'{d}/min', is_dir=False)
            (DATA/f'by_{name}_min.json').write_bytes(Path(f'{d}/min/result.json').read_bytes())
            for ending, sep in dict(csv=',', tsv='\t').items():
                converter.convert_to_csv(str(source), f'{d}/out.csv', is_dir=False, sep=sep)
                (DATA/f'by_{name}.{ending}').write_bytes(Path(f'{d}/out.csv').read_bytes())
    return 'label-studio-sdk'


def zooniverse():
    "Extracts and reductions of the classification exports"
    import yaml
    from panoptes_aggregation.scripts import extract_csv, reduce_csv
    for name, config in dict(zooniverse=dict(workflow_id=5, workflow_version='3.0', extractor_config={'question_extractor': [{'task': 'T0'}]}),
                             zooniverse_nasty=dict(workflow_id=5, workflow_version='3.0', extractor_config={'question_extractor': [{'task': 'T0'}, {'task': 'T1'}]})).items():
        with tempfile.TemporaryDirectory() as d:
            Path(d, 'extract.yaml').write_text(yaml.dump(config))
            Path(d, 'reduce.yaml').write_text(yaml.dump({'reducer_config': {'question_reducer': {}}}))
            extract_csv(str(DATA/f'{name}.csv'), f'{d}/extract.yaml', output_dir=d, output_name='e', hide_progressbar=True)
            reduce_csv(f'{d}/question_extractor_e.csv', f'{d}/reduce.yaml', output_dir=d, output_name='r', hide_progressbar=True)
            for what in ('question_extractor_e', 'question_reducer_r'): (DATA/f'by_{name}_{what[:-2]}.csv').write_bytes(Path(d, f'{what}.csv').read_bytes())
    return 'panoptes_aggregation'


def argilla():
    "Rows as `records.to_datasets()` has them, of records made up here"
    import argilla as rg
    from argilla.records._io import GenericIO
    def record(name, text, *responses):
        given = [rg.Response(question, value, user_id=f'{user}1111111-1111-1111-1111-111111111111', status=status) for question, value, user, status in responses]
        return rg.Record(id=name, fields=dict(text=text), responses=given)
    records = [record('r1', 'Oh, great.', ('irony', 'yes', 1, 'submitted'), ('irony', 'no', 2, 'submitted'), ('irony', 'no', 3, 'draft')),
               record('r2', 'Größe', ('irony', 'no', 1, 'submitted'), ('irony', 'no', 2, 'discarded'))]
    nasty = [record('r1', 'Ä', ('irony', 'yes', 1, 'submitted'), ('seen', ['snow', 'night'], 1, 'submitted'), ('seen', [], 2, 'submitted'), ('grade', 4, 1, 'submitted')), record('r2', 'B')]
    for name, of in dict(argilla=records, argilla_nasty=nasty).items():
        rows = GenericIO.to_list(of, flatten=True)
        (DATA/f'by_{name}.jsonl').write_text(''.join(json.dumps(r, ensure_ascii=False, default=str) + '\n' for r in rows))
    (DATA/'by_argilla_records.json').write_text(json.dumps([r.to_dict() for r in records], default=str))
    return 'argilla'


if __name__ == '__main__':
    library = dict(argilla=argilla, label_studio=label_studio, zooniverse=zooniverse)[sys.argv[1]]()
    file = DATA/'by_versions.json'
    versions = json.loads(file.read_text()) if file.exists() else {}
    versions[library] = importlib.metadata.version(library)
    file.write_text(json.dumps(versions, indent=1, sort_keys=True) + '\n')
