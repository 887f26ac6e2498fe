"Requirements come from settings.ini, everything else from pyproject.toml."
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

settings = ConfigParser()
settings.read(Path(__file__).with_name('settings.ini'))


def requirements(name): return settings['DEFAULT'][name].strip().splitlines()


setup(install_requires=requirements('requirements'),
      extras_require={'dev': requirements('dev_requirements'), 'crowd': requirements('crowd_requirements'),
                      'distributed': requirements('distributed_requirements'), 'bench': requirements('bench_requirements')})
