"""Files with values that nothing can be made of are refused by a sentence, whatever they hold."""

import json

import numpy as np
import pytest

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.config_checks import check_config
from xtremedistil.storage.arrays import read_array
from xtremedistil.storage.declared import (
    LABELS,
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
)
from xtremedistil.storage.json_files import read_json

SHAPE = Object({"seq_len": Whole(1, 512), "rate": Number(0, below=1), "labels": LABELS}, required=("seq_len",))


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [
        (Whole(1, 9), True, "it is true; a whole number from 1 to 9 is expected"),
        (Whole(1, 9), 10, "a whole number from 1 to 9"),
        (Whole(1, 9), 2.0, "a whole number"),
        (Number(0, below=1), 1, "a finite number"),
        (Number(), float("nan"), "a finite number"),
        (Text(("a", "b")), "c", "one of a, b is expected"),
        (Text(one_line=True), "a\nb", "a text without line ends"),
        (Text(), "\ud800", "a text is expected"),
        (Switch(), 0, "true or false is expected"),
        (ListOf(Whole()), {}, "a list is expected"),
        (ListOf(Text(), distinct=True), ["a", "a"], "each may be there once"),
        (MapOf(Text(), numbered=True), {"0": "a", "2": "b"}, "without gaps"),
        (Either((Whole(), Text())), [], "a whole number .* or a text"),
        (OrNull(Whole()), "x", "a whole number"),
        (LABELS, [], "a list of at least 1"),
        (LABELS, ["a", "b\tc"], "without line ends and tabs"),
        (Object({"a": Whole(), "b": Whole()}, required=("b",)), {"a": 1}, "b"),
    ],
)
def test_value_of_another_shape_is_refused(shape, value, message):
    with pytest.raises(InputError, match=f"f.json.*{message}(?s:.*)Copy it"):
        check(value, shape, "f.json", "Copy it again.")


def test_keys_that_are_not_declared_are_left_alone():
    assert check({"seq_len": 8, "other": [object]}, SHAPE, "f") == {"seq_len": 8, "other": [object]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"[1]", "holds list, expected a JSON object"),
        (b"7", "holds int, expected"),
        (b"null", "holds NoneType, expected"),
        (b"\xff\xfe{}", "is not UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"[" * 100_000, "deep"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "deep"),
        (b'{"seq_len": 8, "seq_len": 9}', "seq_len"),
        (b'{"seq_len": ' + b"9" * 5000 + b"}", "f.json"),
        (b'{"rate": 0.5}', "seq_len"),
    ],
)
def test_json_file_that_is_none_is_refused(tmp_path, content, message):
    (tmp_path / "f.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_json(str(tmp_path / "f.json"), SHAPE)


def test_array_whose_header_lies_takes_no_memory(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(4, np.float32))
    content = path.read_bytes()
    for wrong in (content.replace(b"(4,)", b"(9,)"), content[:-1], content[:40], b"", content.replace(b"<f4", b"|O ")):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="a.npy is not a NumPy array that can be used"):
            read_array(str(path))
    np.save(path, np.zeros((2, 2), np.float32))
    with pytest.raises(InputError, match="not a NumPy array that can be used"):
        read_array(str(path), shape=[None])


BERT = {"model_type": "bert", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40}


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("hidden_act", ("foo", 3, ["gelu"])),
        ("hidden_size", ("24", 0, -24, 10**9, True, 25)),
        ("num_attention_heads", (0, -4, "4", 10**6, 5)),
        ("num_hidden_layers", (0, -1, 10**6, "4")),
        ("intermediate_size", (0, -1, 10**12, "x")),
        ("vocab_size", (0, -1, "x", 10**12)),
        ("max_position_embeddings", (0, -1, "x", 10**12)),
        ("hidden_dropout_prob", (-1, 2, "x", float("nan"))),
        ("layer_norm_eps", ("x", -1)),
        ("id2label", (["a"], {"0": "a", "1": "a"}, {"0": "a\nb"}, 3)),
    ],
)
def test_configuration_that_no_model_can_be_built_of_is_refused(key, values):
    check_config(BERT, "config.json")
    for value in values:
        with pytest.raises(InputError, match="config.json"):
            check_config(BERT | {key: value}, "config.json")


def test_message_names_the_key(tmp_path):
    (tmp_path / "f.json").write_text(json.dumps({"seq_len": "8", "rate": 2}))
    with pytest.raises(InputError, match=r'(?s)"rate" is 2; a finite number.*|"seq_len" is "8"; a whole number'):
        read_json(str(tmp_path / "f.json"), SHAPE)
