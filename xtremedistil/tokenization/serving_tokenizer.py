"""`FastTokenizer`: runs a saved tokenizer with the `tokenizers` package, without transformers."""

import functools
import os
import shutil
from collections.abc import Sequence

from xtremedistil.errors import InputError
from xtremedistil.storage.declared import shown
from xtremedistil.tokenization.file_checks import (
    COPY_AGAIN,
    NAMED,
    check_backend,
    is_failure,
    read_settings,
    read_special_tokens,
)

TOKENIZER_FILE = "tokenizer.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
SETTINGS_FILE = "tokenizer_config.json"
OWN_FILES = (TOKENIZER_FILE, SPECIAL_TOKENS_FILE, SETTINGS_FILE)

# Also the vocabularies beside them, for other readers.
ALL_FILES = (
    *OWN_FILES,
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)


class FastTokenizer:
    """The part of a Hugging Face tokenizer that `Tokenizer` uses, with the same names.

    It never changes once it is loaded, so threads can share it; Hugging Face's own classes switch truncation on and off
    with every call.

    Args:
        folder: with `tokenizer.json`, `special_tokens_map.json` and `tokenizer_config.json`.

    Raises:
        InputError: one of the files cannot be read.
    """

    is_fast = True

    def __init__(self, folder: str):
        import tokenizers

        self._folder = folder
        path = os.path.join(folder, TOKENIZER_FILE)
        self.backend_tokenizer = _read(path, tokenizers.Tokenizer.from_file)
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        check_backend(self.backend_tokenizer, path)
        special = read_special_tokens(os.path.join(folder, SPECIAL_TOKENS_FILE))
        settings = read_settings(os.path.join(folder, SETTINGS_FILE))
        self.special_tokens_map = {name: _content(token) for name, token in special.items()}
        self._refuse_missing_tokens(path)
        self._truncation_side = settings.get("truncation_side") or "right"
        # Families without token types are recognized by this setting or by the name of their class.
        self._has_types = "token_type_ids" in (settings.get("model_input_names") or _inputs_of(settings))
        for name in ("pad", "unk", "cls", "sep", "bos", "eos"):
            token = self.special_tokens_map.get(f"{name}_token")
            setattr(self, f"{name}_token", token)
            setattr(self, f"{name}_token_id", None if token is None else self.backend_tokenizer.token_to_id(token))

    def _refuse_missing_tokens(self, path: str) -> None:
        """Raises InputError if the tokenizer lacks one of the special tokens that its files name."""
        named = {name: token for name, token in self.special_tokens_map.items() if name in NAMED}
        for name, token in named.items():
            if not isinstance(token, str) or self.backend_tokenizer.token_to_id(token) is None:
                raise InputError(
                    f"{os.path.join(self._folder, SPECIAL_TOKENS_FILE)} says {name} {shown(token)}, which {path} does "
                    f"not have. {COPY_AGAIN}"
                )

    @staticmethod
    def is_in(folder: str) -> bool:
        """Whether a folder has all files."""
        return all(os.path.isfile(os.path.join(folder, name)) for name in OWN_FILES)

    def __len__(self) -> int:
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=True)

    def __call__(
        self,
        texts: Sequence[str],
        text_pairs: Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        max_length: int | None = None,
        truncation: str = "longest_first",
        padding: bool = False,
        verbose: bool = False,
        return_attention_mask: bool = False,
        return_token_type_ids: bool = False,
    ) -> dict[str, list[list[int]]]:
        """Returns unpadded `input_ids` and, if the family has them, `token_type_ids`; truncates the longer text first.

        The last five arguments exist because Hugging Face's tokenizers need them; other values are not supported.
        """
        backend = self.backend_tokenizer if max_length is None else self._cutting(max_length)
        rows = texts if text_pairs is None else list(zip(texts, text_pairs, strict=True))
        encodings = backend.encode_batch(rows, add_special_tokens=add_special_tokens)
        encoded = {"input_ids": [encoding.ids for encoding in encodings]}
        return encoded | ({"token_type_ids": [e.type_ids for e in encodings]} if self._has_types else {})

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a few lengths for as long as the tokenizer lives
    def _cutting(self, max_length: int):
        import tokenizers

        cutting = tokenizers.Tokenizer.from_str(self.backend_tokenizer.to_str())
        cutting.enable_truncation(max_length, strategy="longest_first", direction=self._truncation_side)
        return cutting

    def convert_tokens_to_ids(self, token: str) -> int | None:
        found = self.backend_tokenizer.token_to_id(token)
        return self.unk_token_id if found is None else found

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        return [self.backend_tokenizer.id_to_token(number) for number in ids]

    def get_vocab(self) -> dict[str, int]:
        return self.backend_tokenizer.get_vocab(with_added_tokens=True)

    def get_added_vocab(self) -> dict[str, int]:
        return {token.content: number for number, token in self.backend_tokenizer.get_added_tokens_decoder().items()}

    def save_pretrained(self, folder: str) -> None:
        """Copies the tokenizer's files into `folder`."""
        for name in ALL_FILES:
            path = os.path.join(self._folder, name)
            if os.path.isfile(path) and os.path.realpath(folder) != os.path.realpath(self._folder):
                shutil.copy(path, folder)

    def num_special_tokens_to_add(self, pair: bool) -> int:
        return self.backend_tokenizer.num_special_tokens_to_add(pair)


def _inputs_of(settings: dict) -> tuple[str, ...]:
    without = ("roberta", "distilbert", "gpt", "ctrl", "bart")
    name = str(settings.get("tokenizer_class", "")).lower()
    plain = ("input_ids", "attention_mask")
    return plain if any(kind in name for kind in without) else ("token_type_ids", *plain)


def _content(token) -> str | list:
    """Returns a token as text; newer files keep its settings with it."""
    if isinstance(token, list):
        return [_content(entry) for entry in token]
    return token["content"] if isinstance(token, dict) else token


def _read(path: str, read):
    try:
        return read(path)
    except BaseException as error:  # the tokenizers package raises bare Exception for damaged files, and panics
        if not is_failure(error):
            raise
        raise InputError(f"{path} cannot be read ({error}). {COPY_AGAIN}") from error
