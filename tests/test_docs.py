"""What the README and the docs show is what the program does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

from make import blocks, paths, run, text_of, with_output  # noqa: E402

PAGES = paths()


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_is_as_the_program_would_write_it(page: Path) -> None:
    """Commands and python blocks are run, one after the other, and what they print is compared."""
    assert page.read_text(encoding="utf-8") == text_of(page), "run `make docs`"


def test_the_readme_shows_output() -> None:
    shown = [block for block in blocks(text("README.md"), "console") if block[0] == "$"]
    assert len(shown) >= 3
    assert all(block.count("\n") > 5 for block in shown)


def test_the_readme_examples_print_what_they_are_about() -> None:
    embedded, replayed = re.findall(r"^```text\n(.*?)^```$", text("README.md"), re.M | re.S)
    assert "output to metadata" in embedded
    assert "user: Plan the change." in embedded
    assert replayed == "15500\n"


def test_every_python_block_of_the_guide_has_been_written_to_be_run() -> None:
    code = blocks(text("docs/embedding.md"), "python")
    assert len(code) > 15
    for name in (
        "restore(",
        "undo(",
        "Run.resume(",
        "register(",
        "review=",
        "budget_usd=",
        "rejected(",
    ):
        assert any(name in block for block in code), name


PAGE = """
```python
print(40 + 1)
```

```text
{}
```

Then, with what was before:

```python
from pathlib import Path

Path("left.txt").write_text("by python")
found = 42
```

```python
print(found)
```

```text
{}
```

```console
$ ctxbudget policies none > none.txt
$ ctxbudget validate nothing.yaml
```

```python
print(Path("none.txt").read_text().splitlines()[1])
```

```text
{}
```
"""


def test_what_blocks_print_is_put_behind_them() -> None:
    shown = with_output(PAGE.format("?", "\n\n?", "?"))
    assert shown.startswith(PAGE.format("41", "42", "").partition("$ ctx")[0])
    assert shown.endswith("```text\nname: none\n```\n")
    assert "> none.txt\n$ ctxbudget validate nothing.yaml\nctxbudget: error:" in shown
    assert with_output(shown) == shown


def test_a_block_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="nonsense"):
        with_output("```python\nnonsense\n```\n")
    assert "NameError" in capfd.readouterr().err


def test_the_policy_examples_work(tmp_path: Path) -> None:
    page = text("docs/policies.md")
    (rules,), (code,) = blocks(page, "yaml"), blocks(page, "python")
    (tmp_path / "mask.yaml").write_text(rules, encoding="utf-8")
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    policies = ("--policy", "mine:clear_large_results", "--policy", "mask.yaml:keep=3")
    found = run(tmp_path, "-m", "ctxbudget", "simulate", "self_review", *policies)
    assert "under policy mine:clear_large_results" in found
    assert "mask-and-note:" in found  # where the table is narrow, the param is on the next line
    assert "keep=3" in found


def test_the_smallest_workflow_of_the_docs_runs(tmp_path: Path) -> None:
    (block,) = blocks(text("docs/workflows.md"), "yaml")
    (tmp_path / "small.yaml").write_text(block, encoding="utf-8")
    assert "locate" in run(tmp_path, "-m", "ctxbudget", "simulate", "small.yaml")


def slug(title: str) -> str:
    """Return what a link to a title says behind the `#`."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, title = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if title:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            assert title in map(slug, titles), link
