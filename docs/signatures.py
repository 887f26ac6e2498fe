"""What an exported cell offers to callers, as Sphinx's descriptions of Python objects: signatures, docstrings, and a line for each parameter

So each public name has a line in the index and among the results of a search, and no comment of a parameter is cut off."""
import ast, copy, inspect, re, tokenize
from io import StringIO

WAYS = 'patch', 'dispatch', 'singledispatch', 'property', 'classmethod', 'staticmethod' # decorators that say how a function is found, not what it does
SPECIAL = re.compile(r'([\\*_$<>\[\]{}#~|])')


def patched_class(node) -> str:
    "The class that a function is patched into, if it is"
    if not isinstance(node, ast.FunctionDef) or not any(ast.unparse(d).startswith('patch') for d in node.decorator_list): return ''
    first = node.args.args[0].annotation if node.args.args else None
    return ast.unparse(first) if first else ''


def is_public(node) -> bool:
    "Is this a function or class for callers? Not with a leading underscore, and not a method patched into a class that has one"
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith('_'): return False
    return not patched_class(node).startswith('_')


def is_setter(node) -> bool: return any(ast.unparse(d).endswith('.setter') for d in node.decorator_list)


def public(source: str) -> list:
    "Names that an exported cell defines for callers"
    return [n.name for n in ast.parse(source).body if is_public(n)]


def methods(source: str) -> list:
    "Those of them that are patched into a class"
    return [n.name for n in ast.parse(source).body if is_public(n) and patched_class(n)]


def comments(source: str) -> dict:
    "Line → its comment"
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    return {t.start[0]: t.string.lstrip('# ').strip() for t in tokens if t.type == tokenize.COMMENT}


def plain(text: str) -> str:
    "Text of a comment or docstring as Markdown that shows every character; `code` stays code"
    parts = re.split(r'(`[^`\n]+`)', text)
    return ''.join(p if i % 2 else SPECIAL.sub(r'\\\1', p) for i, p in enumerate(parts))


def parameters(node) -> list:
    "Of a function its parameters as (name, line), of a dataclass its fields"
    if isinstance(node, ast.ClassDef): return [(f.target.id, f.end_lineno) for f in node.body if isinstance(f, ast.AnnAssign)]
    a = node.args
    named = [*a.posonlyargs, *a.args]
    defaults = [None]*(len(named) - len(a.defaults)) + a.defaults
    pairs = [*zip(named, defaults), (a.vararg, None), *zip(a.kwonlyargs, a.kw_defaults), (a.kwarg, None)]
    return [(p.arg, (default or p).end_lineno) for p, default in pairs if p]


def fields(node, said: dict) -> list:
    "A line for each parameter that has a comment, and one for what is returned"
    said = {line: text for line, text in said.items() if line < node.body[0].lineno or isinstance(node, ast.ClassDef)} # not of a body in the same line
    last = {line: name for name, line in parameters(node)}
    ends = getattr(getattr(node, 'returns', None), 'end_lineno', None)
    if ends == node.lineno: last.pop(ends, None) # all in one line: the comment is about what is returned
    lines = [f':param {name}: {plain(said[line])}' for line, name in last.items() if line in said]
    if ends is None and isinstance(node, ast.FunctionDef): ends = closing_line(node, last)
    if ends in said and ends not in last: lines.append(f':returns: {plain(said[ends])}')
    return lines


def closing_line(node, last: dict) -> int | None:
    "The line `):` of a signature without a type for what it returns, if that is a line of its own"
    after = max(last, default=node.lineno) + 1
    return after if after < node.body[0].lineno else None


def arguments(node, bound: bool) -> str:
    "The parameters in brackets, without `self`, and what is returned"
    a = copy.deepcopy(node.args)
    if bound: (a.posonlyargs or a.args).pop(0)
    return f'({ast.unparse(a)})' + (f' -> {ast.unparse(node.returns)}' if node.returns else '')


def fenced(kind: str, head: str, options: list, body: list) -> str:
    "A directive; its fence is longer than those in its body"
    text = '\n\n'.join(part for part in body if part)
    longest = max([2, *(len(m) for m in re.findall(r'^`{3,}', text, re.M))])
    fence = '`'*(longest + 1)
    return '\n'.join([f'{fence}{{py:{kind}}} {head}', *options, '', text, fence])


def about(node) -> list:
    "Decorators that say something to a caller, and the docstring"
    decorators = [d for d in map(ast.unparse, node.decorator_list) if not re.match(rf'({"|".join(WAYS)})\b|dataclass', d)]
    shown = 'Decorated: ' + ', '.join(f'`@{d}`' for d in decorators) if decorators else ''
    return [plain(inspect.cleandoc(ast.get_docstring(node) or '')), shown]


def described_function(node, said: dict, options: list, cls: str = '', inside: bool = False) -> str:
    "A function, a method in its class (`inside`), or one patched into `cls`"
    decorators = [ast.unparse(d) for d in node.decorator_list]
    has = lambda pattern: any(re.search(pattern, d) for d in decorators)
    body = [*about(node), '\n'.join(fields(node, said))]
    name = f'{cls}.{node.name}' if cls and not inside else node.name
    if has('^(cached_)?property|as_prop=True'):
        returns = [f':type: {ast.unparse(node.returns)}'] if node.returns else []
        return fenced('property', name, options + returns, body)
    if not cls: return fenced('function', name + arguments(node, False), options, body)
    options = options + [f':{o}:' for o, pattern in (('classmethod', '^classmethod|cls_method=True'), ('staticmethod', '^staticmethod')) if has(pattern)]
    return fenced('method', name + arguments(node, not has('^staticmethod')), options, body)


def described_class(node, said: dict, options: list) -> str:
    "A class with the parameters of its `__init__` (the fields of a dataclass), and its public methods"
    methods = [m for m in node.body if isinstance(m, ast.FunctionDef)]
    init = next((m for m in methods if m.name == '__init__'), None)
    is_data = any(ast.unparse(d).startswith('dataclass') for d in node.decorator_list)
    given = [f for f in node.body if isinstance(f, ast.AnnAssign)] if is_data else []
    head = arguments(init, True) if init else f'({", ".join(map(ast.unparse, given))})' if is_data else ''
    bases = 'Bases: ' + ', '.join(f'`{ast.unparse(b)}`' for b in node.bases) if node.bases else ''
    shown = [m for m in methods if not m.name.startswith('_') and not is_setter(m)]
    quiet = [o for o in options if not o.startswith(':module:')]
    parts = [described_function(m, said, quiet, node.name, inside=True) for m in shown]
    doc = plain(ast.get_docstring(init) or '') if init else ''
    own = fields(init if init else node, said) if init or is_data else []
    return fenced('class', node.name + head, options, [bases, *about(node), doc, '\n'.join(own), *parts])


def described(source: str, module: str, listed: bool, seen: set) -> str:
    "The functions, classes and constants of an exported cell; `seen` are the names before, as several functions may share one; in the index where `listed`"
    said, out = comments(source), []
    for node in ast.parse(source).body:
        if listed and isinstance(node, ast.Assign) and re.fullmatch('[A-Z][A-Z_]+', name := ast.unparse(node.targets[0])):
            out.append(fenced('data', name, [f':module: {module}', f':value: {ast.unparse(node.value)}'], []))
        if not is_public(node): continue
        cls = patched_class(node)
        name = f'{cls}.{node.name}'
        options = [f':module: {module}'] + ([] if listed else [':no-index-entry:', ':no-contents-entry:'])
        is_loose = not cls and isinstance(node, ast.FunctionDef) and node.args.args and node.args.args[0].arg == 'self' # a decorator puts it into a class
        if (module, name) in seen or is_loose: options = [f':module: {module}', ':no-index:']
        seen.add((module, name))
        if isinstance(node, ast.ClassDef): out.append(described_class(node, said, options))
        else: out.append(described_function(node, said, options, cls))
    return '\n\n'.join(out)
