import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import c2srt_cli

PACKAGE = Path(c2srt_cli.__file__).parent

#: From the top down (DESIGN, section 4); an arrow goes down this list or stays in its line.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("api", "demo", "doctor"),
    ("ablation",),
    ("review", "search", "learning"),
    ("tagging",),
    ("evaluation",),
    ("predict",),
    ("training",),
    ("methods",),
    ("scoring",),
    ("embeddings",),
    ("parts",),
    ("graph",),
    ("backbone",),
    ("datasets",),
    ("images",),
    ("labels",),
    ("text",),
    ("artifacts", "cluster", "memory", "progress", "threads"),
    ("errors",),
    ("__init__",),
)
HEIGHT = {name: -depth for depth, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below it."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(path: Path, package: Path = PACKAGE) -> Iterator[tuple[str, int]]:
    """Modules of the package that a file imports anywhere in it, with the line."""
    own = path.relative_to(package.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = own[: len(own) - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == package.name:
                yield name.removeprefix(package.name).lstrip("."), node.lineno


def layer(module: str) -> str:
    """The layer that a dotted name below the package belongs to; names of the package itself are its ``__init__``'s."""
    head = module.split(".", maxsplit=1)[0]
    return head if head in HEIGHT or head in {name.split(".")[0] for name in modules()} else "__init__"


def test_every_module_has_its_place() -> None:
    assert {layer(name) for name in modules()} <= HEIGHT.keys()


def test_no_module_is_long() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    assert not {name: length for name, length in lengths.items() if length > 300}


def test_imports_go_down() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {target}"
        for name, path in modules().items()
        for target, line in imports(path)
        if HEIGHT[layer(target)] > HEIGHT[layer(name)]
        and (layer(name), layer(target)) != ("__init__", "api")  # whose names it gives, loaded when they are used
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from c2srt_cli.cli import app", "cli.app"),
        ("import c2srt_cli.tagging.tag as t", "tagging.tag"),
        ("def f():\n    from c2srt_cli import embeddings", "embeddings"),
        ("from .. import training", "training"),
        ("from ..training.loop import train", "training.loop.train"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from c2srt_cli.methods import isr", "methods.isr"),
    ],
)
def test_no_way_of_importing_is_missed(code: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "c2srt_cli/backbone/module.py"
    path.parent.mkdir(parents=True)
    path.write_text(code)
    assert [name for name, _ in imports(path, tmp_path / "c2srt_cli")] == [expected]


def test_tagging_loads_none_of_what_others_need() -> None:
    show = (
        "import sys, c2srt_cli.tagging.outputs, c2srt_cli.review.review\n"
        "print({'pandas', 'matplotlib', 'openai', 'networkx', 'rawpy', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
