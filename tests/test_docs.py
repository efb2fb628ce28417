"""What the README and the docs show is what the program does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

from make import blocks, pages, run  # noqa: E402

PAGES = dict(pages())


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_is_as_the_program_would_write_it(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == PAGES[page], "run `make docs`"


def test_the_readme_shows_output() -> None:
    shown = [block for block in blocks(PAGES[ROOT / "README.md"], "console") if block[0] == "$"]
    assert len(shown) >= 2
    assert all(block.count("\n") > 5 for block in shown)


def test_the_readme_examples_run(tmp_path: Path) -> None:
    run(tmp_path, "-m", "ctxbudget", "simulate", "jwt_auth", "--journal", "run.jsonl")
    embed, replay = blocks(PAGES[ROOT / "README.md"], "python")
    assert "do=<Do.CLEAR: 'clear'>" in run(tmp_path, "-c", embed)
    assert run(tmp_path, "-c", replay) == "15500\n"


def test_the_policy_examples_work(tmp_path: Path) -> None:
    text = PAGES[ROOT / "docs" / "policies.md"]
    (rules,), (code,) = blocks(text, "yaml"), blocks(text, "python")
    (tmp_path / "mask.yaml").write_text(rules, encoding="utf-8")
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    policies = ("--policy", "mine:clear_large_results", "--policy", "mask.yaml:keep=3")
    found = run(tmp_path, "-m", "ctxbudget", "simulate", "self_review", *policies)
    assert "under policy mine:clear_large_results" in found
    assert "mask-and-note:keep=3" in found


def test_the_smallest_workflow_of_the_docs_runs(tmp_path: Path) -> None:
    (block,) = blocks(PAGES[ROOT / "docs" / "workflows.md"], "yaml")
    (tmp_path / "small.yaml").write_text(block, encoding="utf-8")
    assert "locate" in run(tmp_path, "-m", "ctxbudget", "simulate", "small.yaml")


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGES[page]):
        assert (page.parent / link).exists(), link
