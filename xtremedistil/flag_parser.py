"""Parsers made from the dataclasses of commands: spelling of flags, `--help` in groups, one message for a mistake."""

import argparse
import dataclasses
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Collection
from functools import partial

from xtremedistil.flags import GROUPS, REQUIRED, TrainingFlags, did_you_mean, nearest, rate_or_auto

WITHOUT_VALUE = object()  # what a flag of the original release reads as that stands without its value
REQUIRED_GROUP = "required"


class _HelpText(argparse.RawDescriptionHelpFormatter):
    """Breaks lines at spaces alone: names of files and flags have hyphens."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=32)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)


class Parser(argparse.ArgumentParser):
    """Reads arguments as `spell` gives them, and tells a mistake in one message.

    Args:
        spell: gives the arguments as they are declared; raises ValueError where one cannot be meant.
    """

    def __init__(self, *, spell: Callable[[list[str]], list[str]], **settings):
        super().__init__(allow_abbrev=False, add_help=False, formatter_class=_HelpText, **settings)
        self._spell = spell

    def parse_known_args(self, args=None, namespace=None):
        try:
            arguments = self._spell(sys.argv[1:] if args is None else list(args))
        except ValueError as error:
            self.error(str(error))
        known, unread = super().parse_known_args(arguments, namespace)
        if unread:
            self.error(f"unexpected: {' '.join(unread)}")
        return known, unread

    def error(self, message: str):
        self.exit(2, f"xtremedistil: {message}\nSee {self.prog} --help.\n")


class _Print(argparse.Action):
    """Prints what `text` gives, and ends."""

    def __init__(self, option_strings, dest, text: Callable[[], str], **settings):
        super().__init__(option_strings, dest=argparse.SUPPRESS, default=argparse.SUPPRESS, nargs=0, **settings)
        self._text = text

    def __call__(self, parser, namespace, values, option_string=None):
        print(self._text(), end="")
        parser.exit()


def add_help(parser: Parser, all_flags: Callable[[], str] | None = None) -> None:
    """Adds `--help` and `--help_all` behind the flags that are there; `all_flags`: what the latter prints, if other."""
    group, same = parser.add_argument_group("help"), [] if all_flags else ["--help_all"]
    group.add_argument("-h", "--help", *same, action="help", help="show this and exit")
    if all_flags:
        group.add_argument("--help_all", action=_Print, text=all_flags, help="show all flags and exit")


def build_command(
    make: Callable[..., Parser], verb: str, kind, example: str, short: Collection[str] | None = None
) -> Parser:
    """A command's parser, with a flag for each field of the dataclass `kind`.

    Args:
        make: makes a parser. example: arguments behind the verb. short: the flags of ours that `--help` shows beside
            those of the original release and those that have to be given; None: it shows all, as `--help_all` does.
    """
    command = f"xtremedistil {verb}"
    parser = make(
        usage=_usage(command, kind),
        description=kind.__doc__,
        epilog=f"example:\n  {command} {example}",
        spell=partial(spelled_flags, verb=verb, known=_spellings(kind)),
    )
    _add_flags(parser, kind, short)
    whole = partial(build_command, partial(Parser, prog=command), verb, kind, example)
    add_help(parser, None if short is None else lambda: whole().format_help())
    return parser


def _usage(command: str, kind) -> str:
    entries = [entry for entry in dataclasses.fields(kind) if entry.default is REQUIRED]
    needed = [f"--{entry.name} {_metavar(entry)}{' ...' * _is_several(entry)}" for entry in entries]
    return " ".join([command, *needed, "[flags]"])


def _add_flags(parser: Parser, kind, short: Collection[str] | None) -> None:
    """In groups; in each of them, those that all training has come last."""
    groups = {name: parser.add_argument_group(name) for name in (REQUIRED_GROUP, *GROUPS)}
    common = {entry.name for entry in dataclasses.fields(TrainingFlags)}
    for entry in sorted(dataclasses.fields(kind), key=lambda entry: entry.name in common):
        required = entry.default is REQUIRED
        shown = required or short is None or entry.metadata["original"] or entry.name in short
        group = groups[REQUIRED_GROUP if required else entry.metadata["group"]]
        for spelled, name in _names(entry).items():
            sentence = _help(entry) if shown and name == entry.name else argparse.SUPPRESS
            # Flags that are not given leave no value: the defaults are the dataclass's.
            group.add_argument(spelled, dest=name, default=argparse.SUPPRESS, help=sentence, **_reading(entry))


def _names(entry: dataclasses.Field) -> dict[str, str]:
    """The flag of a field and its old ones, as they are spelled, each with its name."""
    prefix = "--no_" if entry.type is bool and entry.default is True else "--"
    return {prefix + name: name for name in (entry.name, *entry.metadata["aliases"])}


def _reading(entry: dataclasses.Field) -> dict:
    """How argparse reads the values of a flag."""
    if entry.type is bool:
        return {"action": "store_false" if entry.default is True else "store_true"}
    required, choices, metavar = entry.default is REQUIRED, entry.metadata["choices"], _metavar(entry)
    if _is_several(entry):
        return {"nargs": "+", "choices": choices, "required": required, "metavar": metavar}
    reading = {"type": _reader(entry), "required": required, "choices": choices, "metavar": metavar}
    return reading | {"nargs": "?", "const": WITHOUT_VALUE} if entry.metadata["original"] and not required else reading


def _is_several(entry: dataclasses.Field) -> bool:
    return entry.type == tuple[str, ...]


def _rate(text: str):
    try:
        return rate_or_auto(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: give a number above 0, or auto") from error


METAVARS = {int: "N", float: "X", str: "TEXT", _rate: "RATE"}


def _metavar(entry: dataclasses.Field) -> str:
    if _is_several(entry):
        return "NAME" if entry.metadata["choices"] else "TEXT"
    return "{" + ",".join(entry.metadata["choices"]) + "}" if entry.metadata["choices"] else METAVARS[_reader(entry)]


def _reader(entry: dataclasses.Field):
    if entry.type == float | str:
        return _rate
    if isinstance(entry.type, types.UnionType):
        return typing.get_args(entry.type)[0]
    return entry.type


def _help(entry: dataclasses.Field) -> str:
    """With the default, where the sentence does not name it."""
    sentence, choices = entry.metadata["help"], entry.metadata["choices"]
    if choices and _is_several(entry):
        sentence += f" ({', '.join(choices)})"
    silent = any(entry.default is value for value in (None, False, True, (), REQUIRED))
    if silent or "by default" in sentence:
        return sentence
    default = " ".join(entry.default) if isinstance(entry.default, tuple) else entry.default
    return f"{sentence} (default: {default})"


def _spellings(kind) -> dict[str, str]:
    """All flags of a command, old ones too, as they are spelled, each with how it is spelled now; those of the original
    release first."""
    entries = sorted(dataclasses.fields(kind), key=lambda entry: not entry.metadata["original"])
    spellings = [_names(entry) for entry in entries]
    found = {spelled: next(iter(names)) for names in spellings for spelled in names}
    return found | {"--help": "--help", "--help_all": "--help_all"}


def spelled_flags(arguments: list[str], *, verb: str, known: dict[str, str]) -> list[str]:
    """Arguments with flags as they are declared: `_` for `-`, and whole names for their beginnings.

    Args:
        known: flags as they are spelled, each with how it is spelled now.

    Raises:
        ValueError: a flag is not known, or the beginning of several.
    """
    spelled, problems = [], []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not name.startswith("--") or name == "--" or " " in name:
            spelled.append(argument)
            continue
        name = "--" + name[2:].replace("-", "_")
        fitting = [name] if name in known else [flag for flag in known if flag.startswith(name)]
        meant = list(dict.fromkeys(known[flag] for flag in fitting))
        if not meant:
            problems.append(f"{name} is no flag of {verb}{_nearest(name, known)}")
        elif len(meant) > 1:
            problems.append(f"{name} is the beginning of several flags of {verb}: {', '.join(meant)}")
        spelled.append(fitting[0] + equals + value if fitting else argument)
    if problems:
        raise ValueError("\n".join(problems))
    return spelled


def _nearest(name: str, known: dict[str, str]) -> str:
    """A question that names flags like `name`; those like an old name by their name now."""
    near = nearest(name.removeprefix("--"), [flag.removeprefix("--") for flag in known])
    return did_you_mean(dict.fromkeys(known[f"--{flag}"] for flag in near))
