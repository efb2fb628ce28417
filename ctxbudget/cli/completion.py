"""`ctxbudget completion`."""

from __future__ import annotations

from typing import Final

import click

BASH: Final = r"""
_ctxbudget_completion() {
    local rest=$COMP_LINE word blank type value hidden=
    local -a words=() found=()
    # What bash splits at `=` and `:` is one word of ours.
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        blank=${rest%%[![:space:]]*}
        rest=${rest#"$blank"}
        rest=${rest#"$word"}
        if [[ -n $blank || ${#words[@]} -eq 0 ]]; then words+=("$word"); else words[-1]+=$word; fi
    done
    COMPREPLY=()
    while IFS=, read -r type value; do
        if [[ $type == plain ]]; then
            COMPREPLY+=("$value")
            # Has bash quote what it would split.
            if [[ $value == *[![:alnum:]_./:=+-]* ]]; then compopt -o filenames; fi
        elif [[ $type == file ]]; then
            # Files that begin with a dot are offered once a dot is typed.
            if [[ -z ${value##*/} ]]; then hidden="$value.*"; fi
            mapfile -t found < <(compgen -f -X "$hidden" -- "$value")
            COMPREPLY+=("${found[@]}")
            compopt -o filenames
        fi
    done < <(COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) @ASKED@=bash_complete "$1")
    # Only what is behind the last colon is replaced.
    word=${words[-1]}
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
    fi
}
complete -o nosort -F _ctxbudget_completion ctxbudget
"""

ZSH: Final = r"""#compdef ctxbudget
_ctxbudget_completion() {
    local type value help with_files=0
    local -a response plain described
    (( $+commands[ctxbudget] )) || return 1
    response=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) @ASKED@=zsh_complete ctxbudget)}")
    # Of `--option=value` only the value is replaced.
    if [[ $words[CURRENT] == --*=* ]]; then compset -P 1 '*='; fi
    # In quotes, so that a value that is empty keeps its place.
    for type value help in "${(@)response}"; do
        case $type in
            plain)
                if [[ $help == _ ]]; then plain+=("$value"); else described+=("$value:$help"); fi
                ;;
            file)
                with_files=1
                ;;
        esac
    done
    if (( $#described )); then _describe -V unsorted described; fi
    if (( $#plain )); then compadd -V unsorted -a plain; fi
    if (( with_files )); then _path_files -f; fi
    (( compstate[nmatches] ))
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _ctxbudget_completion "$@"
else
    compdef _ctxbudget_completion ctxbudget
fi
"""

FISH: Final = r"""
function _ctxbudget_completion
    set -l word (commandline -ct)
    set -l option (string match --regex -- '^--[^=]+=' $word)
    for line in (env COMP_WORDS=(commandline -cp) COMP_CWORD="$word" @ASKED@=fish_complete ctxbudget)
        set -l parts (string split --max 1 , -- $line)
        switch $parts[1]
            case plain
                echo "$option$parts[2]"
            case file
                __fish_complete_path "$parts[2]"
        end
    end
end
complete --no-files --keep-order --command ctxbudget --arguments "(_ctxbudget_completion)"
"""

SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}
"""They read what click answers. click's own scripts quote nothing in bash, lose names beside files
in zsh, and offer nothing behind `--option=`."""


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def command(shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, and names.

    Names are those of shipped policies and workflows, and of a workflow's phases.

    \b
    Examples:
      eval "$(ctxbudget completion bash)"      # in ~/.bashrc; needs bash 4.4
      eval "$(ctxbudget completion zsh)"       # in ~/.zshrc, after compinit
      ctxbudget completion fish > ~/.config/fish/completions/ctxbudget.fish
    """
    from ctxbudget.cli.main import ASKED_BY_A_SHELL

    click.echo(SCRIPTS[shell].strip().replace("@ASKED@", ASKED_BY_A_SHELL))
