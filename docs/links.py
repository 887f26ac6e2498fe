"Do the links of the finished HTML lead somewhere?"
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Links(HTMLParser):
    "The ids of a page, and where its links and pictures lead"
    def __init__(self, text):
        super().__init__()
        self.ids, self.links = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[k] for k in ('id', 'name') if attrs.get(k)}
        for key in ('href', 'src'):
            if attrs.get(key) is not None: self.links.add(attrs[key])


def broken_links(site: Path) -> list:
    "What leads nowhere in the HTML below `site`: files and anchors that are not there, and addresses elsewhere that are none (nobody asks whether they answer)"
    parsed = {p.resolve(): Links(p.read_text()) for p in sorted(site.rglob('*.html'))}
    found = []
    for page, html in parsed.items():
        for link in sorted(html.links):
            try: url = urlsplit(link)
            except ValueError: url = None
            if url and url.scheme in ('data', 'mailto'): continue
            if url and (url.scheme or url.netloc):
                ok = url.scheme in ('http', 'https', '') and re.fullmatch(r'[\w-]+(\.[\w-]+)+(:\d+)?', url.netloc) and ' ' not in link
            elif url:
                there = (page.parent/unquote(url.path)).resolve() if url.path else page
                if there.is_dir(): there = there/'index.html'
                ok = there.is_file() and (not url.fragment or there not in parsed or unquote(url.fragment) in parsed[there].ids)
            if not url or not ok: found.append(f'{page.relative_to(site.resolve())}: {link}')
    return found
