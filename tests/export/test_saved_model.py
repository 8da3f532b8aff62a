"""The SavedModel: the tokenizer as operations, both signatures, parity, what is refused."""

import functools
import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.command_fixtures import contents, sentences, write_rows, write_student
from tests.conftest import SPECIAL, TEXT, write_config

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text", reason="tensorflow-text is not installed (the extra `text`)")

import tokenizers  # noqa: E402

from xtremedistil import export_saved_model, load_predictor, load_student  # noqa: E402
from xtremedistil.errors import InputError  # noqa: E402
from xtremedistil.export.common.parity import Exported  # noqa: E402
from xtremedistil.export.saved_model import saved_model  # noqa: E402
from xtremedistil.export.saved_model.character_table import ITSELF, PAGE, CharacterTable, character_table  # noqa: E402
from xtremedistil.export.saved_model.graph_labels import ANSWERS, Windows, longest_first  # noqa: E402
from xtremedistil.export.saved_model.graph_tokenizer import graph_tokenizer, odd_sentences, read_pipeline  # noqa: E402
from xtremedistil.export.saved_model.graph_tokens import Characters, WordPieces  # noqa: E402
from xtremedistil.tasks.token_windows import windows  # noqa: E402
from xtremedistil.tokenization.tokenizer import Tokenizer  # noqa: E402

FILES = {"saved_model.pb", "fingerprint.pb", "variables", "assets", "xtremedistil-export.json"}
TRICKY = [
    "",
    " ",
    "straße STRASSE ẞ",
    "İstanbul ıŞIK I\u0307",
    "ＦＵＬＬ，ｗｉｄｔｈ！ ｶﾞ",
    "e\u0301 E\u0301 é É \u0301 a\u0302\u0301",
    "中文字和 text, 日本語の カタカナ; 한국어 \u1112\u1161\u11ab か\u3099",
    "👩\u200d👩\u200d👧 👍🏽 ❤\ufe0f 1\ufe0f\u20e3",
    "a\u0000b \x01\x7f\x85c\u200bd\u00ade\ufefff\u2060g \ufffd",
    "tab\there\nnew\r\nline\u00a0nbsp\u3000wide\u2028line\u2009thin",
    "a" * 100,
    "a" * 101 + " " + "é" * 100 + " " + "é" * 101 + " " + "中" * 120,
    "[CLS] a[SEP]b [MASK][MASK] [sep] [UNK]x [PAD] <mask> a<mask> </s>b",
    "Σίσυφος ΟΔΟΣ ς Привет Ёлка ёлка й и\u0306",
    "العربية تَجْرِبَة עִבְרִית हिन्दी ক্ষ ไทยกำ",
    "don't ``quoted'' \u2018curly\u2019 1,000.5 $5 50% #tag ##b @x _y ~ ^ ` | \\",
    "ﬁne ½ ² ™ ¨ Ω Ω K Å",
    "\U00020000 \U000e0001 \ue000 \U0010fffd",
    "▁ a▁b  two  spaces  at the end  ",
    "U.S. (e.g.) a.b.c - – £5 €6",
]
if not tf.__version__.startswith(("2.18.", "2.19.")):  # which replace noncharacters before the graph sees them
    TRICKY.append("a\uffff \U0010ffff")


@pytest.fixture(scope="module", autouse=True)
def make_table():
    """`character_table`, which takes seconds, but once for each normaliser."""

    @functools.cache
    def known(normalizer: bytes, pre_tokenizer: bytes) -> CharacterTable:
        return character_table(pickle.loads(normalizer).normalize_str, pickle.loads(pre_tokenizer))

    def table(normalize, pre_tokenizer=None) -> CharacterTable:
        if normalize.__name__ != "normalize_str":  # no method of a normaliser
            return character_table(normalize, pre_tokenizer)
        return known(pickle.dumps(normalize.__self__), pickle.dumps(pre_tokenizer))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xtremedistil.export.saved_model.graph_tokenizer.character_table", table)
        yield table


@pytest.fixture(scope="session")
def character_folder(tmp_path_factory) -> Callable[[bool], str]:
    """A BERT tokenizer, lower-casing or not, with a token for each character of `TRICKY`: all that it does shows."""
    made = {}

    def make(lower: bool) -> str:
        if lower not in made:
            folder = tmp_path_factory.mktemp("characters")
            normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lower)
            characters = sorted(set("".join(map(normalizer.normalize_str, TRICKY))) - {" "})
            pieces = [*SPECIAL, *characters, *(f"##{character}" for character in characters), "ab", "##ra"]
            (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
            write_config(folder, tokenizer_class="BertTokenizer", do_lower_case=lower)
            made[lower] = str(folder)
        return made[lower]

    return make


def train_sentence_piece(folder: Path, prefix: str, tokenizer_class: str, symbols: list[str]) -> str:
    sentencepiece = pytest.importorskip("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT + [text for text in TRICKY[2:] if not set("\0\U0010fffd") & set(text)]),
        model_prefix=str(folder / prefix),
        vocab_size=400,
        hard_vocab_limit=False,
        character_coverage=1.0,
        user_defined_symbols=symbols,
        minloglevel=2,
    )
    write_config(folder, tokenizer_class=tokenizer_class)
    return str(folder)


@pytest.fixture(scope="session")
def xlm_roberta_folder(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("xlm-roberta")
    return train_sentence_piece(folder, "sentencepiece.bpe", "XLMRobertaTokenizer", [])


@pytest.fixture(scope="session")
def xlnet_folder(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("xlnet")
    symbols = ["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>", ".", "(", ")", "-"]
    return train_sentence_piece(folder, "spiece", "XLNetTokenizer", symbols)


def odd_texts(folder: str, texts: list[str]) -> list[str]:
    """Texts that the tokenizer cuts otherwise in a graph."""
    tokenizer = Tokenizer.load(folder)
    pieces = graph_tokenizer(read_pipeline(tokenizer))
    return [texts[number] for number in odd_sentences(pieces, tokenizer, [[text] for text in texts])]


# Characters


def replacement(table: CharacterTable, character: str) -> str:
    number = table.rows[table.pages[ord(character) // PAGE], ord(character) % PAGE]
    codes = table.values[table.splits[number] : table.splits[number + 1]]
    return "".join(character if code == ITSELF else chr(code) for code in codes)


def test_character_table_holds_what_normaliser_and_splitter_do(make_table):
    normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    table = make_table(normalizer.normalize_str, tokenizers.pre_tokenizers.BertPreTokenizer())
    assert [replacement(table, character) for character in "aAßİ,中é\u0301"] == [
        "a",
        "a",
        "ß",
        "i",
        " , ",
        " 中 ",
        "e",
        "",
    ]
    assert [replacement(table, character) for character in "\t\u00a0\u200b\0"] == [" ", " ", "", ""]
    assert sum(array.nbytes for array in vars(table).values()) < 500_000


def test_character_table_without_splitter_leaves_punctuation_alone():
    table = character_table(str.upper)
    assert [replacement(table, character) for character in "a,ß "] == ["A", ",", "SS", " "]


# The tokenizer


@pytest.mark.parametrize("lower", [True, False])
def test_word_pieces_equal_hugging_faces_on_tricky_texts(character_folder, lower):
    assert odd_texts(character_folder(lower), TRICKY) == []


@pytest.mark.slow
def test_xlnet_pieces_equal_hugging_faces_on_tricky_texts(xlnet_folder):
    assert odd_texts(xlnet_folder, TRICKY) == []


@pytest.mark.slow
def test_xlm_roberta_pieces_equal_hugging_faces_but_for_letters_with_two_loose_marks(xlm_roberta_folder):
    assert odd_texts(xlm_roberta_folder, TRICKY) == [text for text in TRICKY if "a\u0302\u0301" in text]


def test_word_pieces_of_no_text_at_all_and_of_numbers_without_a_piece():
    model = {"vocab": {"[UNK]": 0, "a": 2, "##b": 5}, "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
    pieces = WordPieces(Characters(character_table(str.lower)), model | {"max_input_chars_per_word": 100})
    texts = [b"AB", b"", b"a\xffb", b"a" * 100_000, b" 1", b"ab a"]
    assert pieces(tf.constant(texts)).to_list() == [[2, 5], [], [0], [0], [0], [2, 5, 2]]


@pytest.mark.parametrize("folder", ["byte_level_folder", "gpt2_folder"])
def test_tokenizers_without_operations_are_refused_by_name(request, folder):
    pipeline = read_pipeline(Tokenizer.load(request.getfixturevalue(folder)))
    with pytest.raises(InputError, match="byte-level BPE"):
        graph_tokenizer(pipeline)


def test_added_token_that_is_looked_for_in_normalised_text_is_refused(word_piece_folder, tmp_path):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(word_piece_folder)
    loaded.add_tokens(["covid"])
    loaded.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="'covid'"):
        graph_tokenizer(read_pipeline(Tokenizer.load(tmp_path)))


# Windows and truncation


@pytest.mark.parametrize("room", [1, 2, 3, 7, 8])
def test_windows_are_those_of_the_task(room):
    totals = list(range(room + 1, 40))
    made = Windows(tf.constant(totals, tf.int64), room)
    shown = made.shown(tf.zeros(len(totals), tf.int64)).to_list()
    sentence = np.repeat(np.arange(len(totals)), totals)
    first = np.concatenate([np.arange(total) for total in totals])
    row, position = (values.numpy() for values in made.owner(tf.constant(sentence), tf.constant(first)))
    assert [shown[a][b] for a, b in zip(row, position, strict=True)] == first.tolist()
    starts = np.array([window[0] for window in shown])[row]
    for number, total in enumerate(totals):
        expected = np.zeros(total, np.int64)
        for start, owned in windows(np.arange(total), total, room):
            expected[owned] = start
        assert starts[sentence == number].tolist() == expected.tolist()


def test_sentences_that_fit_have_one_window():
    made = Windows(tf.constant([0, 3, 5], tf.int64), 5)
    assert made.shown(tf.constant([0, 0, 3], tf.int64)).to_list() == [[], [0, 1, 2], [3, 4, 5, 6, 7]]


def test_longer_text_is_cut_first_as_hugging_face_does_it(word_piece_folder):
    tokenizer = Tokenizer.load(word_piece_folder)
    lengths = [(first, second) for first in range(0, 12) for second in range(0, 12)]
    texts, pairs = (["cat " * count for count in counts] for counts in zip(*lengths, strict=True))
    pieces = [
        tf.RaggedTensor.from_row_lengths(tf.zeros(sum(counts), tf.int32), counts)
        for counts in zip(*lengths, strict=True)
    ]
    for room in (1, 2, 5, 8, 9):
        rows = tokenizer.encode_texts(texts, pairs, room + 3)
        expected = [(types.count(0) - 2, types.count(1) - 1) for _, types in rows]
        found = [text.row_lengths().numpy().tolist() for text in longest_first(pieces, room)]
        assert list(zip(*found, strict=True)) == expected


def test_labels_that_hold_are_joined_and_may_be_none():
    task = SimpleNamespace(labels=["a", "b c", "ä"], label_separator=" | ")
    answer = ANSWERS["multi_label_classification"](task, tf.constant([[1.0, -1.0, 0.0], [-1.0, -0.1, -9.0]]))
    assert [label.decode() for label in answer["labels"].numpy()] == ["a | ä", ""]
    np.testing.assert_allclose(answer["probabilities"][0], [0.731, 0.269, 0.5], atol=1e-3)
    assert ANSWERS["multi_label_classification"](task, tf.zeros([0, 3]))["labels"].shape == (0,)


# Exports


class Case:
    """A student's folder and its SavedModel, moved to another place."""

    def __init__(self, root: Path, kind: str, tokenizer_folder: str, **changes):
        pairs = changes.get("pairs", False)
        self.model_dir = write_student(root / "student", "TFBertModel", kind, tokenizer_folder, **changes)
        texts = [" ".join(words) for words in sentences(12, 8)]
        write_rows(root / "texts.tsv", [(text, text[::-1]) if pairs else (text,) for text in texts])
        self.rows = str(root / "texts.tsv")
        self.exported: Exported = export_saved_model(str(self.model_dir), rows=self.rows)
        shutil.move(self.model_dir / "saved_model", root / "elsewhere")
        self.loaded = tf.saved_model.load(root / "elsewhere")
        self.predictor = load_predictor(str(self.model_dir))

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.model_dir.parent / "elsewhere").rglob("*") if path.is_file()]

    def labels(self, *texts: list[str]) -> dict[str, np.ndarray]:
        inputs = dict(zip(("texts", "text_pairs"), map(tf.constant, texts), strict=False))
        return {name: value.numpy() for name, value in self.loaded.signatures["texts"](**inputs).items()}


@pytest.fixture(scope="module")
def tagger(word_piece_folder, tmp_path_factory) -> Case:
    pseudo = ["[PAD]", "X", "[SEP]", "[CLS]"]  # of the original release; they must never win
    return Case(tmp_path_factory.mktemp("tagger"), "token_classification", word_piece_folder, pseudo=pseudo)


@pytest.fixture(scope="module")
def classifier(character_folder, tmp_path_factory) -> Case:
    return Case(tmp_path_factory.mktemp("classifier"), "sequence_classification", character_folder(False))


@pytest.fixture(scope="module")
def pair_classifier(xlm_roberta_folder, tmp_path_factory) -> Case:
    folder = tmp_path_factory.mktemp("pairs")
    return Case(folder, "sequence_classification", xlm_roberta_folder, pairs=True)


SENTENCES = [
    "john ran in london .",
    "",
    "თბილისი არის ქალაქი",
    " ".join(["the big cat sat on the mat , unbelievable"] * 9),  # several windows
    "un" + "believable" * 40,  # one word of more tokens than fit into a row
    "john \u200b \ufeff mary",
    " john  ran ",
    "[SEP] mary[MASK] ,.",
    "mary",
    " ".join(["a"] * 22),  # just fits
    " ".join(["a"] * 23),
]


def assert_tagged_alike(outputs: dict[str, np.ndarray], texts: list[str], case: Case) -> None:
    expected = case.predictor.probabilities(texts)
    labels = case.predictor(texts)
    assert outputs["words"].tolist() == [len(words) for words in labels]
    assert outputs["labels"].shape == outputs["probabilities"].shape[:2] == (len(texts), max(outputs["words"]))
    for number, count in enumerate(outputs["words"]):
        assert [label.decode() for label in outputs["labels"][number, :count]] == labels[number]
        np.testing.assert_allclose(outputs["probabilities"][number, :count], expected[number], atol=1e-5)
        assert not outputs["probabilities"][number, count:].any()
        assert set(outputs["labels"][number, count:]) <= {b""}


def test_tags_equal_the_predictors(tagger):
    assert_tagged_alike(tagger.labels(SENTENCES), SENTENCES, tagger)
    for sentence in SENTENCES[-3:]:
        assert_tagged_alike(tagger.labels([sentence]), [sentence], tagger)


def test_tags_of_nothing_are_nothing(tagger):
    outputs = tagger.labels([""])
    assert outputs["labels"].shape == (1, 0) and outputs["words"].tolist() == [0]
    empty = tagger.loaded.signatures["texts"](texts=tf.constant([], tf.string))
    assert {name: tuple(value.shape) for name, value in empty.items()} == {
        "labels": (0, 0),
        "probabilities": (0, 0, 3),
        "words": (0,),
    }


def test_classes_equal_the_predictors(classifier):
    texts = [*TRICKY, "abra " * 60]
    outputs = classifier.labels(texts)
    assert [label.decode() for label in outputs["labels"]] == classifier.predictor(texts)
    np.testing.assert_allclose(outputs["probabilities"], classifier.predictor.probabilities(texts), atol=1e-5)
    assert set(outputs) == {"labels", "probabilities"}


@pytest.mark.slow
def test_classes_of_pairs_equal_the_predictors(pair_classifier):
    texts = ["the cat", "", "mary ran " * 30, "cat", "dog " * 30, "the big dog " * 8]
    pairs = ["john", "", "a", "in London " * 30, "the mat " * 30, "park " * 12]
    outputs = pair_classifier.labels(texts, pairs)
    rows = list(zip(texts, pairs, strict=True))
    assert [label.decode() for label in outputs["labels"]] == pair_classifier.predictor(rows)
    np.testing.assert_allclose(outputs["probabilities"], pair_classifier.predictor.probabilities(rows), atol=1e-5)


@pytest.mark.slow
def test_texts_of_pairs_go_through_a_data_pipeline(pair_classifier):
    label = pair_classifier.loaded.signatures["texts"]
    dataset = tf.data.Dataset.from_tensor_slices((["the cat", "john"], ["sat", "ran in London"])).batch(1)
    dataset = dataset.map(lambda texts, pairs: label(texts=texts, text_pairs=pairs)["labels"])
    found = [label.decode() for batch in dataset for label in batch.numpy()]
    assert found == pair_classifier.predictor([("the cat", "sat"), ("john", "ran in London")])


def test_sentences_go_through_a_data_pipeline(tagger):
    dataset = tf.data.Dataset.from_tensor_slices(SENTENCES).batch(4).map(tagger.loaded.texts)
    for number, batch in enumerate(dataset):
        outputs = {name: value.numpy() for name, value in batch.items()}
        assert_tagged_alike(outputs, SENTENCES[4 * number : 4 * number + 4], tagger)


def test_ids_give_the_students_logits(tagger):
    student = load_student(str(tagger.model_dir))
    batch = {
        "input_ids": tf.constant([[2, 7, 8, 3], [2, 9, 3, 0]]),
        "attention_mask": tf.constant([[1, 1, 1, 1], [1, 1, 1, 0]]),
        "token_type_ids": tf.zeros([2, 4], tf.int32),
    }
    found = tagger.loaded.signatures["serving_default"](**batch)["logits"]
    np.testing.assert_allclose(found, student(batch)["logits"], atol=1e-5)
    np.testing.assert_allclose(tagger.loaded.serving_default(**batch)["logits"], found)


def test_export_says_how_it_compares(tagger):
    exported = tagger.exported
    assert (exported.form, exported.path, exported.rows, exported.label_agreement) == (
        "saved_model",
        "saved_model",
        12,
        1,
    )
    assert exported.largest_difference < 1e-5
    assert exported.milliseconds > 0
    assert exported.bytes == sum(path.stat().st_size for path in tagger.files)
    assert any("import tensorflow_text" in remark for remark in exported.remarks)


def test_nothing_refers_to_the_folders_it_was_made_in(tagger, classifier, pair_classifier):
    for case in (tagger, classifier, pair_classifier):
        for path in case.files:
            content = path.read_bytes()
            assert str(case.model_dir.parent).encode() not in content
            assert os.fsencode(Path(saved_model.__file__).parents[3]) not in content


@pytest.mark.slow
def test_it_needs_tensorflow_and_tensorflow_text_only(tagger):
    code = (
        "import sys, tensorflow as tf, tensorflow_text\n"
        f"loaded = tf.saved_model.load({str(tagger.model_dir.parent / 'elsewhere')!r})\n"
        "print([label.decode() for label in loaded.texts(tf.constant(['john ran']))['labels'].numpy()[0]])\n"
        "sys.exit('xtremedistil' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tagger.predictor(["john ran"])[0])


@pytest.mark.slow
def test_xlnet_tokenizer_sees_the_space_before_a_word(xlnet_folder, tmp_path):
    case = Case(tmp_path, "token_classification", xlnet_folder)
    texts = ["the cat . ( sat ) - on the-mat .", ". the", "U.S. a.b", "the big dog is running " * 9]
    assert_tagged_alike(case.labels(texts), texts, case)


@pytest.mark.slow
def test_byte_level_tokenizer_gives_ids_only_and_says_why(byte_level_folder, tmp_path):
    case = Case(tmp_path, "token_classification", byte_level_folder)
    assert list(case.loaded.signatures) == ["serving_default"]
    (remark,) = case.exported.remarks
    assert "no signature for texts" in remark and "byte-level BPE" in remark


@pytest.mark.slow
def test_tokenizer_that_cuts_rows_otherwise_gives_ids_only(xlm_roberta_folder, tmp_path):
    folder = write_student(tmp_path / "student", "TFBertModel", "token_classification", xlm_roberta_folder)
    write_rows(tmp_path / "rows.txt", [("the cat",), ("a\u0302\u0301 sat",)])
    exported = export_saved_model(str(folder), rows=str(tmp_path / "rows.txt"))
    assert "cuts 1 of 2 rows into other tokens" in exported.remarks[0]
    assert list(tf.saved_model.load(folder / "saved_model").signatures) == ["serving_default"]


# The command, and what is refused


@pytest.fixture
def writable(tagger, tmp_path) -> Path:
    return Path(shutil.copytree(tagger.model_dir, tmp_path / "model"))


def test_command_writes_the_folder_and_its_record(writable, tagger, run_command):
    before = set(os.listdir(writable))
    outcome = run_command("export", "--model_dir", writable, "--to", "saved_model", "--rows", tagger.rows)
    assert outcome.code == 0, outcome.err
    assert "import tensorflow_text" in outcome.out
    assert set(os.listdir(writable)) - before == {"saved_model", "export.json", ".lock"}
    assert set(os.listdir(writable / "saved_model")) <= FILES
    entry = json.loads((writable / "export.json").read_text())["exports"]["saved_model"]
    assert (entry["rows"], entry["label_agreement"]) == (12, 1.0)


def without_texts(source):
    """Takes the place of `text_labeller` where no texts are needed: the table of characters takes seconds."""
    raise InputError("left out")


@pytest.mark.slow
def test_earlier_export_is_replaced_and_other_folders_are_not(writable, tagger, monkeypatch):
    monkeypatch.setattr(saved_model, "text_labeller", without_texts)
    out = shutil.copytree(tagger.model_dir.parent / "elsewhere", writable / "saved_model")
    first = (out / "saved_model.pb").stat().st_mtime_ns
    export_saved_model(str(writable), rows=tagger.rows)
    assert (out / "saved_model.pb").stat().st_mtime_ns > first
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="notes.txt"):
        export_saved_model(str(writable), rows=tagger.rows)
    with pytest.raises(InputError, match="is not an earlier export"):
        export_saved_model(str(writable), str(writable.parent), rows=tagger.rows)
    assert (out / "notes.txt").read_text() == "mine"


def test_saved_model_of_another_program_is_not_replaced(writable, tagger):
    out = writable / "saved_model"
    tf.saved_model.save(tf.Module(), str(out))
    before = contents(out)
    with pytest.raises(InputError, match="saved_model.pb, .*which is not an earlier export"):
        export_saved_model(str(writable), rows=tagger.rows)
    assert contents(out) == before


def test_export_goes_to_a_path_that_tensorflow_takes_for_a_pattern(writable, tagger, monkeypatch):
    monkeypatch.setattr(saved_model, "text_labeller", without_texts)
    exported = export_saved_model(str(writable), str(writable / "run[1]"), rows=tagger.rows)
    assert exported.path == "run[1]" and saved_model.NEEDS_PLAIN_PATH in exported.remarks


def test_logits_that_differ_are_refused_and_leave_nothing(writable, tagger, monkeypatch):
    monkeypatch.setattr(saved_model, "text_labeller", without_texts)
    monkeypatch.setattr(saved_model, "compare", lambda expected, found, chosen: (0.5, 1.0))
    with pytest.raises(InputError, match="differs from the student by 0.5"):
        export_saved_model(str(writable), rows=tagger.rows)
    assert not [entry for entry in os.listdir(writable) if entry.startswith("saved_model")]


def test_full_disk_is_told_in_a_sentence_and_leaves_nothing(writable, tagger, monkeypatch):
    def no_space(served, folder, signatures):
        where = f"{{{{node SaveV2}}}} {folder}/variables/x.tempstate1"
        raise tf.errors.ResourceExhaustedError(None, None, f"{where}; No space left on device [Op:SaveV2]")

    monkeypatch.setattr(saved_model, "text_labeller", without_texts)
    monkeypatch.setattr(tf.saved_model, "save", no_space)
    with pytest.raises(InputError, match=r"/saved_model cannot be written: No space left on device. What was there is"):
        export_saved_model(str(writable), rows=tagger.rows)
    assert not [entry for entry in os.listdir(writable) if entry.startswith("saved_model")]


def test_operations_of_another_tensorflow_are_told(monkeypatch):
    def undefined_symbol(name):
        raise tf.errors.NotFoundError(None, None, "_x.so: undefined symbol: _ZN10tensorflow")

    monkeypatch.setattr(importlib, "import_module", undefined_symbol)
    with pytest.raises(InputError, match="(?s)cannot be loaded .*undefined symbol.*pip install 'tensorflow-text==2"):
        saved_model._load_operations()


def test_labels_that_differ_are_refused_and_leave_nothing(writable, tagger, monkeypatch):
    def always_the_first(texts):
        words = tf.strings.split(texts, " ")
        chances = tf.tile(tf.one_hot([0], 3), [tf.size(words.flat_values), 1])
        return {
            "labels": tf.fill(tf.shape(words.to_tensor()), "O"),
            "probabilities": words.with_values(chances).to_tensor(),
            "words": tf.cast(words.row_lengths(), tf.int32),
        }

    monkeypatch.setattr(saved_model, "text_labeller", lambda source: (always_the_first, []))
    with pytest.raises(InputError, match="labels 12 of 12 texts otherwise than the student, for example"):
        export_saved_model(str(writable), rows=tagger.rows)
    assert not [entry for entry in os.listdir(writable) if entry.startswith("saved_model")]


def test_command_without_tensorflow_text_names_the_extra(writable, run_command, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow_text" else find(name))
    outcome = run_command("export", "--model_dir", writable, "--to", "saved_model")
    assert outcome.code == 2
    assert 'pip install "xtremedistil[text]"' in outcome.err


# Real vocabularies on real rows

VOCABULARIES = {
    "bert-base-uncased": {"tokenizer_class": "BertTokenizer", "do_lower_case": True},
    "bert-base-cased": {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    "bert-base-multilingual-cased": {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    "bert-base-chinese": {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    "xlnet-base-cased": {"tokenizer_class": "XLNetTokenizer"},
    "xlm-roberta-base-reconstructed": {"tokenizer_class": "XLMRobertaTokenizer"},
}
# Of that one the tokenizer.json has rounded scores, by which equally good ways to cut a word are not quite equal.
FILES_OF_VOCABULARIES = ("vocab.txt", "spiece.model", "sentencepiece.bpe.model")


@pytest.fixture(scope="module")
def real_texts(shared_data) -> list[str]:
    """Texts, sentences, questions and passages in several languages."""
    data = shared_data / "data"
    texts = []
    for path in sorted([*data.glob("*/*.tsv"), *data.glob("*/*.txt")]):
        if path.name not in ("labels.tsv", "vocab.txt", "merges.txt"):
            columns = 2 if path.parent.name == "mrpc" else 1
            lines = path.read_text(encoding="utf-8").split("\n")
            texts += [text[:3000] for line in lines for text in line.split("\t")[:columns]]
    for path in sorted(data.glob("tydiqa-en/*.json")):
        for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
            for passage in article["paragraphs"]:
                texts += [passage["context"][:3000], *(entry["question"] for entry in passage["qas"])]
    return texts


@pytest.mark.slow
@pytest.mark.parametrize("name", VOCABULARIES)
def test_pieces_equal_hugging_faces_on_every_real_row(name, shared_data, real_texts, tmp_path):
    for path in (shared_data / "data" / "vocabs" / name).iterdir():
        if path.name in FILES_OF_VOCABULARIES:
            shutil.copyfile(path, tmp_path / path.name)
    write_config(tmp_path, **VOCABULARIES[name])
    assert len(real_texts) > 150_000
    assert odd_texts(str(tmp_path), real_texts) == []
