import json
import random
import shutil

import numpy as np
import pytest

from tests.conftest import SPECIAL, WORDS, slow
from xtremedistil.errors import InputError
from xtremedistil.models.vocabulary_trimming import trimmed_config
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.tokenization.trimmed_tokenizer import trimmed_tokenizer
from xtremedistil.tokenization.vocabulary import kept_tokens, piece_map, tokens_from_file

FOLDERS = (
    "word_piece_folder",
    "byte_level_folder",
    "gpt2_folder",
    "sentence_piece_folder",
    "specials_last_folder",
    "byte_level_specials_last_folder",
)
LINES = ["the cat sat in London .", "Mary ran to the park !", "1,000 cats <mask> don't"]
ROOM = 100_000
# The public vocabulary, the lines that it is trimmed to, the most tokens left, and words that these lines have not.
PUBLIC = [
    ("bert-base-cased", "wikitext2/valid.txt", 20_000, ["Xylofonistka", "Größenwahn", "antidisestablishmentarian"]),
    *slow(
        (
            "bert-base-multilingual-cased",
            "wikiann-multi/test.ru.tsv",
            30_000,
            ["Xylofonistka", "достопримечательность"],
        ),
        ("roberta-base", "wikitext2/valid.txt", 25_000, ["Xylofonistka", "достопримечательность", "中文", "😀"]),
        ("gpt2", "wikitext2/valid.txt", 25_000, ["Xylofonistka", "достопримечательность", "中文", "😀"]),
        ("xlm-roberta-base-reconstructed", "wikiann-multi/test.ru.tsv", 30_000, ["Xylofonistka", "ოცდაათი", "中文"]),
        ("xlnet-base-cased", "wikitext2/valid.txt", 25_000, ["Xylofonistka", "antidisestablishmentarian"]),
    ),
]


@pytest.fixture(scope="module")
def specials_last_folder(word_piece_folder, tmp_path_factory) -> str:
    """The BERT tokenizer with its special tokens behind the others, so that trimming changes their numbers."""
    folder = tmp_path_factory.mktemp("specials-last")
    shutil.copytree(word_piece_folder, folder, dirs_exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS + SPECIAL) + "\n", encoding="utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def byte_level_specials_last_folder(byte_level_folder, tmp_path_factory) -> str:
    """The same of the RoBERTa tokenizer."""
    folder = tmp_path_factory.mktemp("byte-level-specials-last")
    shutil.copytree(byte_level_folder, folder, dirs_exist_ok=True)
    pieces = list(json.loads((folder / "vocab.json").read_text(encoding="utf-8")))
    ids = {piece: number for number, piece in enumerate(sorted(pieces, key=lambda piece: piece.startswith("<")))}
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    return str(folder)


@pytest.fixture(scope="module", params=FOLDERS)
def tokenizer(request) -> Tokenizer:
    return Tokenizer.load(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def word_piece(word_piece_folder) -> Tokenizer:
    return Tokenizer.load(word_piece_folder)


@pytest.fixture
def backend_tokenizer(tmp_path):
    """Makes a tokenizer of a model of the tokenizers package; words are cut at spaces, which are marked."""

    def make(model, special: list[str], cuts_words: bool = True, post_processor=None) -> Tokenizer:
        from tokenizers import Tokenizer as Backend
        from tokenizers import pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        backend = Backend(model)
        if cuts_words:
            backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.add_special_tokens(special)
        if post_processor is not None:
            backend.post_processor = post_processor
        PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>").save_pretrained(tmp_path)
        return Tokenizer.load(tmp_path)

    return make


def strings(tokenizer: Tokenizer, lines: list[str], pairs: list[str] | None = None) -> list[list[str]]:
    return [tokenizer.tokens(ids) for ids, _ in tokenizer.encode_texts(lines, pairs, ROOM)]


def counts_of(tokenizer: Tokenizer, lines: list[str]) -> np.ndarray:
    ids = np.concatenate([ids for ids, _ in tokenizer.encode_texts(lines, None, ROOM)])
    return np.bincount(ids, minlength=tokenizer.size)


def trimmed_to(tokenizer: Tokenizer, lines: list[str]) -> tuple[np.ndarray, Tokenizer]:
    kept = kept_tokens(tokenizer, counts_of(tokenizer, lines))
    return kept, trimmed_tokenizer(tokenizer, kept)


def is_like(trimmed: Tokenizer, tokenizer: Tokenizer) -> bool:
    names = ("special_tokens_map", "all_special_tokens", "model_input_names", "padding_side", "model_max_length")
    same = all(getattr(trimmed._hf, name) == getattr(tokenizer._hf, name) for name in names)
    return same and type(trimmed._hf) is type(tokenizer._hf) and trimmed.name == tokenizer.name


# Which tokens


def test_kept_pieces_are_those_that_occur_the_special_and_the_single_characters(word_piece):
    kept = kept_tokens(word_piece, counts_of(word_piece, ["the cat sat ."]))
    expected = "[PAD] [UNK] [CLS] [SEP] [MASK] the a , . ' cat sat ##s b c d".split()
    assert kept.dtype == np.int64 and word_piece.tokens(kept) == expected


def test_kept_pieces_leaves_rare_pieces_out(word_piece):
    counts = counts_of(word_piece, ["cat cat dog"])
    kept = word_piece.tokens(kept_tokens(word_piece, counts, min_count=2))
    assert "cat" in kept and "dog" not in kept


def test_kept_pieces_of_bpe_have_their_parts(backend_tokenizer):
    from tokenizers.models import BPE

    pieces = ["<unk>", "▁", "a", "b", "c", "d", "ab", "cd", "abcd", "bc", "abc"]
    joins = [("a", "b"), ("c", "d"), ("ab", "cd"), ("b", "c"), ("a", "bc"), ("abc", "d")]
    model = BPE({piece: number for number, piece in enumerate(pieces)}, joins, unk_token="<unk>")
    bpe = backend_tokenizer(model, ["<unk>"])
    counts = np.zeros(bpe.size, np.int64)
    counts[pieces.index("cd")] = 1
    assert bpe.tokens(kept_tokens(bpe, counts)) == ["<unk>", "▁", "a", "b", "c", "d", "cd"]
    counts[pieces.index("abcd")] = 1  # made of ab and cd, or of abc and d
    assert bpe.tokens(kept_tokens(bpe, counts)) == pieces


def test_kept_pieces_of_byte_level_bpe_have_all_bytes(byte_level_folder):
    loaded = Tokenizer.load(byte_level_folder)
    kept = kept_tokens(loaded, np.zeros(loaded.size, np.int64))
    assert len(kept) == 256 + 5
    texts = [bytes(range(32, 127)).decode(), "中文 😀 é\u0301 \u200b"]
    assert "<unk>" not in sum(strings(trimmed_tokenizer(loaded, kept), texts), [])


def test_kept_pieces_of_unigram_have_bytes_and_the_lowest_score(backend_tokenizer):
    from tokenizers.models import Unigram

    scores = {"<unk>": 0.0, "<0x41>": -3.0, "a": -2.0, "aa": -7.0, "aaa": -3.0, "ab": -3.0, "▁": -2.0}
    unigram = backend_tokenizer(Unigram(list(scores.items()), 0, True), ["<unk>"])
    counts = np.array([0, 0, 0, 0, 0, 1, 0])
    assert unigram.tokens(kept_tokens(unigram, counts)) == ["<unk>", "<0x41>", "a", "aa", "ab", "▁"]


def test_kept_pieces_have_single_characters_that_end_words(backend_tokenizer):
    from tokenizers.models import BPE

    pieces = ["<unk>", "a", "b", "a</w>", "ab", "ab</w>"]
    ids = {piece: number for number, piece in enumerate(pieces)}
    model = BPE(ids, [("a", "b")], unk_token="<unk>", end_of_word_suffix="</w>")
    bpe = backend_tokenizer(model, ["<unk>"])
    assert bpe.tokens(kept_tokens(bpe, np.zeros(bpe.size, np.int64))) == ["<unk>", "a", "b", "a</w>"]


def test_kept_pieces_have_those_that_are_put_around_texts(backend_tokenizer):
    from tokenizers import processors
    from tokenizers.models import WordPiece

    pieces = ["cats", "a", "<end>", "<start>", "<unk>"]
    model = WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="<unk>")
    around = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=[("<start>", 3), ("<end>", 2)])
    both = processors.Sequence([processors.ByteLevel(), around])
    original = backend_tokenizer(model, [], post_processor=both)
    kept = kept_tokens(original, np.zeros(original.size, np.int64))
    assert original.tokens(kept) == ["a", "<end>", "<start>", "<unk>"]
    assert strings(trimmed_tokenizer(original, kept), ["a"]) == [["<start>", "<unk>", "<end>"]]


def test_kept_pieces_wants_a_count_for_each_piece(word_piece):
    with pytest.raises(ValueError, match=f"3 counts, expected {word_piece.size}, one for each token"):
        kept_tokens(word_piece, np.zeros(3, np.int64))


# From a file


def test_pieces_from_file_are_completed(word_piece, write_file):
    path = write_file("pieces.txt", "cat\n\ndog\r\n##ning\ncat")
    counts = (
        counts_of(word_piece, ["dog cat"])
        + np.eye(word_piece.size, dtype=int)[word_piece.tokens(range(90)).index("##ning")]
    )
    assert tokens_from_file(path, word_piece).tolist() == kept_tokens(word_piece, counts).tolist()


def test_pieces_from_file_of_bpe_have_their_parts(byte_level_folder, write_file):
    loaded = Tokenizer.load(byte_level_folder)
    kept = loaded.tokens(tokens_from_file(write_file("pieces.txt", "Ġthe"), loaded))
    assert "Ġthe" in kept and ("he" in kept or "Ġt" in kept) and len(kept) < loaded.size


def test_pieces_from_file_reports_piece_that_the_teacher_lacks(word_piece, write_file):
    path = write_file("pieces.txt", "cat\nlondom\nzebra\nzebra\n")
    with pytest.raises(InputError) as caught:
        tokens_from_file(path, word_piece)
    assert str(caught.value).startswith(
        f'{path}, line 2: the tokenizer of {word_piece.name} has no token "londom". Did you mean "london"?\n'
        "A student's tokens must be tokens of its teacher"
    )
    assert str(caught.value).endswith("\n1 other token is unknown, too.")


def test_pieces_from_file_reports_file_without_pieces(word_piece, write_file):
    with pytest.raises(InputError, match=r"pieces.txt names no token. Expected tokens of .*, one per line"):
        tokens_from_file(write_file("pieces.txt", "\n\n"), word_piece)


# The tokenizer


def test_trimmed_tokenizer_gives_the_same_pieces(tokenizer):
    kept, trimmed = trimmed_to(tokenizer, LINES)
    assert trimmed.size == len(kept) < tokenizer.size
    assert strings(trimmed, LINES) == strings(tokenizer, LINES)
    assert trimmed.tokens(range(trimmed.size)) == tokenizer.tokens(kept)
    assert is_like(trimmed, tokenizer)


def test_trimmed_tokenizer_numbers_special_pieces_anew(tokenizer):
    kept, trimmed = trimmed_to(tokenizer, LINES)
    places = piece_map(kept, tokenizer.size, -1)
    for name in ("pad_id", "mask_id", "unk_id", "start_ids", "end_ids"):
        before, now = getattr(tokenizer, name), getattr(trimmed, name)
        assert now == (None if before is None else places[before].tolist()), name
    pairs = LINES[::-1] if tokenizer._hf.sep_token else None
    for (old, old_types), (new, types) in zip(
        tokenizer.encode_texts(LINES, pairs, 9), trimmed.encode_texts(LINES, pairs, 9), strict=True
    ):
        assert places[old].tolist() == new and old_types == types


def test_trimmed_tokenizer_with_all_pieces_is_the_same(tokenizer):
    kept = kept_tokens(tokenizer, np.ones(tokenizer.size, np.int64))
    assert kept.tolist() == list(range(tokenizer.size))
    assert trimmed_tokenizer(tokenizer, kept).fingerprint() == tokenizer.fingerprint()


def test_trimmed_tokenizer_is_not_left_cutting(tokenizer):
    tokenizer.encode_texts(LINES, None, 5)
    _, trimmed = trimmed_to(tokenizer, LINES)
    tokenizer.encode_texts(LINES, None, 5)
    assert trimmed._hf.backend_tokenizer.truncation is trimmed._hf.backend_tokenizer.padding is None


def test_trimmed_tokenizer_is_the_same_once_saved(tokenizer, tmp_path):
    _, trimmed = trimmed_to(tokenizer, LINES)
    trimmed.save(tmp_path)
    for load in (Tokenizer.load, Tokenizer.load_saved):
        loaded = load(str(tmp_path))
        assert loaded.fingerprint() == trimmed.fingerprint() and loaded.size == trimmed.size
        assert strings(loaded, LINES) == strings(tokenizer, LINES)


def test_trimmed_tokenizer_of_a_saved_one_is_the_same(tokenizer, tmp_path):
    kept, trimmed = trimmed_to(tokenizer, LINES)
    tokenizer.save(tmp_path)
    assert trimmed_tokenizer(Tokenizer.load_saved(str(tmp_path)), kept).fingerprint() == trimmed.fingerprint()


def test_trimmed_tokenizer_can_be_trimmed_again(tokenizer):
    kept, trimmed = trimmed_to(tokenizer, LINES)
    _, again = trimmed_to(trimmed, LINES[:1])
    assert again.fingerprint() == trimmed_to(tokenizer, LINES[:1])[1].fingerprint()
    assert trimmed_to(trimmed, LINES)[1].fingerprint() == trimmed.fingerprint()


def test_saved_files_do_not_contradict_each_other(tokenizer, tmp_path):
    _, trimmed = trimmed_to(tokenizer, LINES)
    trimmed.save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    others = {"vocab.txt"}, {"vocab.json", "merges.txt"}, set()
    assert names - {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"} in others
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    added = json.loads((tmp_path / "tokenizer.json").read_text())["added_tokens"]
    assert {int(number): token["content"] for number, token in settings["added_tokens_decoder"].items()} == {
        token["id"]: token["content"] for token in added
    }


@pytest.mark.parametrize("folder", ["word_piece_folder", "byte_level_folder", "gpt2_folder"])
def test_slow_classes_read_the_same_pieces(request, folder, tmp_path):
    from transformers import AutoTokenizer

    original = Tokenizer.load(request.getfixturevalue(folder))
    _, trimmed = trimmed_to(original, LINES)
    trimmed.save(tmp_path)
    slow = AutoTokenizer.from_pretrained(tmp_path, use_fast=False)
    assert not slow.is_fast and slow.get_vocab() == trimmed._hf.get_vocab()
    assert slow(LINES)["input_ids"] == [ids for ids, _ in trimmed.encode_texts(LINES, None, ROOM)]


def test_added_pieces_behind_the_vocabulary_stay(word_piece_folder):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(word_piece_folder)
    loaded.add_tokens(["newword"])
    loaded.add_special_tokens({"additional_special_tokens": ["[E1]"]})
    original = Tokenizer("with more", loaded)
    _, trimmed = trimmed_to(original, ["the cat"])
    assert trimmed.tokens([trimmed.size - 2, trimmed.size - 1]) == ["newword", "[E1]"]
    lines = ["the newword cat [E1]"]
    assert strings(trimmed, lines) == strings(original, lines) and is_like(trimmed, original)


def test_trimmed_tokenizer_wants_pieces_that_others_need(word_piece):
    with pytest.raises(ValueError, match="kept lacks tokens that others need"):
        trimmed_tokenizer(word_piece, np.array([5, 6]))


def test_tokenizer_without_fast_form_is_refused(word_piece_folder):
    from transformers import BertTokenizer

    slow = Tokenizer("slow", BertTokenizer.from_pretrained(word_piece_folder))
    with pytest.raises(InputError, match="tokenizer of slow has no fast form .*Leave `student_vocab` away"):
        kept_tokens(slow, np.zeros(slow.size, np.int64))


def test_tokenizer_of_another_kind_is_refused(backend_tokenizer):
    from tokenizers.models import WordLevel

    words = backend_tokenizer(WordLevel({"<unk>": 0, "cat": 1}, "<unk>"), ["<unk>"])
    with pytest.raises(InputError, match="is of the kind WordLevel; WordPiece, BPE and Unigram can be trimmed"):
        kept_tokens(words, np.zeros(2, np.int64))


# Any vocabulary and any text


def random_pieces(draw: random.Random) -> list[str]:
    longer = {"".join(draw.choices("abc▁", k=draw.randint(2, 5))) for _ in range(40)}
    return ["<unk>", *"abc▁", *sorted(longer)]


def random_word_piece(draw: random.Random):
    from tokenizers.models import WordPiece

    pieces = random_pieces(draw)
    return WordPiece(
        {piece: number for number, piece in enumerate([*pieces, *(f"##{piece}" for piece in pieces[1:])])},
        unk_token="<unk>",
    )


def random_bpe(draw: random.Random):
    from tokenizers.models import BPE

    pieces, joins = list("abc▁"), {}
    while len(joins) < 40:
        left, right = draw.choices(pieces, k=2)
        joins[left, right] = left + right  # one token may come of several
        pieces += [left + right] if left + right not in pieces and len(left + right) < 7 else []
        if left + right not in pieces:
            del joins[left, right]
    return BPE({piece: number for number, piece in enumerate(["<unk>", *pieces])}, list(joins), unk_token="<unk>")


def random_unigram(draw: random.Random):
    from tokenizers.models import Unigram

    whole_numbers = [(piece, -float(draw.randint(2, 6))) for piece in random_pieces(draw)]
    return Unigram(whole_numbers, 0, False)  # many cuttings are equally good


@pytest.mark.parametrize("make", [random_word_piece, random_bpe, random_unigram])
def test_texts_of_kept_pieces_become_the_same_pieces(backend_tokenizer, make):
    draw, same, other = random.Random(7), 0, 0
    for _ in range(8):
        original = backend_tokenizer(make(draw), ["<unk>"], cuts_words=draw.random() < 0.5)
        kept = kept_tokens(original, np.array([draw.random() < 0.2 for _ in range(original.size)]).astype(int))
        trimmed = trimmed_tokenizer(original, kept)
        texts = ["".join(draw.choices("abcd ", [5, 5, 5, 1, 2], k=draw.randint(1, 9))) for _ in range(400)]
        names = set(original.tokens(kept))
        for before, now in zip(strings(original, texts), strings(trimmed, texts), strict=True):
            if names.issuperset(before):
                assert now == before
                same += 1
            else:
                other += 1
    assert same > 300 and other > 300


# Numbers and settings


def test_piece_map_gives_unknown_for_pieces_that_were_left_out():
    places = piece_map(np.array([0, 2, 5]), 7, 1)
    assert places.dtype == np.int32 and places.tolist() == [0, 1, 1, 1, 1, 2, 1]


def test_trimmed_config_changes_size_and_numbers_of_special_pieces():
    config = {
        "model_type": "bert",
        "vocab_size": 12,
        "pad_token_id": 0,
        "sep_token_id": 5,
        "eos_token_id": [5, 7],
        "bos_token_id": 50256,
        "cls_token_id": None,
        "hidden_size": 8,
    }
    changed = {"vocab_size": 3, "sep_token_id": 2, "eos_token_id": [2], "bos_token_id": None}
    assert trimmed_config(config, np.array([0, 2, 5])) == config | changed
    assert config["vocab_size"] == 12


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta"])
def test_trimmed_config_refuses_to_move_the_positions_of_roberta(model_type):
    config = {"model_type": model_type, "vocab_size": 12, "pad_token_id": 5}
    with pytest.raises(
        InputError, match=f"pad_token_id 5 would become 2, but a {model_type} counts its positions from"
    ):
        trimmed_config(config, np.array([0, 2, 5]))
    with pytest.raises(InputError, match="pad_token_id 1 is not a special token of the tokenizer"):
        trimmed_config({"model_type": model_type}, np.array([0, 2, 5]))
    assert trimmed_config(config, np.array([0, 1, 2, 3, 4, 5]))["pad_token_id"] == 5
    assert trimmed_config(config | {"model_type": "electra"}, np.array([0, 2, 5]))["pad_token_id"] == 2


def test_roberta_keeps_the_number_of_its_padding_piece(byte_level_folder):
    original = Tokenizer.load(byte_level_folder)
    kept, trimmed = trimmed_to(original, LINES)
    config = trimmed_config({"model_type": "roberta", "vocab_size": original.size, "pad_token_id": 1}, kept)
    assert (config["pad_token_id"], config["vocab_size"]) == (trimmed.pad_id, trimmed.size) == (1, len(kept))


# Public vocabularies


@pytest.mark.parametrize(("name", "file", "most", "words"), PUBLIC)
def test_public_vocabulary(shared_data, public_folder, name, file, most, words, tmp_path_factory):
    lines = (shared_data / "data" / file).read_text(encoding="utf-8").splitlines()
    lines = [line.split("\t")[0] for line in lines[::2]]
    original = Tokenizer.load(public_folder(name))
    kept, trimmed = trimmed_to(original, lines)
    print(f"{name}: {trimmed.size} of {original.size} tokens for {len(lines)} lines")
    assert trimmed.size == len(kept) < most < original.size
    assert strings(trimmed, lines) == strings(original, lines)
    assert is_like(trimmed, original)
    if "roberta" in name:
        config = {"model_type": "roberta", "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
        assert trimmed_config(config, kept) == config | {"vocab_size": trimmed.size}
    for word, before, now in zip(words, strings(original, words), strings(trimmed, words), strict=True):
        assert original.tokens([original.unk_id])[0] not in now, word
        assert "".join(now).replace("##", "") == "".join(before).replace("##", ""), word
    assert any(before != now for before, now in zip(strings(original, words), strings(trimmed, words), strict=True))
    folder = tmp_path_factory.mktemp("saved")
    trimmed.save(folder)
    assert Tokenizer.load(folder).fingerprint() == trimmed.fingerprint()
    assert Tokenizer.load_saved(str(folder)).fingerprint() == trimmed.fingerprint()
