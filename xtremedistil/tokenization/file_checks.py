"""Checks the files of a tokenizer: JSON against declared shapes, vocabularies line by line, and what was loaded."""

import os

from xtremedistil.errors import InputError
from xtremedistil.storage.declared import (
    Either,
    ListOf,
    MapOf,
    Number,
    Object,
    OrNull,
    Switch,
    Text,
    Whole,
    check,
    shown,
)
from xtremedistil.storage.json_files import check_object, parse_json, read_text

COPY_AGAIN = "Copy the tokenizer's files again."
TOKEN = Either((Text(), Object({"content": Text()}, required=("content",))))  # newer files keep settings with a token
SIDE, YES_OR_NO = OrNull(Text(("left", "right"))), OrNull(Switch())
NAMED = ("pad_token", "unk_token", "cls_token", "sep_token", "bos_token", "eos_token", "mask_token")
LIST_OF_TOKENS = OrNull(ListOf(TOKEN))
SPECIAL_TOKENS = MapOf(OrNull(Either((TOKEN, ListOf(TOKEN), MapOf(TOKEN)))))
SETTINGS = Object(
    dict.fromkeys(NAMED, OrNull(TOKEN))
    | dict.fromkeys(("truncation_side", "padding_side"), SIDE)
    | dict.fromkeys(("do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space"), YES_OR_NO)
    | {
        "tokenizer_class": OrNull(Text()),
        "model_input_names": OrNull(ListOf(Text())),
        "model_max_length": OrNull(Number(1)),
        "additional_special_tokens": LIST_OF_TOKENS,
        "added_tokens_decoder": OrNull(MapOf(Object({"content": Text()}, required=("content",)))),
    }
)
RARE = "\U00013001"  # a hieroglyph: hardly any vocabulary has it, and no normalizer removes it


def read_settings(path: str) -> dict:
    """Reads a `tokenizer_config.json`. Raises InputError if it is damaged."""
    return check_object(parse_json(read_text(path), path, COPY_AGAIN), SETTINGS, path, COPY_AGAIN)


def read_special_tokens(path: str) -> dict:
    """Reads a `special_tokens_map.json`, without tokens that are null. Raises InputError if it is damaged."""
    found = check_object(parse_json(read_text(path), path, COPY_AGAIN), Object({}), path, COPY_AGAIN)
    check(found, SPECIAL_TOKENS, path, COPY_AGAIN)
    return {name: token for name, token in found.items() if token is not None}


def check_vocabulary_file(folder: str) -> None:
    """Checks `vocab.txt` or `vocab.json` of a folder.

    Raises:
        InputError: it is not UTF-8, lists a token or an id twice, or has an empty line.
    """
    lines, pairs = os.path.join(folder, "vocab.txt"), os.path.join(folder, "vocab.json")
    if os.path.isfile(lines):
        _check_lines(lines)
    elif os.path.isfile(pairs):
        ids = check_object(parse_json(read_text(pairs), pairs, COPY_AGAIN), Object({}), pairs, COPY_AGAIN)
        check(ids, MapOf(Whole()), pairs, COPY_AGAIN)
        refuse_repeated_ids(ids, pairs)


def _check_lines(path: str) -> None:
    first: dict[str, int] = {}
    lines = read_text(path).replace("\r\n", "\n").removesuffix("\n").split("\n")
    for number, token in enumerate(lines, start=1):
        if not token:
            raise InputError(f"{path}, line {number} is empty; a token on each line is expected. {COPY_AGAIN}")
        known = first.setdefault(token, number)
        if known != number:
            raise InputError(
                f"{path}, line {number}: the token {shown(token)} is there already, on line {known}. A token's id is "
                f"the number of its line, so it can be there once. {COPY_AGAIN}"
            )


def refuse_repeated_ids(ids: dict[str, int], where: str) -> None:
    """Raises InputError if two tokens have one id."""
    by_id: dict[int, str] = {}
    for token, number in ids.items():
        other = by_id.setdefault(number, token)
        if other != token:
            raise InputError(f"{where}: {shown(other)} and {shown(token)} share the id {number}. {COPY_AGAIN}")


def check_backend(backend, where: str) -> None:
    """Checks a tokenizer of the `tokenizers` package.

    Raises:
        InputError: two tokens have one id, or it cannot encode what it has no token for.
    """
    refuse_repeated_ids(backend.get_vocab(with_added_tokens=True), where)
    try:
        backend.encode(f"{RARE} {RARE}", add_special_tokens=False)
    except Exception as error:  # the tokenizers package raises bare Exception
        raise InputError(
            f"{where}: the tokenizer cannot encode a character that it has no token for ({error}). Its vocabulary "
            f"lacks the unknown token, usually [UNK]. {COPY_AGAIN}"
        ) from error


def is_failure(error: BaseException) -> bool:
    """Whether loading failed; panics of the `tokenizers` package are no `Exception`."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
