"""The walls of the house: who may import whom, read from the source itself."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

PACKAGE = Path(__file__).parent.parent / "ctxbudget"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
HEAVY = {"anthropic", "tiktoken", "genai_prices", "rich", "plotly", "loky", "ray", "distributed"}
"""Imported inside the function that needs them, or in the one module that is about them."""

MADE_OF_RICH = {
    "ctxbudget.report.journal_terminal",
    "ctxbudget.report.odds_terminal",
    "ctxbudget.report.terminal",
    "ctxbudget.report.what_if_terminal",
}
"""Themselves imported only where a table is printed."""


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Yield the absolute names of the modules that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = _top_level(tree) if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            yield module
            yield from (
                f"{module}.{alias.name}"
                for alias in node.names
                if f"{module}.{alias.name}" in MODULES
            )


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in tree.body:
        is_guard = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not is_guard:
            yield node


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("ctxbudget.core")])
def test_the_core_imports_the_standard_library_only(module: str) -> None:
    allowed = {*sys.stdlib_module_names, "__future__"}
    if module == "ctxbudget.core.graph":
        allowed.add("networkx")
    for name in imports(MODULES[module]):
        assert name.startswith("ctxbudget.core") or name.split(".")[0] in allowed, name


FORBIDDEN_IN_CORE = {
    "time",
    "random",
    "datetime",
    "asyncio",
    "io",
    "os",
    "pathlib",
    "logging",
    "uuid",
}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("ctxbudget.core")])
def test_the_core_reads_no_clock_and_no_file(module: str) -> None:
    used = {name.split(".")[0] for name in imports(MODULES[module])}
    assert not used & FORBIDDEN_IN_CORE
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "hash"}


def test_nothing_imports_the_command_line() -> None:
    for module, path in MODULES.items():
        if not module.startswith("ctxbudget.cli") and module != "ctxbudget.__main__":
            assert not [name for name in imports(path) if name.startswith("ctxbudget.cli")], module


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_where_they_are_needed(module: str) -> None:
    top = {name.split(".")[0] for name in imports(MODULES[module], top_level_only=True)}
    is_about_one = module in MADE_OF_RICH or module.startswith("ctxbudget.adapters.")
    assert not top & HEAVY or is_about_one


def test_there_is_no_circle_between_modules() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    for module, path in MODULES.items():
        graph.add_edges_from((module, name) for name in imports(path) if name in MODULES)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    assert nx.is_directed_acyclic_graph(graph), nx.find_cycle(graph)


BANNED = ("manager", "handler", "util", "helper", "context")
"""Words that say nothing; `data` is left out since it names a folder of data."""


def test_names_say_what_things_are() -> None:
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = [
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        for name in [module.rpartition(".")[2], *named]:
            assert not any(word in name.lower().split("_") for word in BANNED), f"{module}: {name}"
