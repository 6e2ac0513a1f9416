"""The shell parts of the completion scripts; api.cli.completion fills in the tables.

All three find the command that is being typed the same way: words that are commands lengthen its path, an
option that takes a value takes the next word, everything else is an argument.
"""

from __future__ import annotations

_TABLES = """\
_amos_is_command() {{
    case "$1" in
        {commands}) return 0 ;;
    esac
    return 1
}}

# Each sets REPLY to what may come.
_amos_words() {{
    case "$1" in
{words}
        *) REPLY='' ;;
    esac
}}

_amos_options() {{
    case "$1" in
{options}
        *) REPLY='' ;;
    esac
}}

# Fails for an option that takes no value.
_amos_values() {{
    case "$1" in
{values}
        *) return 1 ;;
    esac
}}
"""

BASH = (
    """\
# Completion of amos for bash; made by `amos completion bash`.

"""
    + _TABLES
    + """
_amos() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} path='' pending='' word i REPLY=''
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        if [[ $word == '=' ]]; then continue; fi # bash splits --option=value there
        if [[ -n $pending ]]; then
            pending=''
        elif [[ $word == -* ]]; then
            if _amos_values "${{path:+$path }}$word"; then pending=$word; fi
        elif _amos_is_command "${{path:+$path }}$word"; then
            path=${{path:+$path }}$word
        fi
    done
    if [[ $current == '=' ]]; then current=''; fi
    if [[ -n $pending ]]; then
        _amos_values "${{path:+$path }}$pending"
    elif [[ $current == -* ]]; then
        _amos_options "$path"
    else
        _amos_words "$path"
    fi
    local IFS=$' \\n'
    if [[ $REPLY == '<file>' ]]; then
        compopt -o filenames 2>/dev/null # bash 3.2 has none
        IFS=$'\\n'
        COMPREPLY=($(compgen -f -- "$current"))
    else
        COMPREPLY=($(compgen -W "$REPLY" -- "$current"))
    fi
}}

complete -F _amos amos
"""
)

ZSH = (
    """\
#compdef amos
# Completion of amos for zsh; made by `amos completion zsh`.

"""
    + _TABLES
    + """
_amos() {{
    local current=${{words[CURRENT]}} at='' pending='' word REPLY=''
    local -i i
    local -a found
    for ((i = 2; i < CURRENT; i++)); do
        word=${{words[i]}}
        if [[ -n $pending ]]; then
            pending=''
        elif [[ $word == -*=* ]]; then
            continue
        elif [[ $word == -* ]]; then
            if _amos_values "${{at:+$at }}$word"; then pending=$word; fi
        elif _amos_is_command "${{at:+$at }}$word"; then
            at=${{at:+$at }}$word
        fi
    done
    if [[ -z $pending && $current == -*=* ]]; then
        pending=${{current%%=*}}
        compset -P '*='
    fi
    REPLY=''
    if [[ -n $pending ]]; then
        _amos_values "${{at:+$at }}$pending"
    elif [[ $current == -* ]]; then
        _amos_options "$at"
    else
        _amos_words "$at"
    fi
    if [[ $REPLY == '<file>' ]]; then
        _files
    elif [[ -n $REPLY ]]; then
        found=("${{(@f)REPLY}}")
        _describe amos found
    fi
}}

if [[ $funcstack[1] == _amos ]]; then # read from a folder of $fpath
    _amos "$@"
else
    compdef _amos amos
fi
"""
)

FISH = """\
# Completion of amos for fish; made by `amos completion fish`.

set -g __amos_commands {commands}
set -g __amos_taking {taking}

# Whether the command that is being typed is the one given.
function __amos_at
    set -l path ''
    set -l is_value 0
    for word in (commandline -opc)[2..-1]
        if test $is_value = 1
            set is_value 0
        else if string match -q -- '-*' $word
            if contains -- (string trim "$path $word") $__amos_taking
                set is_value 1
            end
        else if contains -- (string trim "$path $word") $__amos_commands
            set path (string trim "$path $word")
        end
    end
    test "$path" = "$argv[1]"
end

complete -c amos -e
complete -c amos -f
{declarations}
"""
