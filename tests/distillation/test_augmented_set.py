"""`--augment`: what is added to the transfer set, its key, counts and refusals; without TensorFlow."""

import dataclasses
import re
from collections import defaultdict

import pytest

from tests.command_fixtures import write_hollow_bert, write_rows
from xtremedistil.augmentation import word_edits
from xtremedistil.distillation.data import augmented_set
from xtremedistil.distillation.data.augmented_set import Augmented, augmented_examples
from xtremedistil.distillation.data.corpus import data_fingerprint, read_corpus, store_of
from xtremedistil.distillation.pipeline.measure import plan as measured_plan
from xtremedistil.distillation.planning import config
from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.distillation.planning.plan import DistillationPlan, TransferPlan
from xtremedistil.distillation.planning.planner import make_plan
from xtremedistil.errors import InputError
from xtremedistil.tasks import SequenceClassification, TokenClassification
from xtremedistil.tokenization.tokenizer import Tokenizer

TAGGING, TEXTS, PAIRS = (
    TokenClassification(["O"]),
    SequenceClassification(["a", "b"]),
    SequenceClassification(["a", "b"], pairs=True),
)


@pytest.fixture
def lines_of(tmp_path, word_piece_folder):
    """Augments lines of text; gives the augmented ones as they would stand in a file, and the counts."""

    def augment(lines, *names: str, task=TEXTS, copies: int = 1, folder=word_piece_folder, model=None, seed: int = 3):
        write_rows(tmp_path / "lines.txt", [(line,) for line in lines])
        transfer = TransferPlan(str(tmp_path / "lines.txt"), 100, names, copies, augment_seed=seed)
        counts = Augmented()
        made = augmented_examples(transfer, task, Tokenizer.load(folder), lambda name: model, counts)
        return [task.text_of(example) for example in made], counts

    return augment


LINES = [f"the cat sat on the mat and {'ran ' * (number % 3)}in London , {number}" for number in range(250)]


def test_names_of_the_flag_are_those_of_the_augmenters():
    assert config.AUGMENTATIONS == (*word_edits.AUGMENTERS, config.MASKED_LM)


@pytest.mark.parametrize("task", [TEXTS, TAGGING])
def test_lines_are_as_many_as_copies_but_for_those_left_out(lines_of, task):
    made, counts = lines_of(LINES, "short_disorder", "deleting", task=task, copies=3)
    assert counts.lines == len(made) and counts.lines + counts.left_out == 3 * len(LINES)
    assert counts.left_out > 0
    assert not set(made) & set(LINES)


def test_lines_come_in_the_order_of_the_file(lines_of):
    made, _ = lines_of(LINES, "deleting", "masking", copies=4)
    numbers = [int(line.rpartition(" ")[2]) for line in made if re.search(r"\d$", line)]
    assert numbers == sorted(numbers) and len(set(numbers)) > 200


def test_copies_of_a_line_are_different(lines_of):
    made, counts = lines_of(["the cat sat"], "deleting", copies=200)
    assert len(made) == len(set(made)) == counts.lines == 6  # 8 subsets of words, but for none and all


def test_lines_depend_on_seed_and_number_alone(lines_of, monkeypatch):
    whole, _ = lines_of(LINES, "deleting", "n_gram_sampling", copies=2)
    assert lines_of(LINES, "deleting", "n_gram_sampling", copies=2, seed=4)[0] != whole
    changed = [LINES[0], *(line.upper() for line in LINES[1:])]
    monkeypatch.setattr(augmented_set, "LINES_AT_A_TIME", 7)
    assert lines_of(LINES, "deleting", "n_gram_sampling", copies=2)[0] == whole
    assert [line.lower() for line in lines_of(changed, "deleting", "n_gram_sampling", copies=2)[0]] == [
        line.lower() for line in whole
    ]


def test_line_of_one_word_gives_nothing_new(lines_of):
    assert lines_of(["cat", "  dog "], "short_disorder", "long_disorder", "n_gram_sampling", copies=2) == (
        [],
        Augmented(0, 4),
    )


def test_tagged_line_that_loses_all_but_an_empty_word_is_left_out(lines_of):
    made, counts = lines_of(["cat "], "n_gram_sampling", task=TAGGING, copies=40)
    assert made == ["cat"]
    assert counts == Augmented(1, 39)


def test_texts_of_a_pair_are_augmented_side_by_side(lines_of):
    pairs = ["the cat sat on the mat\ta b c d", "john ran\t"]
    made, _ = lines_of(pairs, "deleting", task=PAIRS, copies=60)
    first = [line.split("\t") for line in made if not line.endswith("\t")]
    assert all(set(one) <= set("the cat sat on the mat") and set(other) <= set("a b c d") for one, other in first)
    assert {one for one, _ in first} > {"the cat sat on the mat"} and {other for _, other in first} > {"a b c d"}
    assert {line for line in made if line.endswith("\t")} == {"john\t", "ran\t"}


def test_masking_writes_the_mask_piece_of_the_tokenizer(lines_of, byte_level_folder):
    made, _ = lines_of(LINES, "masking", folder=byte_level_folder)
    assert {word for line in made for word in line.split()} - {word for line in LINES for word in line.split()} == {
        "<mask>"
    }


def test_masking_without_a_mask_piece_is_refused(lines_of, gpt2_folder):
    with pytest.raises(InputError, match="`augment` masking: the tokenizer .* has no mask piece"):
        lines_of(LINES, "masking", folder=gpt2_folder)


def test_lines_are_read_as_they_are_asked_for(lines_of, monkeypatch):
    monkeypatch.setattr(augmented_set, "LINES_AT_A_TIME", 2)

    class Endless(SequenceClassification):
        def iter_unlabelled(self, path):
            while True:
                yield self.example("the cat sat on the mat")

    made = augmented_examples(TransferPlan("u", 9, ("deleting",)), Endless(["a"]), None, None, Augmented())
    assert next(iter(made)).text


def test_words_of_the_model_stand_where_words_were_hidden(lines_of):
    def predict(questions):
        return [{place: [f"{question.words[place]}!"] for place in question.places} for question in questions]

    made, counts = lines_of(LINES[:150], "masked_lm", "deleting", copies=2, model=predict)
    marked = [line.replace("!", "") in LINES for line in made if "!" in line]
    assert all(marked) and len(marked) > 100
    assert counts.lines == len(made)


def test_copies_of_both_sides_of_a_pair_are_filled(lines_of):
    def predict(questions):
        return [dict.fromkeys(question.places, [question.words[0].upper()]) for question in questions]

    made, _ = lines_of(["a a a a\tb b b b"], "masked_lm", task=PAIRS, copies=9, model=predict)
    assert len(made) > 5
    assert all(re.fullmatch("[aA ]{7}\t[bB ]{7}", line) for line in made)


def test_without_the_model_copies_count_as_new(lines_of):
    made, counts = lines_of(LINES, "masked_lm", copies=2)
    assert set(made) <= set(LINES)
    assert counts.lines > 1.9 * len(LINES)


# The store


@pytest.fixture
def settings(tagging_files, word_piece_folder, tmp_path):
    """Makes plans; changes are those of the transfer set."""
    task, transfer = map(str, tagging_files)
    teacher = write_hollow_bert(tmp_path / "teacher", word_piece_folder)  # without weights: it cannot be opened
    given = {"task": task, "transfer_file": transfer, "model_dir": "m", "do_NER": True, "seq_len": 12, "seed": 5}
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    folders = {"teacher_model_dir": str(tmp_path / "m"), "pt_teacher_checkpoint": teacher}
    flags = given | sizes | folders

    def make(**changes) -> DistillationPlan:
        plan = make_plan(DistilConfig(**flags))
        return dataclasses.replace(plan, transfer=dataclasses.replace(plan.transfer, **changes))

    make.tokenizer, make.flags, make.teacher = Tokenizer.load(word_piece_folder), flags, teacher
    return make


def test_augmented_rows_follow_those_of_the_file(settings, tmp_path):
    plain, augmented = settings(), settings(augment=("masking", "deleting"), augment_copies=2)
    corpora = [read_corpus(each, settings.tokenizer, store_of(each, settings.tokenizer)) for each in (plain, augmented)]
    plain_rows, all_rows = map(_rows, corpora)
    assert sorted(plain_rows) == list(range(30))
    assert sorted(all_rows) == list(range(30 + corpora[1].augmented.lines))
    assert {number: all_rows[number] for number in plain_rows} == plain_rows
    assert corpora[0].augmented is None
    assert corpora[1].augmented.lines + corpora[1].augmented.left_out == 60
    assert _rows(read_corpus(augmented, settings.tokenizer, str(tmp_path / "other"))) == all_rows


def _rows(corpus) -> dict[int, set]:
    """Piece ids of the rows of each example."""
    rows = defaultdict(set)
    for part in (corpus.transfer.held_out, corpus.transfer.chunk(0)):
        for number, example in enumerate(part.example_ids.tolist()):
            rows[example].add(tuple(part.row(number)["input_ids"].tolist()))
    return dict(rows)


def test_another_augmentation_is_another_store_and_another_run(settings, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    masked = {"augment": ("masked_lm",), "augment_checkpoint": str(tmp_path / "model")}
    variants = [
        settings(),
        settings(augment=("masking",)),
        settings(augment=("masking", "deleting")),
        settings(augment=("masking",), augment_copies=2),
        settings(**masked),
    ]
    keys = [(store_of(each, settings.tokenizer), str(data_fingerprint(each))) for each in variants]
    (tmp_path / "model/config.json").write_text("{ }")
    keys.append((store_of(variants[-1], settings.tokenizer), str(data_fingerprint(variants[-1]))))
    assert len({store for store, _ in keys}) == len({data for _, data in keys}) == 6


def test_list_and_tuple_of_names_are_the_same_run(settings):
    assert data_fingerprint(settings(augment=["masking"])) == data_fingerprint(settings(augment=("masking",)))


def test_second_run_finds_what_the_model_has_said(settings):
    asked = []

    def open_model(checkpoint):
        asked.append(checkpoint)
        return lambda questions: [{} for _ in questions]

    masked = settings(augment=("masked_lm",), augment_checkpoint=settings.teacher)
    store = store_of(masked, settings.tokenizer)
    counts = [read_corpus(masked, settings.tokenizer, store, open_model=open_model).augmented for _ in range(2)]
    assert asked == [settings.teacher]
    assert counts == [Augmented(0, 30)] * 2


def test_fault_of_the_model_leaves_no_store(settings, tmp_path):
    def open_model(checkpoint):
        raise InputError("no head")

    masked = settings(augment=("masked_lm",), augment_checkpoint=settings.teacher)
    with pytest.raises(InputError, match="no head"):
        read_corpus(masked, settings.tokenizer, str(tmp_path / "store"), open_model=open_model)
    assert not (tmp_path / "store").exists()


def test_settings_without_augmentation_are_as_they_were(settings):
    names = {field.name for field in dataclasses.fields(DistilConfig) if "augment" in field.name}
    assert names == {"augment", "augment_copies", "augment_checkpoint"}
    assert not names & set(data_fingerprint(settings()))


# The dry run


def test_dry_run_counts_augmented_lines_and_their_outputs(settings):
    """30 lines, some of two windows, and up to 60 more."""
    config = DistilConfig(**settings.flags)
    plain = measured_plan(config)
    augmented = measured_plan(dataclasses.replace(config, augment=("deleting", "masking"), augment_copies=2))
    made, left_out = map(int, re.findall(r"\d+", augmented.measures.augmented))
    assert made + left_out == 60
    assert augmented.measures.transfer_rows > plain.measures.transfer_rows + 0.8 * made
    assert augmented.measures.outputs_bytes > plain.measures.outputs_bytes * (1 + 0.5 * made / 30)
    assert f"of these augmented: {made} lines, {left_out} left out (empty, or nothing new)" in str(augmented)
    assert "augmented" not in str(plain)


def test_dry_run_does_not_ask_the_model(settings):
    flags = settings.flags | {"augment": ("masked_lm",), "augment_checkpoint": settings.teacher}
    planned = measured_plan(DistilConfig(**flags))
    assert int(re.findall(r"\d+", planned.measures.augmented)[0]) > 20
    assert "copies by masked_lm are taken to be new" in str(planned)
