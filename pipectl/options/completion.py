"""Shell completion for bash, zsh and PowerShell: the scripts, and the answers that pipectl gives them.

They replace click's, which split the line by POSIX rules (this removes the backslashes of a pipe's name) and insert a
name unquoted, even if it has a space or a `$`. Here a script passes each word of the line separately, and the text to
insert is quoted for the shell. Words are separated by line feeds, and the fields of an answer by tabs: displayed names
contain neither.
"""

import os
import re
from typing import ClassVar

from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

_WORDS = "_PIPECTL_WORDS"


class _Complete(ShellComplete):
    """Completion for a shell that passes the words up to the cursor; the last one is to be completed."""

    # The last word as it was typed, with its opening quote.
    word = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the arguments before the word, and the word."""
        *before, self.word = os.environ[_WORDS].split("\n")[1:] or [""]
        return list(map(self.unquoted, before)), self.unquoted(self.word)

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return the line of the answer: type, text to insert, text to show, and a description."""
        shown = str(item.value)
        tip = re.sub(r"\s+", " ", item.help or "") or shown
        return "\t".join((item.type, self.quoted(shown), shown, tip))

    def unquoted(self, word: str) -> str:
        """Return a word without its quotes; the last one may have no closing quote yet."""
        if re.match(r"\\\\[^\\]", word):
            return word  # an unquoted pipe name, whose backslashes the shell would remove
        return "".join(split_arg_string(word))

    def quoted(self, text: str) -> str:
        """Return a text as it is to be inserted; here unchanged."""
        return text


class BashComplete(_Complete):
    """Completion for bash 4.4 and newer."""

    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = r"""
%(complete_func)s() {
    local type insert rest IFS=$'\n'
    local words="${COMP_WORDS[*]:0:COMP_CWORD+1}"
    COMPREPLY=()
    while IFS=$'\t' read -r type insert rest; do
        case $type in
            file) compopt -o default 2>/dev/null ;;
            plain) COMPREPLY+=("$insert") ;;
        esac
    done < <(_PIPECTL_WORDS=$words %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s %(prog_name)s.exe
"""

    def quoted(self, text: str) -> str:
        """Return the text in single quotes if bash needs them; readline inserts it after a quote that was typed."""
        if self.word.startswith('"'):
            return re.sub(r'([\\"$`])', r"\\\1", text)
        inner = text.replace("'", r"'\''")
        return inner if self.word.startswith("'") or re.fullmatch(r"[\w./:+-]+", text) else f"'{inner}'"


class ZshComplete(_Complete):
    """Completion for zsh, which quotes inserted text itself."""

    name: ClassVar[str] = "zsh"
    source_template: ClassVar[str] = r"""#compdef %(prog_name)s
%(complete_func)s() {
    local type insert shown tip
    local -a values
    while IFS=$'\t' read -r type insert shown tip; do
        case $type in
            file) _files ;;
            plain) values+=("$insert") ;;
        esac
    done < <(_PIPECTL_WORDS=${(F)words[1,CURRENT]} %(complete_var)s=zsh_complete ${words[1]})
    (( $#values )) && compadd -U -V unsorted -a values
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s %(prog_name)s.exe
fi
"""


class PowerShellComplete(_Complete):
    """Completion for Windows PowerShell 5.1 and PowerShell 7."""

    name: ClassVar[str] = "powershell"
    source_template: ClassVar[str] = r"""
Register-ArgumentCompleter -Native -CommandName '%(prog_name)s', '%(prog_name)s.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object {
        if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value }
        else { $_.Extent.Text }
    })
    $program = $commandAst.GetCommandName()
    $env:_PIPECTL_WORDS = ($words + "$wordToComplete") -join "`n"
    $env:%(complete_var)s = 'powershell_complete'
    try { $answer = @(& $program 2>$null) }
    finally { Remove-Item 'Env:%(complete_var)s', 'Env:_PIPECTL_WORDS' }
    foreach ($line in $answer) {
        $type, $insert, $shown, $tip = $line -split "`t"
        if ($type -eq 'file') {
            Get-ChildItem -Path "$wordToComplete*" -ErrorAction SilentlyContinue | ForEach-Object {
                $kind = if ($_.PSIsContainer) { 'ProviderContainer' } else { 'ProviderItem' }
                [System.Management.Automation.CompletionResult]::new($_.FullName, $_.Name, $kind, $_.FullName)
            }
        } elseif ($tip) {
            [System.Management.Automation.CompletionResult]::new($insert, $shown, 'ParameterValue', $tip)
        }
    }
}
"""

    def unquoted(self, word: str) -> str:
        """Return the word; PowerShell has already removed the quotes, unless the closing one is missing."""
        return word.strip("'\"")

    def quoted(self, text: str) -> str:
        """Return the text in single quotes if PowerShell would change it; it leaves backslashes alone."""
        return text if re.fullmatch(r"[\w.\\/:+-]+", text) else "'" + text.replace("'", "''") + "'"


def register() -> None:
    """Register these classes with click."""
    for kind in (BashComplete, ZshComplete, PowerShellComplete):
        add_completion_class(kind)
