#!/usr/bin/env bash
# Checks workflow files and compares them with a base. Reads its settings from the environment:
#   CTXBUDGET_FILES   patterns for `git ls-files`, one on each line
#   CTXBUDGET_LIMITS  options of `ctxbudget check`; empty checks nothing
#   CTXBUDGET_GROWTH  value of `ctxbudget diff --fail-on-increase`; empty lets all grow
#   CTXBUDGET_BASE    what to compare with; empty compares nothing
# Exit codes are those of ctxbudget: 0 fine, 1 a limit failed, 2 something is wrong.
set -euo pipefail

scratch=$(mktemp -d)
cleanup() {
  git worktree remove --force "$scratch/base" 2>/dev/null || true
}
trap cleanup EXIT
report="$scratch/report.md"
: > "$report"
worst=0

# Takes the exit code of what came before it; keeps the gravest.
note() {
  if [ "$1" -gt "$worst" ]; then worst=$1; fi
}

mapfile -t patterns < <(printf '%s\n' "${CTXBUDGET_FILES:?name at least one pattern}" | sed '/^[[:space:]]*$/d')
mapfile -d '' -t files < <(git ls-files -z -- "${patterns[@]}")
if [ "${#files[@]}" -eq 0 ]; then
  echo "no file matches: ${patterns[*]}" >&2
  exit 2
fi

if [ -n "${CTXBUDGET_LIMITS:-}" ]; then
  # Split into words, but no pattern: `*` is none of ours to expand.
  read -r -a limits <<< "$CTXBUDGET_LIMITS"
  code=0
  ctxbudget check --markdown "${limits[@]}" -- "${files[@]}" >> "$report" || code=$?
  note "$code"
  echo >> "$report"
fi

if [ -n "${CTXBUDGET_BASE:-}" ]; then
  git worktree add --quiet --detach "$scratch/base" "$CTXBUDGET_BASE"
  ln -s "$PWD" "$scratch/head"
  growth=()
  if [ -n "${CTXBUDGET_GROWTH:-}" ]; then growth=(--fail-on-increase "$CTXBUDGET_GROWTH"); fi
  for file in "${files[@]}"; do
    if [ ! -f "$scratch/base/$file" ]; then
      echo "\`$file\` is new." >> "$report"
    elif ! cmp --silent "$scratch/base/$file" "$file"; then
      code=0
      (cd "$scratch" && ctxbudget diff --markdown "${growth[@]}" -- "base/$file" "head/$file") >> "$report" || code=$?
      note "$code"
    fi
    echo >> "$report"
  done
fi

cat "$report"
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then cat "$report" >> "$GITHUB_STEP_SUMMARY"; fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then echo "report=$report" >> "$GITHUB_OUTPUT"; fi
exit "$worst"
