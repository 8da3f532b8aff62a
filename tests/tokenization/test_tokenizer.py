import importlib.util
import json
import random
import shutil

import pytest

from tests.conftest import slow
from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.tokenization.tokenizer import Tokenizer

FOLDERS = ("word_piece_folder", "byte_level_folder", "gpt2_folder", "sentence_piece_folder")
WORDS = (
    "the cat Mary London unbelievable running 1,000 don't plays . , 中国 ﬁne É naïve [MASK] <mask> x[SEP]y ``".split()
)
PUBLIC = [
    "bert-base-uncased",
    "roberta-base",
    *slow("bert-base-multilingual-cased", "xlnet-base-cased", "xlm-roberta-base-reconstructed"),
]
BLANKS = ["", "\u200b", "\u00a0", "\u0301", "\u2028", "a\u00a0"]


@pytest.fixture(scope="module", params=FOLDERS)
def tokenizer(request) -> Tokenizer:
    return Tokenizer.load(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def word_piece(word_piece_folder) -> Tokenizer:
    return Tokenizer.load(word_piece_folder)


def by_prefixes(tokenizer: Tokenizer, words: list[str]) -> list[list[int]]:
    """The original's rule: what the first i words have beyond the first i - 1 belongs to word i."""
    texts = [" ".join(words[: count + 1]) for count in range(len(words))]
    ids = tokenizer._ids(texts) if texts else []
    pieces, covered = [], 0
    for row in ids:
        count = max(covered, len(row))
        pieces.append(ids[-1][covered:count])
        covered = count
    return pieces


def test_load_reads_special_pieces_of_word_piece(word_piece):
    assert (word_piece.pad_id, word_piece.start_ids, word_piece.end_ids) == (0, [2], [3])
    assert word_piece.special_tokens() == ("[PAD]", "[SEP]", "[CLS]")


def test_load_takes_eos_as_pad_and_bos_eos_around_where_there_is_no_other(gpt2_folder):
    loaded = Tokenizer.load(gpt2_folder)
    end = loaded.end_ids[0]
    assert (loaded.pad_id, loaded.start_ids, loaded.tokens([end])) == (end, [end], ["</s>"])


def test_load_reads_unknown_piece(word_piece, byte_level_folder, tmp_path):
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    assert (word_piece.unk_id, Tokenizer.load(byte_level_folder).unk_id) == (1, 3)
    PreTrainedTokenizerFast(tokenizer_object=ByteLevelBPETokenizer()._tokenizer).save_pretrained(tmp_path)
    assert Tokenizer.load(tmp_path).unk_id is None
    assert Tokenizer.load_saved(str(tmp_path)).unk_id is None


def test_size_counts_added_pieces(word_piece_folder, tmp_path):
    shutil.copytree(word_piece_folder, tmp_path / "t")
    (tmp_path / "t" / "added_tokens.json").write_text(json.dumps({"[NEW]": 500}))
    before = Tokenizer.load(word_piece_folder).size
    assert Tokenizer.load(tmp_path / "t").size == before + 1


def test_special_pieces_are_those_of_the_vocabulary_that_stand_for_no_text(word_piece, tmp_path, gpt2_folder):
    assert (word_piece.special_ids, word_piece.unk_id) == ([0, 1, 2, 3, 4], 1)
    word_piece.save(tmp_path)
    saved = Tokenizer.load_saved(str(tmp_path))
    assert (saved.special_ids, saved.unk_id) == ([0, 1, 2, 3, 4], 1)
    loaded = Tokenizer.load(gpt2_folder)
    assert loaded.special_ids == loaded.end_ids == [loaded.unk_id]


def test_special_pieces_of_sentence_piece_have_the_added_ones(sentence_piece_folder):
    loaded = Tokenizer.load(sentence_piece_folder)
    assert {"<cls>", "<sep>", "<pad>", "<mask>", "<unk>", "<eop>"} <= set(loaded.tokens(loaded.special_ids))


def test_encode_flat_is_the_same_however_texts_are_dealt_out(tokenizer, monkeypatch):
    lines = [[f"{WORDS[number % len(WORDS)]} sat on {number}"] for number in range(30)]
    whole = tokenizer.encode_flat(lines)
    for threads in (1, 7, 30):
        monkeypatch.setattr("xtremedistil.tokenization.tokenizer.MOST_THREADS", threads)
        for one, other in zip(tokenizer.encode_flat(lines), whole, strict=True):
            assert one.tolist() == other.tolist()


def test_encode_words_gives_pieces_by_word(word_piece):
    (pieces,) = word_piece.encode_words([["London", "unbelievable", "zzz", "\u200b", "."]])
    expected = [["london"], ["un", "##believ", "##able"], ["[UNK]"], [], ["."]]
    assert [word_piece.tokens(word) for word in pieces] == expected


def test_encode_words_of_no_sentence_and_no_word(word_piece):
    assert word_piece.encode_words([]) == []
    assert word_piece.encode_words([[], ["cat"]])[0] == []


def test_encode_words_equals_prefix_tokenisation(tokenizer):
    draw = random.Random(5)
    sentences = [draw.choices(WORDS, k=draw.randint(1, 8)) for _ in range(200)]
    assert tokenizer.encode_words(sentences) == [by_prefixes(tokenizer, words) for words in sentences]


def test_encode_words_with_blank_words_gives_the_pieces_of_the_whole_sentence(tokenizer):
    draw = random.Random(6)
    sentences = [draw.choices(WORDS + 3 * BLANKS, k=6) for _ in range(300)]
    whole = tokenizer._ids([" ".join(words) for words in sentences])
    encoded = tokenizer.encode_words(sentences)
    assert [[piece for word in pieces for piece in word] for pieces in encoded] == whole


def test_encode_words_leaves_no_visible_word_without_pieces_after_a_blank_one(tokenizer):
    for pieces in tokenizer.encode_words([["cat", "", "London"], ["", "cat"], ["cat", "", "", "London"]]):
        assert pieces[-1]


def test_encode_words_long_run_of_blank_words_ends(tokenizer):
    (pieces,) = tokenizer.encode_words([["cat", *[""] * 5000, "London"]])
    assert len(pieces) == 5002 and pieces[0] and pieces[-1]


def test_encode_words_after_texts_were_cut_is_whole(tokenizer):
    before = tokenizer.encode_words([["unbelievable"] * 20])
    tokenizer.encode_texts(["cat " * 50], None, 8)
    assert tokenizer.encode_words([["unbelievable"] * 20]) == before


def test_encode_words_is_the_same_without_fast_tokenizer(word_piece_folder, word_piece):
    from transformers import BertTokenizer

    slow = Tokenizer("slow", BertTokenizer.from_pretrained(word_piece_folder))
    sentences = [["London", "", "unbelievable"], [], ["cat", "."]]
    assert slow.encode_words(sentences) == word_piece.encode_words(sentences)


def test_encode_texts_cuts_the_longer_text_and_marks_the_second(word_piece):
    ((ids, types),) = word_piece.encode_texts(["cat dog cat dog cat"], ["mat ."], 8)
    assert word_piece.tokens(ids) == "[CLS] cat dog cat [SEP] mat . [SEP]".split()
    assert types == [0, 0, 0, 0, 0, 1, 1, 1]


def test_encode_texts_has_zero_types_where_tokenizer_gives_none(byte_level_folder):
    ((ids, types),) = Tokenizer.load(byte_level_folder).encode_texts(["the cat"], ["sat"], 16)
    assert types == [0] * len(ids) and len(ids) > 4


def test_encode_texts_of_empty_text_has_at_least_one_position(tokenizer):
    ((ids, types),) = tokenizer.encode_texts([""], None, 16)
    assert len(ids) == len(types) >= 1


def test_encode_texts_refuses_pairs_without_separator(gpt2_folder):
    with pytest.raises(InputError, match="has no separator token, so its model cannot tell the two texts of a pair"):
        Tokenizer.load(gpt2_folder).encode_texts(["a"], ["b"], 16)


def test_encode_texts_refuses_length_without_room(word_piece):
    with pytest.raises(InputError, match="`seq_len` 3: .* puts 3 special tokens into each row.* Give 4 or more"):
        word_piece.encode_texts(["a"], ["b"], 3)


def test_long_texts_give_no_warning(tokenizer, caplog):
    tokenizer.encode_texts(["cat " * 3000], None, 8)
    tokenizer.encode_words([["cat" * 2000]])
    assert caplog.text == ""


def test_fingerprint_survives_saving(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).fingerprint() == tokenizer.fingerprint()


def test_fingerprint_sees_other_normalisation(word_piece, word_piece_folder, tmp_path):
    shutil.copytree(word_piece_folder, tmp_path / "t")
    (tmp_path / "t" / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "BertTokenizer", "do_lower_case": false}'
    )
    assert Tokenizer.load(tmp_path / "t").fingerprint() != word_piece.fingerprint()


def test_load_names_files_it_looks_for(tmp_path):
    with pytest.raises(InputError, match=r"holds no tokenizer. It needs one of these files: tokenizer.json, vocab.txt"):
        Tokenizer.load(tmp_path)


def test_load_reports_missing_folder(tmp_path):
    with pytest.raises(MissingFileError, match="There is no folder .*nowhere to load a tokenizer from"):
        Tokenizer.load(tmp_path / "nowhere")


def test_load_reports_unknown_kind(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    with pytest.raises(InputError, match="cannot be loaded .*\n.*tokenizer_config.json"):
        Tokenizer.load(tmp_path)


def test_load_reports_damaged_json(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer_config\.json is not valid JSON"):
        Tokenizer.load(tmp_path)


def test_load_refuses_pickled_vocabulary(tmp_path):
    (tmp_path / "vocab.txt").write_text("a\n")
    (tmp_path / "config.json").write_text('{"model_type": "transfo-xl"}')
    with pytest.raises(InputError, match="Transformer-XL is a pickle, which is not loaded"):
        Tokenizer.load(tmp_path)


def test_load_gives_pip_line_for_missing_package(word_piece_folder, monkeypatch):
    import transformers

    def fail(*args, **options):
        raise ImportError("You need to install sacremoses to use XLMTokenizer.")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs the package sacremoses: pip install sacremoses"):
        Tokenizer.load(word_piece_folder)


@pytest.mark.parametrize("name", ["teacher", "student", "electra", "roberta", "distil"])
def test_load_reads_checkpoints_of_the_original(shared_data, name):
    loaded = Tokenizer.load(shared_data / "fixtures" / "original-release" / "checkpoints" / name)
    assert loaded.size > 20 and len(loaded.start_ids) == len(loaded.end_ids) == 1


@pytest.mark.parametrize("name", PUBLIC)
def test_encode_words_equals_prefix_tokenisation_with_public_vocabularies(shared_data, public_folder, name):
    loaded = Tokenizer.load(public_folder(name))
    with open(shared_data / "data" / "wikiann-multi" / "dev.tsv", encoding="utf-8") as file:
        sentences = [line.split("\t")[0].split(" ") for line in file][::20]
    assert loaded.encode_words(sentences) == [by_prefixes(loaded, words) for words in sentences]


# XLM, which splits words with sacremoses


@pytest.fixture(scope="module")
def xlm_folder(tmp_path_factory):
    """Characters, and a few merges."""
    pytest.importorskip("sacremoses", reason="the xlm extra is not installed")
    folder = tmp_path_factory.mktemp("xlm")
    letters = "abcdefghijklmnopqrstuvwxyz.,'0123456789"
    merges = ["t h", "th e</w>", "r u", "ru n</w>", "l o", "lo n", "lon d"]
    pieces = ["<s>", "</s>", "<pad>", "<unk>", *letters, *(f"{letter}</w>" for letter in letters)]
    pieces += [merge.replace(" ", "") for merge in merges]
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    config = {"tokenizer_class": "XLMTokenizer", "lang2id": {"en": 0}, "id2lang": {"0": "en"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return str(folder)


def test_xlm_splits_words_and_saves(xlm_folder, tmp_path):
    xlm = Tokenizer.load(xlm_folder)
    words = "the run in London , 12".split()
    assert xlm.encode_words([words]) == [by_prefixes(xlm, words)]
    assert xlm.tokens(xlm.encode_words([["the", "run"]])[0][0]) == ["the</w>"]
    xlm.save(tmp_path)
    assert Tokenizer.load_saved(str(tmp_path)).fingerprint() == xlm.fingerprint()


# Without transformers


def test_saved_tokenizer_without_transformers_does_the_same(tokenizer, tmp_path):
    from xtremedistil.tokenization.serving_tokenizer import FastTokenizer

    tokenizer.save(tmp_path)
    saved = Tokenizer.load_saved(str(tmp_path))
    assert isinstance(saved._hf, FastTokenizer)
    assert saved.fingerprint() == tokenizer.fingerprint()
    assert (saved.size, saved.pad_id, saved.room(9)) == (tokenizer.size, tokenizer.pad_id, tokenizer.room(9))
    assert saved.encode_words([WORDS, BLANKS]) == tokenizer.encode_words([WORDS, BLANKS])
    texts = ["the cat sat on the mat", "", " ".join(WORDS), "London [SEP] Paris"]
    assert saved.encode_texts(texts, None, 7) == tokenizer.encode_texts(texts, None, 7)
    if tokenizer._hf.sep_token:
        assert saved.encode_texts(texts, texts[::-1], 9) == tokenizer.encode_texts(texts, texts[::-1], 9)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_vocabulary_without_transformers_does_the_same(public_folder, shared_data, name, tmp_path):
    loaded = Tokenizer.load(public_folder(name))
    folder = tmp_path / "saved"
    folder.mkdir()
    loaded.save(folder)
    lines = (shared_data / "data/wikiann-multi/test.tsv").read_text(encoding="utf-8").splitlines()[::10]
    sentences = [line.split("\t")[0].split(" ") for line in lines]
    for one, other in zip(
        loaded.encode_flat(sentences), Tokenizer.load_saved(str(folder)).encode_flat(sentences), strict=True
    ):
        assert (one == other).all()


@pytest.mark.parametrize(("name", "content"), [("tokenizer.json", "{"), ("special_tokens_map.json", "[]")])
def test_damaged_saved_tokenizer_is_refused(word_piece_folder, tmp_path, name, content):
    Tokenizer.load(word_piece_folder).save(tmp_path)
    (tmp_path / name).write_text(content)
    message = f"(?s){name} (cannot be read|holds list, expected).*Copy the tokenizer's files again"
    with pytest.raises(InputError, match=message):
        Tokenizer.load_saved(str(tmp_path))
