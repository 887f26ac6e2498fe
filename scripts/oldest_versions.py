"The lower bounds of settings.ini's requirements as pip constraints: `python scripts/oldest_versions.py FILE`"
import re, sys
from configparser import ConfigParser
from pathlib import Path


def oldest(requirements: str) -> list:
    "A constraint for each requirement: `torch>=2.7` becomes `torch==2.7.*`, `fastai>=2.8.12` stays as exact as it is"
    res = []
    for r in requirements.strip().splitlines():
        name, version = re.fullmatch(r'([\w.-]+)>=([\d.]+)', r.strip()).groups()
        res.append(f'{name}=={version}' + '.*'*(version.count('.') < 2))
    return res


if __name__ == '__main__':
    settings = ConfigParser()
    settings.read(Path(__file__).parents[1]/'settings.ini')
    Path(sys.argv[1]).write_text('\n'.join(oldest(settings['DEFAULT']['requirements'])) + '\n')
