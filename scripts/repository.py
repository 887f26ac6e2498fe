"Where the project is hosted: `user`, `repo` and `branch` of settings.ini, and the addresses that follow from them."
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def repository(root: Path = ROOT) -> dict:
    """`user`, `repo` and `branch`, and with them the addresses of the repository, of a file in it and in Colab (append its path), and of the documentation;
    all addresses are empty while no `user` is named, as the project has no public home then"""
    settings = ConfigParser()
    settings.read(root/'settings.ini')
    user, repo, branch = (settings['DEFAULT'][k] for k in ('user', 'repo', 'branch'))
    addresses = dict(url=f'https://github.com/{user}/{repo}', blob=f'https://github.com/{user}/{repo}/blob/{branch}/',
                     colab=f'https://colab.research.google.com/github/{user}/{repo}/blob/{branch}/', docs=f'https://{user}.github.io/{repo}/')
    return dict(user=user, repo=repo, branch=branch, **(addresses if user else dict.fromkeys(addresses, '')))
