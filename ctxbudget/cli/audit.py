"""`ctxbudget audit`: its options. The work is in `audit_sessions`, imported only to do it."""

from __future__ import annotations

from typing import Any

import click

from ctxbudget.cli.completing import files
from ctxbudget.cli.html_file import html_option

_DATE = click.DateTime(formats=["%Y-%m-%d"])


@click.command("audit")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=files)
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
@click.option(
    "--by",
    type=click.Choice(["session", "day", "project", "model"]),
    default="session",
    help="What a row of the table is (session).",
)
@click.option("--since", type=_DATE, metavar="DATE", help="Only calls from this day (UTC) on.")
@click.option("--until", type=_DATE, metavar="DATE", help="Only calls up to this day (UTC).")
@click.option(
    "--debt",
    is_flag=True,
    help="Replay each session: what is carried in vain, and what avoiding it would save.",
)
@html_option
def command(**options: Any) -> None:
    """Say what recorded agent sessions cost, by kind of token, at the prices of their dates.

    PATH is a file, a folder (all .jsonl, .json and .gz files in it) or - for stdin. The format
    is told by what a file holds: Claude Code, Codex, mini-swe-agent, Pi, a list of messages with
    usage, or a journal of ctxbudget. Files of other formats are named and left out; if nothing
    can be read, the exit code is 2.

    With --debt, sessions of 10 calls or more are replayed: what was read and never used, caches
    that expired, compactions of the host, files that were read again, each with what avoiding it
    would have saved of the input cost.

    \b
    Examples:
      ctxbudget audit ~/.claude/projects
      ctxbudget audit ~/.claude/projects ~/.codex/sessions --by day --since 2026-11-01
      ctxbudget audit session.jsonl.gz --json | jq '.sessions[0].cost_usd'
      zcat old.jsonl.gz | ctxbudget audit -
      ctxbudget audit ~/.claude/projects --debt
      ctxbudget audit ~/.claude/projects --html report.html

    \b
    Keys of the JSON:
      sessions (file, source, session, project, parent, agent, calls, models,
      uncached_input_tokens, cache_read_tokens, cache_write_5m_tokens,
      cache_write_1h_tokens, output_tokens, cost_usd (text, or null if no
      price is known), cost_known_frac (of the tokens), usd_per_million_sent,
      cache_read_frac, recorded_cost_usd, peak_prompt_tokens, started_at,
      ended_at, skipped_lines, damaged_lines, ...), totals, half_of_cost,
      duplicates, unknown_models, price_date; with --by also by and groups;
      with --debt also sessions[].debt (calls, input_cost_usd, rent,
      speculative_reads, superseded_reads, redundant_rereads,
      rereads_after_loss, cache_reentries, host_compactions, findings (what,
      count, tokens, cost_usd, step, policy, options, saves_usd, saves_frac
      (of input_cost_usd), recall_frac, misses, saves_with_misses_usd,
      why_no_saving); or null, and debt_left_out) and debt (sessions,
      left_out, input_cost_usd, findings).
    """
    from ctxbudget.cli.audit_sessions import run

    run(**options)
