import json

import numpy as np
import pytest

from xtremedistil.data.features import Features
from xtremedistil.data.padding import pad_rows
from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.tasks import (
    KindSettings,
    TaggedSentence,
    TokenClassification,
    open_task,
    saved_task,
    task_from_labels,
)
from xtremedistil.tasks.token_classification import pseudo_labels_of, read_labels
from xtremedistil.tasks.token_windows import windows
from xtremedistil.tokenization.tokenizer import Tokenizer

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.fixture(scope="module")
def tokenizer(word_piece_folder) -> Tokenizer:
    return Tokenizer.load(word_piece_folder)


@pytest.fixture
def task() -> TokenClassification:
    return TokenClassification(LABELS)


def sentence(words: str, tags: str | None = None) -> TaggedSentence:
    return TaggedSentence(words.split(" "), tags and tags.split(" "))


def tokens(tokenizer: Tokenizer, features: Features, row: int = 0) -> str:
    return " ".join(tokenizer.tokens(features.row(row)["input_ids"]))


# Labels


def test_read_labels_keeps_order_strips_and_skips_empty_lines(write_file, tmp_path):
    write_file("labels.tsv", "O\n\n B-PER \r\nI-PER\n")
    assert read_labels(tmp_path) == ["O", "B-PER", "I-PER"]


def test_read_labels_reports_duplicate(write_file, tmp_path):
    write_file("labels.tsv", "O\nB-PER\nO\n")
    with pytest.raises(InputError, match=r"labels\.tsv, line 3: the label 'O' stands in line 1 already"):
        read_labels(tmp_path)


def test_read_labels_reports_empty_file(write_file, tmp_path):
    write_file("labels.tsv", "\n\n")
    with pytest.raises(InputError, match=r"labels\.tsv has no labels. Expected one tag a line"):
        read_labels(tmp_path)


# Reading


def test_read_splits_at_single_spaces_and_keeps_empty_words(task, write_file):
    path = write_file("train.tsv", "John  sat\tB-PER O O\n\nin Paris\tO B-LOC\n")
    assert task.read(path) == [sentence("John  sat", "B-PER O O"), sentence("in Paris", "O B-LOC")]
    assert task.read(path)[0].words == ["John", "", "sat"]


def test_read_reports_line_of_missing_tag(task, write_file):
    path = write_file("train.tsv", "a\tO\n'' Atelocentra '' Meyrick , 1884 .\tO B-LOC O O O O\n")
    with pytest.raises(InputError) as error:
        task.read(path)
    assert str(error.value) == (
        f"{path}, line 2: 7 words but 6 tags.\n"
        "  words: '' Atelocentra '' Meyrick , 1884 .\n"
        "  tags:  O B-LOC O O O O\n"
        'Expected "words<TAB>tags" with one tag per word, both separated by single spaces. '
        "Add the missing tag or delete the line."
    )


def test_read_reports_surplus_tags_and_shortens_long_lines(task, write_file):
    path = write_file("train.tsv", f"{'word ' * 99}word\t{'O ' * 101}O\n")
    with pytest.raises(InputError, match="100 words but 102 tags") as error:
        task.read(path)
    assert "Remove the surplus tags" in str(error.value)
    assert max(map(len, str(error.value).split("\n")[1:3])) < 140


def test_read_hints_at_empty_words_when_counts_differ(task, write_file):
    with pytest.raises(InputError, match="3 words but 2 tags(.|\n)*There are empty ones: two spaces in a row"):
        task.read(write_file("train.tsv", "a  b\tO O\n"))


def test_read_reports_unknown_tag_with_nearest_label(task, write_file):
    with pytest.raises(InputError, match=r"train\.tsv, line 1: the tag 'B-PRE' is not in labels\.tsv. Did you mean"):
        task.read(write_file("train.tsv", "a\tB-PRE\n"))
    with pytest.raises(InputError, match="Did you mean 'B-PER'"):
        task.read(write_file("train.tsv", "a\tB-PRE\n"))


def test_read_reports_unknown_tag_behind_language(task, write_file):
    with pytest.raises(InputError, match="the tag 'en:B-XYZ' is not in labels.tsv"):
        task.read(write_file("train.tsv", "a\ten:B-XYZ\n"))


def test_read_keeps_language_in_the_example(task, write_file):
    (example,) = task.read(write_file("train.tsv", "John sat\ten:B-PER en:O\n"))
    assert example.tags == ["en:B-PER", "en:O"]
    assert [task.label_of(tag) for tag in example.tags] == ["B-PER", "O"]


def test_label_of_keeps_prefix_that_is_part_of_a_label():
    task = TokenClassification(["nsubj", "nsubj:pass", "pass"])
    assert task.label_of("nsubj:pass") == "nsubj:pass"
    assert task.label_of("en:pass") == "pass"


def test_read_unlabelled_takes_first_column_of_any_file(task, write_file):
    path = write_file("transfer.tsv", "a b\n\nc\tO\tmore\n")
    assert task.read(path, labelled=False) == [sentence("a b"), sentence("c")]


def test_read_prediction_lines_keeps_every_line(task, write_file):
    path = write_file("in.txt", "a b\n\nc\tO\n")
    assert [example.words for example in task.read_prediction_lines(path)] == [["a", "b"], [], ["c"]]


def test_example_takes_text_or_words(task):
    assert task.example("a b") == task.example(["a", "b"]) == sentence("a b")
    assert task.text_of(task.example(" a  b\u3000c")) == "a b c"


# Encoding


def test_encode_labels_first_pieces_only(task, tokenizer):
    features = task.encode([sentence("John unbelievable London", "B-PER O en:B-LOC")], tokenizer, 16)
    assert tokens(tokenizer, features) == "[CLS] john un ##believ ##able london [SEP]"
    assert features.labels.tolist() == [-100, 1, 0, -100, -100, 3, -100]
    assert features.word_ids.tolist() == [-1, 0, 1, -1, -1, 2, -1]
    assert features.attention_mask.tolist() == [1] * 7 and features.token_type_ids.tolist() == [0] * 7


def test_encode_unlabelled_has_word_ids_but_no_labels(task, tokenizer):
    features = task.encode([sentence("John sat")], tokenizer, 16)
    assert features.labels is None and features.word_ids.tolist() == [-1, 0, 1, -1]


def test_encode_empty_sentence_is_a_row_of_special_pieces(task, tokenizer):
    features = task.encode([TaggedSentence([]), TaggedSentence(["\u200b"])], tokenizer, 16)
    assert tokens(tokenizer, features, 0) == tokens(tokenizer, features, 1) == "[CLS] [SEP]"


def test_encode_of_no_examples_gives_no_rows(task, tokenizer):
    features = task.encode([], tokenizer, 16)
    assert len(features) == 0 and task.decode(features, [], []) == []


def test_encode_word_without_pieces_has_no_position(task, tokenizer):
    features = task.encode([sentence("John \u200b Paris", "B-PER O B-LOC")], tokenizer, 16)
    assert features.word_ids.tolist() == [-1, 0, 2, -1]
    assert features.labels.tolist() == [-100, 1, 3, -100]


@pytest.mark.parametrize("seq_len", [3, 4, 5, 8, 13])
def test_encode_long_sentence_answers_for_each_word_once(task, tokenizer, seq_len):
    words = ("John unbelievable running cat . London " * 20).split()
    features = task.encode([TaggedSentence(words, ["O"] * len(words))], tokenizer, seq_len)
    assert features.lengths.max() <= seq_len and len(features) > 1
    assert sorted(features.word_ids[features.word_ids >= 0]) == list(range(len(words)))
    assert ((features.labels == 0) == (features.word_ids >= 0)).all()


def test_encode_windows_show_the_pieces_of_their_words(task, tokenizer):
    words = [f"{first}" for first in ("john mary cat dog mat park sat ran big small happy is").split()]
    features = task.encode([TaggedSentence(words)], tokenizer, 6)
    for row in range(len(features)):
        arrays = features.row(row)
        for piece, word in zip(tokenizer.tokens(arrays["input_ids"]), arrays["word_ids"], strict=True):
            assert word < 0 or piece == words[word]
    assert set(features.example_ids) == {0}


def test_encode_word_longer_than_a_row_is_answered_for(task, tokenizer):
    word = "un" + "able" * 20
    features = task.encode([TaggedSentence([word, "cat"], ["B-PER", "O"])], tokenizer, 6)
    assert sorted(features.word_ids[features.word_ids >= 0]) == [0, 1]
    assert features.lengths.max() <= 6


def test_encode_refuses_length_without_room(task, tokenizer):
    with pytest.raises(InputError, match="`seq_len` 2: .* puts 2 special tokens into each row"):
        task.encode([sentence("a")], tokenizer, 2)


def test_windows_own_each_position_where_most_context_shows():
    total, room = 23, 8
    owned = {first: start for start, firsts in windows(np.arange(total), total, room) for first in firsts.tolist()}
    starts = [0, 4, 8, 12, 15]  # half a window apart, the last at the end

    def poorer_side(start, position):
        left = np.inf if start == 0 else position - start
        right = np.inf if start + room == total else start + room - 1 - position
        return min(left, right) if start <= position < start + room else -1

    assert set(owned) == set(range(total)) and set(owned.values()) == set(starts)
    for position, start in owned.items():
        assert poorer_side(start, position) == max(poorer_side(other, position) for other in starts)


def test_windows_that_own_nothing_are_left_out():
    assert [(start, firsts.tolist()) for start, firsts in windows(np.array([0]), 1000, 10)] == [(0, [0])]


# The original's rows


def test_encode_legacy_pads_and_labels_every_position(tokenizer):
    pseudo = pseudo_labels_of(tokenizer)
    task = TokenClassification(LABELS, pseudo)
    features = task.encode([sentence("John unbelievable", "B-PER O"), sentence("cat " * 9 + "a")], tokenizer, 8, True)
    assert pseudo == ("[PAD]", "X", "[SEP]", "[CLS]") and features.labels is None
    features = task.encode([sentence("John unbelievable", "B-PER O")], tokenizer, 8, original_rows=True)
    assert task.token_tags([features.labels]) == ["[CLS] B-PER O X X [SEP] [PAD] [PAD]".split()]
    assert features.attention_mask.tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    assert features.word_ids.tolist() == [-1, 0, 1, -1, -1, -1, -1, -1]


def test_encode_legacy_cuts_the_tail(tokenizer):
    task = TokenClassification(LABELS, pseudo_labels_of(tokenizer))
    features = task.encode([sentence("cat dog mat park sat", "O O O O O")], tokenizer, 5, original_rows=True)
    assert tokens(tokenizer, features) == "[CLS] cat dog mat [SEP]" and len(features) == 1


@pytest.mark.parametrize("data", ["wikiann-en", "wikiann-multi"])
@pytest.mark.parametrize("name", ["bert-base-uncased", "bert-base-multilingual-cased", "roberta-base"])
def test_encode_legacy_equals_the_rows_of_the_original(shared_data, public_folder, name, data):
    recorded = np.load(shared_data / "fixtures" / "original-release" / "encoded-ner-rows.npz")
    key = f"{name}|{data}|"
    tags = recorded[key + "tag_names"][recorded[key + "tags"]]
    expected = list(zip(recorded[key + "input_ids"].tolist(), tags.tolist(), strict=True))
    loaded, folder = Tokenizer.load(public_folder(name)), shared_data / "data" / data
    task = TokenClassification(read_labels(folder), pseudo_labels_of(loaded))
    features = task.encode(task.read(folder / "dev.tsv")[: len(expected)], loaded, 32, original_rows=True)
    labels = task.token_tags(features.labels.reshape(-1, 32))
    ours = list(zip(features.input_ids.reshape(-1, 32).tolist(), labels, strict=True))
    if data == "wikiann-multi":  # one sentence was taken out of its file after the recording
        gap = next(row for row in range(len(ours)) if ours[row] != expected[row])
        del expected[gap], ours[-1]
    assert ours == expected


# Decoding


def test_decode_gives_probabilities_by_word_and_drops_pseudo_labels(tokenizer):
    task = TokenClassification(["O", "B-PER"], ("[PAD]", "X", "[SEP]", "[CLS]"))
    examples = [sentence("John unbelievable"), sentence("\u200b cat")]
    features = task.encode(examples, tokenizer, 16)
    logits = [np.full((length, 6), 9.0, np.float32) for length in features.lengths]
    logits[0][1, :2] = [0.0, np.log(3.0)]  # John: 1 to 3
    logits[0][2, :2] = [np.log(4.0), 0.0]  # un
    logits[1][1, :2] = [0.0, 0.0]  # cat
    first, second = task.decode(features, logits, examples)
    assert np.allclose(first, [[0.25, 0.75], [0.8, 0.2]]) and first.dtype == np.float32
    assert np.allclose(second, [[1.0, 0.0], [0.5, 0.5]])  # the first word has no token: O
    assert task.predict_labels([first, second]) == [["B-PER", "O"], ["O", "O"]]


def test_decode_word_without_position_takes_first_label_where_there_is_no_o(tokenizer):
    task = TokenClassification(["NOUN", "VERB"])
    examples = [TaggedSentence(["\u200b"]), TaggedSentence([])]
    features = task.encode(examples, tokenizer, 16)
    decoded = task.decode(features, [np.zeros((2, 2))] * 2, examples)
    assert decoded[0].tolist() == [[1.0, 0.0]] and decoded[1].shape == (0, 2)
    assert task.predict_labels(decoded) == [["NOUN"], []]


def test_decode_puts_windows_together_in_order(task, tokenizer):
    examples = [TaggedSentence(("john unbelievable cat " * 15).split()), sentence("cat")]
    features = task.encode(examples, tokenizer, 7)
    logits = np.zeros((len(features.input_ids), 5), np.float32)
    answering = features.word_ids >= 0
    logits[np.flatnonzero(answering), features.word_ids[answering] % 5] = 20.0
    decoded = task.decode(features, np.split(logits, features.offsets[1:-1]), examples)
    assert task.predict_labels(decoded)[0] == [LABELS[number % 5] for number in range(45)]


def test_score_compares_without_language_and_reports_by_language(task):
    examples = [sentence("a b", "en:B-PER en:O"), sentence("c", "de:B-LOC"), sentence("d", "O")]
    scores = task.score(examples, [["B-PER", "O"], ["O"], ["O"]])
    # One of two entities found, nothing wrong: P 1, R 1/2, F1 2/3.
    assert scores["f1"] == pytest.approx(2 / 3) and scores["primary"] == "f1"
    assert (scores["f1.language.en"], scores["f1.language.de"]) == (1.0, 0.0)


# Features


@pytest.fixture
def three_rows() -> Features:
    return Features.from_rows(
        [[1, 2, 3], [4], [5, 6]], labels=[[0, 1, 2], [3], [4, 5]], word_ids=[[0, 1, 2], [0], [0, -1]]
    )


def test_features_take_gives_rows_in_the_order_asked_for(three_rows):
    taken = three_rows.take([2, 0, 2])
    assert taken.input_ids.tolist() == [5, 6, 1, 2, 3, 5, 6] and taken.offsets.tolist() == [0, 2, 5, 7]
    assert taken.labels.tolist() == [4, 5, 0, 1, 2, 4, 5] and taken.example_ids.tolist() == [2, 0, 2]
    assert len(three_rows.take([])) == 0


def test_features_take_of_classification_takes_labels_by_row():
    features = Features.from_rows([[1, 2], [3]], labels=[7, 8]).take(np.array([1, 0]))
    assert features.labels.tolist() == [8, 7] and features.word_ids is None
    assert features.row(0)["labels"].tolist() == [8] and features.row(0)["input_ids"].tolist() == [3]


def test_features_have_the_types_of_the_border(three_rows):
    for name in ("input_ids", "token_type_ids", "attention_mask", "labels", "word_ids", "example_ids"):
        assert getattr(three_rows, name).dtype == np.int32
    assert three_rows.offsets.dtype == np.int64 and three_rows.lengths.tolist() == [3, 1, 2]


def test_features_refuse_arrays_that_do_not_belong_together():
    with pytest.raises(ValueError, match="labels has 1 entries, expected 2"):
        Features.from_rows([[1], [2]], labels=[1])


def test_features_padded_to_equals_padding_of_batches(three_rows):
    wide, batch = three_rows.padded_to(4, pad_id=9), pad_rows(three_rows, np.arange(3), 4, 9)
    for name in ("input_ids", "attention_mask", "token_type_ids", "labels"):
        assert getattr(wide, name).reshape(3, 4).tolist() == batch[name].tolist()


# Opening


def test_open_task_reports_all_missing_files_together(write_file, tmp_path):
    write_file("train.tsv", "a\tO\n")
    with pytest.raises(InputError, match=r"cannot be used \(1 problem\)") as error:
        open_task(tmp_path, KindSettings(do_NER=True))
    assert all(name in str(error.value) for name in ("dev.tsv", "test.tsv", "labels.tsv"))


def test_open_task_reports_missing_folder(tmp_path):
    with pytest.raises(InputError, match=r"cannot be used \(1 problem\):\n  `task` .*nowhere: there is no such folder"):
        open_task(tmp_path / "nowhere")


def test_open_task_reads_gzip_and_labels(write_file, tmp_path):
    for name in ("train.tsv", "dev.tsv.gz", "test.tsv"):
        write_file(name, "")
    write_file("labels.tsv", "O\nB-X\n")
    assert open_task(tmp_path, KindSettings(do_NER=True)).labels == ["O", "B-X"]


def test_open_task_refuses_tagging_pairs(tmp_path):
    with pytest.raises(InputError, match="`do_NER` and `do_pairwise` exclude each other"):
        open_task(tmp_path, KindSettings(do_NER=True, do_pairwise=True))


@pytest.mark.parametrize("end", [["[PAD]", "X", "[SEP]", "[CLS]"], ["<pad>", "X", "</s>", "<s>"]])
def test_task_from_labels_recognises_pseudo_labels_of_old_lists(end):
    task = task_from_labels(LABELS + end, KindSettings(do_NER=True))
    assert task.labels == LABELS and task.pseudo_labels == tuple(end) and task.all_labels == LABELS + end


def test_task_from_labels_keeps_real_label_x():
    names = ["ADJ", "X", "VERB", "X-", "SYM"]
    assert task_from_labels(names, KindSettings(do_NER=True)).labels == names
    without_pseudo_labels = KindSettings(do_NER=True, pseudo_labels=())
    assert task_from_labels(["A", "[B]", "X", "[C]", "[D]"], without_pseudo_labels).pseudo_labels == ()


def test_task_from_labels_reads_folder_of_the_original(shared_data):
    path = shared_data / "fixtures" / "original-release" / "ner-compressed-embedding" / "xtremedistil-config.json"
    saved = json.loads(path.read_text())
    task = saved_task(saved)
    assert task.labels == LABELS and len(task.pseudo_labels) == 4


def test_missing_labels_file_is_a_missing_file(tmp_path):
    (tmp_path / "train.tsv").write_text("")
    with pytest.raises(MissingFileError, match="labels.tsv does not exist"):
        read_labels(tmp_path)
