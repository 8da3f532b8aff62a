"""Parses matches from the command line, or from a JSON or YAML file.

On the command line a match is `feature=values,teacher=5,student=1,loss=relation_kl,relation_heads=12,weight=0.5`; two
layers are joined with "+" (`teacher=5+6`). A file holds a list of such mappings, or {"matches": [...]}. Keys other than
the fields of `Match` are options of its loss. TextBrewer's dictionaries are accepted too.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from xtremedistil.errors import InputError, first_line, require_known
from xtremedistil.losses.specs import LOSS_KINDS
from xtremedistil.storage.declared import Anything, MapOf, Object, Text, check
from xtremedistil.storage.json_files import check_depth, parse_json, read_text
from xtremedistil.terms.match import PATH, Match
from xtremedistil.terms.textbrewer import is_textbrewers, textbrewer_match

FIELDS = [entry.name for entry in dataclasses.fields(Match) if entry.name != "options"]
TYPES = Object(dict.fromkeys(("feature", "loss", "projection"), Text()) | {"options": MapOf(Anything())})
MOST_BYTES, MOST_VALUES = 10 << 20, 100_000  # of a file of matches
FILES = (".json", ".yaml", ".yml")
WORDS = {"true": True, "false": False}


def read_matches(entries: Sequence[str]) -> list[Match]:
    """Reads all matches of `match`; each entry is one match, or a file of matches.

    Raises:
        InputError: an entry cannot be read, or a match is given twice.
    """
    matches = []
    for entry in entries:
        if entry.endswith(FILES):
            matches += _read_file(entry)
        else:
            matches.append(_match_of(_parse(entry), f"`match` {entry}"))
    names = [match.name for match in matches]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(
            f"`match`: {', '.join(sorted(twice))} is given twice. Give it once, with the sum of the weights."
        )
    return matches


def _parse(text: str) -> dict:
    pairs = [entry.partition("=") for entry in text.split(",")]
    if wrong := [name for name, equals, value in pairs if not (equals and value)]:
        raise InputError(
            f'`match` {text}: "{wrong[0]}" is not written as name=value.\n'
            "An example: feature=hidden_states,teacher=4,student=1,loss=hidden_mse,weight=1"
        )
    names = [name.strip() for name, _, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"`match` {text}: {', '.join(sorted(twice))} is given twice. Leave one of them away.")
    return {name.strip(): _value(value.strip()) for name, _, value in pairs}


def _value(text: str):
    """Parses true or false, a number, or values joined with "+"; anything else stays text."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for kind in (int, float):  # before "+" is a separator: 1e+3 is a number
        try:
            return kind(text)
        except ValueError:
            continue
    if "+" in text and all(part for part in text.split("+")):
        return tuple(_value(part) for part in text.split("+"))
    return text


def _read_file(path: str) -> list[Match]:
    if not os.path.isfile(path):
        raise InputError(f"`match` {path}: there is no such file.")
    found = _parsed(read_text(path, MOST_BYTES), path)
    if isinstance(found, Mapping) and "matches" in found:
        if others := [str(name) for name in found if name != "matches"]:
            raise InputError(
                f"{path}: {', '.join(others)} cannot be set in a file of matches. Give everything but matches as flags "
                "(xtremedistil distil --help), or to Distiller by Terms.from_json."
            )
        found = found["matches"]
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        raise InputError(f"{path} does not hold a list of matches, each a mapping of names to values.")
    return [_match_of(entry, f"{path}, match {number}") for number, entry in enumerate(found, start=1)]


def _parsed(text: str, path: str):
    if path.endswith(".json"):
        return parse_json(text, path)
    import yaml

    try:
        found = yaml.safe_load(text)
    except Exception as error:  # besides yaml's own errors, those of values: dates, numbers, nesting
        raise InputError(f"{path} cannot be read ({first_line(error)}).") from error
    check_depth(found, path, most_values=MOST_VALUES)  # aliases may repeat what they name without end
    return found


def _match_of(entry: Mapping, place: str) -> Match:
    try:
        return match_of(entry)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{place}: {error}") from error


def match_of(entry: Mapping) -> Match:
    """Makes a match from names and values.

    Raises:
        ValueError: a name or value is unknown, or one is missing.
    """
    if is_textbrewers(entry):
        return textbrewer_match(entry)
    check(entry, TYPES, "A match")
    loss = entry.get("loss", "hidden_mse")
    require_known("loss", loss, LOSS_KINDS)
    for name in entry:
        require_known("name in a match", name, [*FIELDS, *LOSS_KINDS[loss].options])
    if missing := [name for name in ("feature", "teacher", "student") if name not in entry]:
        raise ValueError(f"{' and '.join(missing)} is missing; a match needs feature, teacher and student.")
    fields = {name: _layers(value) for name, value in entry.items() if name in FIELDS}
    if fields["feature"] == PATH:
        fields |= {side: str(fields[side]) for side in ("teacher", "student") if not isinstance(fields[side], tuple)}
    options = {name: value for name, value in entry.items() if name not in FIELDS}
    return Match(**fields, options=options)


def _layers(value):
    return tuple(value) if isinstance(value, list) else value
