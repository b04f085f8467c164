"""The command line of a magic: words, quoted texts, expressions and options.

Unlike a shell's, a word ends only at white space outside quotes and brackets, so ``--feed x=f(a, b)`` needs no
quotes. A wrong option is answered with the list of options.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

_CLOSING = {"(": ")", "[": "]", "{": "}"}


class Option(NamedTuple):
    """``--name VALUE``; a flag when ``value`` is empty; with ``rest`` it takes everything up to the next option."""

    name: str
    value: str
    text: str
    rest: bool = False


class Command(NamedTuple):
    """A magic or one of its subcommands: how it is called and what it does."""

    usage: str
    text: str
    options: tuple[Option, ...] = ()
    words: tuple[int, int | None] = (0, 0)  # how many words it takes: at least, at most

    def help(self) -> str:
        """Usage, purpose, options."""
        lines = [f"{self.usage}    {self.text}"]
        width = max((len(f"{each.name} {each.value}") for each in self.options), default=0)
        lines += [f"  --{f'{each.name} {each.value}'.ljust(width)}  {each.text}" for each in self.options]
        return "\n".join(lines)


class OptionError(Exception):
    """A command line that does not fit, with the help to show."""


def split(line: str) -> list[str]:
    """Words of a line; quotes and brackets keep white space inside a word.

    >>> split("run loss --feed x=f(1, 2) 'a b'")
    ['run', 'loss', '--feed', 'x=f(1, 2)', "'a b'"]
    """
    words: list[str] = []
    word, open_brackets, quote, escaped = "", [""], "", False
    for character in line:
        if quote:
            if not escaped and character == quote:
                quote = ""
            escaped = character == "\\" and not escaped
        elif character in "'\"":
            quote = character
        elif character in _CLOSING:
            open_brackets.append(_CLOSING[character])
        elif character == open_brackets[-1]:
            open_brackets.pop()
        elif character.isspace() and len(open_brackets) == 1:
            if word:
                words.append(word)
            word = ""
            continue
        word += character
    if quote or len(open_brackets) > 1:
        raise OptionError(f"{quote or open_brackets[-1]} is missing in: {line.strip()}")
    return [*words, word] if word else words


def parse(line: str, command: Command) -> tuple[list[str], dict[str, Any]]:
    """The plain words of a line and its options by name; `OptionError` with the list of options when it is wrong."""
    known = {each.name: each for each in command.options}
    words: list[str] = []
    found: dict[str, Any] = {}
    rest = iter(_words(line, command))
    target: list[str] = words
    for word in rest:
        if not word.startswith("--"):
            target.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        option = known.get(name)
        if option is None:
            close = get_close_matches(name, known, 1)
            _refuse(f"there is no option --{name}" + (f"; did you mean --{close[0]}?" if close else ""), command)
        assert option is not None
        target = words
        if option.rest:
            target = found.setdefault(name, [])
            if equals:
                target.append(value)
        elif not option.value:
            if equals:
                _refuse(f"--{name} takes no value", command)
            found[name] = True
        else:
            value = value if equals else next(rest, "")
            if not value or value.startswith("--"):
                _refuse(f"--{name} needs {option.value}", command)
            found[name] = unquote(value)
    low, high = command.words
    if len(words) < low:
        _refuse("something is missing", command)
    if high is not None and len(words) > high:
        _refuse(f"unexpected: {' '.join(words[high:])}", command)
    return [unquote(word) for word in words], found


def _words(line: str, command: Command) -> list[str]:
    try:
        return split(line)
    except OptionError as error:
        _refuse(str(error), command)
        raise


def _refuse(reason: str, command: Command) -> None:
    raise OptionError(f"{reason}\n{command.help()}") from None


def unquote(word: str) -> str:
    """A word without the quotes around all of it."""
    quoted = len(word) > 1 and word[0] in "'\"" and word[-1] == word[0] and word[0] not in word[1:-1]
    return word[1:-1] if quoted else word


def assignments(words: Sequence[str], command: Command) -> list[tuple[list[str], str]]:
    """What ``--feed`` was given: names and the expression each gets. ``x,y=EXPR`` unpacks a pair.

    >>> assignments(["x=data[0]", "+", "1", "a,b=next(it)"], Command("", ""))
    [(['x'], 'data[0] + 1'), (['a', 'b'], 'next(it)')]
    """
    found: list[tuple[list[str], str]] = []
    for word in map(unquote, words):
        match = re.match(r"([\w./:]+(?:,[\w./:]+)*)=(?!=)(.*)", word, re.DOTALL)
        if match:
            found.append((match[1].split(","), match[2]))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {word}".strip())
        else:
            _refuse(f"'{word}' is not NAME=EXPR", command)
    for names, code in found:
        if not code:
            _refuse(f"{','.join(names)}= needs an expression", command)
    return found
