"""Writes a report as a comment on a pull request, in place of the one that it wrote before.

Reads REPORT (a path), NUMBER (of the pull request) and TOKEN from the environment, and what the
runner sets: GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_WORKFLOW and GITHUB_JOB. A token that may
only read, as with pull requests from forks, is told in a warning: the report has its place in the
job's summary. Anything else that goes wrong is an error, exit code 1.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

MOST_CHARACTERS = 65_536
"""Of a comment. Source: what GitHub's API answers to a longer one (validation failed)."""

PAGE_SIZE = 100
"""Comments that one answer holds at most. Source: GitHub's REST API, list issue comments."""

TIMEOUT_S = 30

CUT = "\n\nThe rest stands in the job's summary.\n"


def main() -> None:
    """Write the comment."""
    repository, number = os.environ["GITHUB_REPOSITORY"], os.environ["NUMBER"]
    report = Path(os.environ["REPORT"]).read_text(encoding="utf-8")
    comments = f"/repos/{repository}/issues/{number}/comments"
    try:
        earlier = _earlier(comments)
        if earlier is None:
            _ask("POST", comments, {"body": _body(report)})
        else:
            _ask("PATCH", f"/repos/{repository}/issues/comments/{earlier}", {"body": _body(report)})
    except urllib.error.HTTPError as error:
        if error.code != 403:
            sys.exit(f"the comment was refused: {error.code} {error.reason}")
        sys.stdout.write(
            "::warning::No comment was written, for the token may not: give the job the permission "
            "`pull-requests: write`. Pull requests from forks never have it.\n"
        )
    except (OSError, ValueError) as error:
        sys.exit(f"the comment could not be written: {error}")


def _mark() -> str:
    """Return how a comment of this job begins; it does not show."""
    job = f"{os.environ.get('GITHUB_WORKFLOW', '')} {os.environ.get('GITHUB_JOB', '')}"
    return f"<!-- ctxbudget: {re.sub(r'[^a-zA-Z0-9]+', '_', job)} -->"


def _body(report: str) -> str:
    """Return the mark and the report, cut at the end of a line where it is too long."""
    whole = f"{_mark()}\n{report}"
    if len(whole) <= MOST_CHARACTERS:
        return whole
    return whole[: MOST_CHARACTERS - len(CUT)].rpartition("\n")[0] + CUT


def _earlier(comments: str) -> int | None:
    """Return the id of the first comment that has the mark."""
    page = 1
    while True:
        found = _ask("GET", f"{comments}?per_page={PAGE_SIZE}&page={page}")
        for one in found:
            if (one.get("body") or "").startswith(_mark()):
                return int(one["id"])
        if len(found) < PAGE_SIZE:
            return None
        page += 1


def _ask(method: str, path: str, content: dict[str, str] | None = None) -> Any:
    """Return what the API answers."""
    request = urllib.request.Request(  # noqa: S310 the runner names the address
        os.environ["GITHUB_API_URL"] + path,
        method=method,
        data=None if content is None else json.dumps(content).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['TOKEN']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        return json.load(answer)


if __name__ == "__main__":
    main()
