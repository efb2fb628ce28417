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
  git worktree remove --force "$scratch/tree" 2>/dev/null || true
}
trap cleanup EXIT
report="$scratch/report.md"
: > "$report"
worst=0

# Takes the exit code of what came before it; keeps the gravest.
note() {
  if [ "$1" -gt "$worst" ]; then worst=$1; fi
}

# Tells what is wrong, in the report too: as code, for it may quote anything.
wrong() {
  note 2
  echo "$1" >&2
  printf '**Context budget**: something is wrong\n\n' >> "$report"
  sed 's/^/    /' <<< "$1" >> "$report"
  echo >> "$report"
}

# Runs a command whose output belongs into the report.
add() {
  local code=0 complaint
  "$@" >> "$report" 2> "$scratch/complaint" || code=$?
  complaint=$(< "$scratch/complaint")
  if [ "$code" -gt 1 ]; then wrong "${complaint:-exit code $code}"; else note "$code"; fi
  if [ "$code" -le 1 ] && [ -n "$complaint" ]; then echo "$complaint" >&2; fi
  echo >> "$report"
}

# Returns a file's name as one word of Markdown's code.
quoted() {
  printf '`%s`' "${1//[$'`\n\r']/?}"
}

# Splits the limits into words as a shell does, with quotes, but runs and expands nothing.
check() {
  if ! xargs -r printf '%s\0' <<< "$CTXBUDGET_LIMITS" > "$scratch/limits" 2> "$scratch/complaint"; then
    wrong "the limits cannot be split into words: $(< "$scratch/complaint")"
    return
  fi
  mapfile -d '' -t limits < "$scratch/limits"
  add ctxbudget check --markdown "${limits[@]}" -- "${files[@]}"
}

# Compares each file that differs with what it is at the base.
compare() {
  local prefix commit file growth=() compared=0
  if ! commit=$(git rev-parse --verify --quiet --end-of-options "$CTXBUDGET_BASE^{commit}"); then
    wrong "no such base: $CTXBUDGET_BASE; name a branch, tag or commit that the checkout has (actions/checkout fetches all of them with fetch-depth: 0)"
    return
  fi
  git worktree add --quiet --detach "$scratch/tree" "$commit"
  prefix=$(git rev-parse --show-prefix)
  ln -s "$scratch/tree/$prefix" "$scratch/base"
  ln -s "$PWD" "$scratch/head"
  if [ -n "${CTXBUDGET_GROWTH:-}" ]; then growth=(--fail-on-increase "$CTXBUDGET_GROWTH"); fi
  for file in "${files[@]}"; do
    if [ ! -f "$scratch/base/$file" ]; then
      printf '%s is new.\n\n' "$(quoted "$file")" >> "$report"
    elif cmp --silent "$scratch/base/$file" "$file"; then
      continue
    else
      add env -C "$scratch" ctxbudget diff --markdown "${growth[@]}" -- "base/$file" "head/$file"
    fi
    compared=1
  done
  if [ "$compared" -eq 0 ]; then printf 'No workflow file differs from the base.\n\n' >> "$report"; fi
}

mapfile -t patterns < <(sed '/^[[:space:]]*$/d' <<< "${CTXBUDGET_FILES:-}")
files=()
if [ "${#patterns[@]}" -gt 0 ]; then
  mapfile -d '' -t files < <(git ls-files -z -- "${patterns[@]}")
fi
if [ "${#files[@]}" -eq 0 ]; then
  wrong "no file that git knows matches: ${patterns[*]:-no pattern at all}"
else
  if [ -n "${CTXBUDGET_LIMITS:-}" ]; then check; fi
  if [ -n "${CTXBUDGET_BASE:-}" ]; then compare; fi
fi
if [ ! -s "$report" ]; then echo "No limits were given, and no base: nothing was checked." >> "$report"; fi

cat "$report"
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then cat "$report" >> "$GITHUB_STEP_SUMMARY"; fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then echo "report=$report" >> "$GITHUB_OUTPUT"; fi
exit "$worst"
