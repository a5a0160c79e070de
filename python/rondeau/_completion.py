"""`python -m rondeau completion bash|zsh|fish`: a script that has the shell complete commands, options and processes.

The words come from the parsers, so that nothing here is to be kept in step by hand. All three scripts complete the script
`rondeau`; a shell knows no completion for `python -m rondeau`.
"""

from __future__ import annotations

import shlex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._parsing import Parser

SHELLS = ("bash", "zsh", "fish")

# What a command takes beside options.
_TAKES = {"run": "file", "trace": "file", "view": "file", "ps": "process", "pstree": "process", "top": "process"}
_PROCESSES = "rondeau ps 2>/dev/null | awk 'NR > 1 && $1 + 0 {print $1}'"


def script(shell: str, commands: Mapping[str, Parser]) -> str:
    """The script for one of `SHELLS`."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


def _options(parser: Parser) -> list[tuple[str, str, bool]]:
    """Each long option with what it is for, and whether it wants a value."""
    return [
        (name, (action.help or "").replace("%%", "%"), action.nargs is None)
        for action in parser._actions
        for name in action.option_strings
        if name.startswith("--")
    ]


def _bash(commands: Mapping[str, Parser]) -> str:
    cases = []
    for name, parser in commands.items():
        options = " ".join(option for option, _, _ in _options(parser))
        takes = {
            "file": 'COMPREPLY+=($(compgen -f -- "$word"))',
            "process": f'COMPREPLY+=($(compgen -W "$({_PROCESSES})" -- "$word"))',
        }.get(_TAKES.get(name, ""), "")
        if name == "completion":
            takes = f'COMPREPLY+=($(compgen -W "{" ".join(SHELLS)}" -- "$word"))'
        cases.append(f'        {name})\n            COMPREPLY=($(compgen -W "{options}" -- "$word"))')
        if takes:
            cases.append(f"            [[ $word == -* ]] || {takes}")
        cases.append("            ;;")
    body = "\n".join(cases)
    return f"""\
# bash completion for rondeau:  source <(rondeau completion bash)
_rondeau() {{
    local word=${{COMP_WORDS[COMP_CWORD]}}
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "{" ".join(commands)} --help --version" -- "$word"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{body}
    esac
}}
complete -o filenames -F _rondeau rondeau
"""


def _zsh(commands: Mapping[str, Parser]) -> str:
    cases = []
    for name, parser in commands.items():
        words = [f"{option}{'=' if value else ''}[{_bracketed(what)}]" for option, what, value in _options(parser)]
        words.append(
            {"file": "*:file:_files", "process": "*:process:_rondeau_processes"}.get(
                _TAKES.get(name, ""), f"1:shell:({' '.join(SHELLS)})" if name == "completion" else ""
            )
        )
        arguments = " ".join(shlex.quote(word) for word in words if word)
        cases.append(f"        {name}) _arguments {arguments} ;;")
    described = "\n".join(f"            {shlex.quote(f'{name}:{parser.short}')}" for name, parser in commands.items())
    body = "\n".join(cases)
    return f"""\
#compdef rondeau
# zsh completion for rondeau:  source <(rondeau completion zsh), or a file _rondeau in a folder of $fpath
_rondeau_processes() {{
    local -a found
    found=(${{(f)"$({_PROCESSES})"}})
    compadd -a found
}}
_rondeau() {{
    if (( CURRENT == 2 )); then
        local -a commands
        commands=(
{described}
        )
        _describe command commands
        _arguments '--help[show help]' '--version[show the version]'
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
{body}
    esac
}}
if [[ $funcstack[1] == _rondeau ]]; then _rondeau "$@"; else compdef _rondeau rondeau; fi
"""


def _bracketed(text: str) -> str:
    return text.replace("[", "(").replace("]", ")").replace(":", "\\:")


def _fish(commands: Mapping[str, Parser]) -> str:
    lines = ["# fish completion for rondeau:  rondeau completion fish | source", "complete -c rondeau -f"]
    first = "-n __fish_use_subcommand"
    for name, parser in commands.items():
        lines.append(f"complete -c rondeau {first} -a {name} -d {shlex.quote(parser.short)}")
    lines.append(f"complete -c rondeau {first} -l version -d 'show the version'")
    for name, parser in commands.items():
        here = f"-n '__fish_seen_subcommand_from {name}'"
        for option, what, value in _options(parser):
            lines.append(f"complete -c rondeau {here} -l {option[2:]}{' -r' if value else ''} -d {shlex.quote(what)}")
        match _TAKES.get(name):
            case "file":
                lines.append(f"complete -c rondeau {here} -F")
            case "process":
                lines.append(f'complete -c rondeau {here} -a "({_PROCESSES.replace("$", chr(92) + "$")})"')
        if name == "completion":
            lines.append(f"complete -c rondeau {here} -a '{' '.join(SHELLS)}'")
    return "\n".join(lines) + "\n"
