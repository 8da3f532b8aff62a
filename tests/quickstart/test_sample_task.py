"""The generated task of the quick start: same bytes always, and hard in the ways that it promises."""

import hashlib
from collections import defaultdict

import pytest

from xtremedistil.quickstart import sample_task
from xtremedistil.quickstart.sample_facts import CLAUSES, ENDINGS, ENTITIES, LISTS, OPENINGS
from xtremedistil.quickstart.sample_task import (
    LABELS,
    Dice,
    Entity,
    SentenceMaker,
    tag,
    within_reach,
    without_articles,
    write_sample_task,
)

TEST_FILE_SHA256 = "a3071c80be11eb192e03d45eafa61c9c678b7d8c96de8c477f49811776b59a4b"


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return write_sample_task(tmp_path_factory.mktemp("sample") / "task")


def read(path):
    rows = [line.split("\t") for line in path.read_bytes().decode("utf-8").split("\n")[:-1]]
    return [(words.split(" "), tags.split(" ")) for words, tags in rows]


def entities(rows):
    found = defaultdict(set)
    for words, tags in rows:
        current = None
        for word, label in zip(words, tags, strict=True):
            if label.startswith("I-"):
                current[1] += f" {word}"
                continue
            if current:
                found[current[1].lower()].add(current[0])
            current = [label[2:], word] if label != "O" else None
        if current:
            found[current[1].lower()].add(current[0])
    return found


def test_task_has_the_asked_number_of_well_formed_rows(task):
    sizes = {name: len(read(task / f"{name}.tsv")) for name in ("train", "dev", "test")}
    assert sizes == {"train": 400, "dev": 200, "test": 400}
    for name in sizes:
        for words, tags in read(task / f"{name}.tsv"):
            assert len(words) == len(tags) and all(words)
            assert set(tags) <= set(LABELS)
            starts = zip(["O", *tags], tags, strict=False)
            assert all(before[2:] == label[2:] for before, label in starts if label.startswith("I-"))


def test_labels_and_transfer_file_have_the_task_format(task):
    assert (task / "labels.tsv").read_text(encoding="utf-8").split("\n") == [*LABELS, ""]
    lines = (task / "unlabeled.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4000
    assert not any("\t" in line or line != " ".join(line.split()) for line in lines)


def test_files_are_the_same_bytes_for_a_seed_and_other_bytes_for_another(task, tmp_path):
    again = write_sample_task(tmp_path / "again")
    other = write_sample_task(tmp_path / "other", seed=8, train=20, dev=20, test=400, unlabeled=20)
    for path in task.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()
    assert (other / "test.tsv").read_bytes() != (task / "test.tsv").read_bytes()


def test_test_file_has_the_known_bytes_on_every_python(task):
    assert hashlib.sha256((task / "test.tsv").read_bytes()).hexdigest() == TEST_FILE_SHA256


def test_test_file_does_not_depend_on_the_sizes_of_the_others(task, tmp_path):
    small = write_sample_task(tmp_path / "small", train=5, dev=5, unlabeled=5)
    assert (small / "test.tsv").read_bytes() == (task / "test.tsv").read_bytes()


def test_no_sentence_is_in_two_files(task):
    sentences = [
        " ".join(words).lower() for name in ("train", "dev", "test") for words, _ in read(task / f"{name}.tsv")
    ]
    sentences += (task / "unlabeled.txt").read_text(encoding="utf-8").lower().splitlines()
    assert len(sentences) == len(set(sentences)) == 5000


def test_most_test_entities_are_unseen_in_train(task):
    seen, asked = entities(read(task / "train.tsv")), entities(read(task / "test.tsv"))
    unseen = [name for name in asked if name not in seen]
    assert len(unseen) > len(asked) / 2


def test_some_test_words_are_in_no_other_file(task):
    words = {word.lower() for words, _ in read(task / "train.tsv") + read(task / "dev.tsv") for word in words}
    words |= set((task / "unlabeled.txt").read_text(encoding="utf-8").lower().split())
    new = {name for name in entities(read(task / "test.tsv")) if not set(name.split()) & words}
    assert len(new) > 20


def test_names_are_ambiguous_in_the_test_file(task):
    ambiguous = {name for name, kinds in entities(read(task / "test.tsv")).items() if len(kinds) > 1}
    assert len(ambiguous) > 10


def test_washington_is_a_person_a_town_and_a_team():
    assert all("Washington" in LISTS[name] for name in ("last", "city", "club"))


def test_only_train_has_wrong_labels():
    assert SentenceMaker(7, "train").wrong_labels > 0
    assert all(SentenceMaker(7, name).wrong_labels == 0 for name in ("dev", "test", "unlabeled"))


def test_every_slot_of_the_patterns_has_something_to_draw_in_every_file():
    patterns = [word for text in (*OPENINGS, *CLAUSES, *ENDINGS) for word in text.split()]
    forms = [word for _, texts in ENTITIES.values() for text in texts for word in text.split()]
    slots = {word[1:-1] for word in patterns + forms if word.startswith("{")}
    assert slots <= ENTITIES.keys() | LISTS.keys()
    assert all(within_reach(entries, names) for entries in LISTS.values() for names, _ in sample_task.REACH.values())


def test_lists_hold_no_entry_twice():
    assert [name for name, entries in LISTS.items() if len(set(entries)) != len(entries)] == []
    assert len(set(CLAUSES)) == len(CLAUSES)


def test_tag_opens_each_entity_with_b():
    pieces = [Entity(["Lake", "Geneva"], "LOC"), Entity(["Ford"], "ORG"), Entity(["is"], None)]
    assert tag(pieces) == (["Lake", "Geneva", "Ford", "is"], ["B-LOC", "I-LOC", "B-ORG", "O"])


def test_without_articles_keeps_articles_inside_names():
    words, tags = ["The", "Hague", "is", "a", "town"], ["B-LOC", "I-LOC", "O", "O", "O"]
    assert without_articles(words, tags) == (["The", "Hague", "is", "town"], ["B-LOC", "I-LOC", "O", "O"])


def test_misspelt_keeps_first_and_last_letter_and_short_words():
    maker = SentenceMaker(7, "test")
    for _ in range(50):
        changed = maker._misspelt("Hamburg")
        assert changed != "Hamburg" and (changed[0], changed[-1]) == ("H", "g") and len(changed) in (6, 7)
    assert maker._misspelt("Rome") == "Rome"


def test_dice_draws_the_known_sequence():
    dice = Dice(7, "test")
    assert [dice.below(100) for _ in range(5)] == [63, 59, 70, 5, 31]
