"""Names of model classes, and what does not fit together. Nothing here needs TensorFlow."""

import pytest

from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.models.architectures.families import FAMILIES, find_family
from xtremedistil.models.checkpoints.pretrained import read_config

ORIGINAL = "Bert Electra OpenAIGPT GPT2 CTRL TransfoXL XLNet XLM DistilBert Roberta XLMRoberta".split()


def test_table_holds_exactly_the_names_of_the_original():
    assert list(FAMILIES) == [f"TF{name}Model" for name in ORIGINAL]


def test_auto_reads_the_model_type():
    assert find_family("auto", "xlm-roberta").class_name == "TFXLMRobertaModel"


def test_class_that_fits_its_checkpoint_is_found():
    assert find_family("TFGPT2Model", "gpt2").summary == "last"


def test_misspelt_class_suggests_the_nearest():
    with pytest.raises(InputError, match=r"(?s)TFBertModle: unknown.*TFElectraModel.*Did you mean TFBertModel\?"):
        find_family("TFBertModle")


def test_class_that_contradicts_the_checkpoint_names_the_fitting_one():
    with pytest.raises(InputError, match="model_type 'roberta'. Give TFRobertaModel or auto"):
        find_family("TFBertModel", "roberta")


@pytest.mark.parametrize("class_name", ["auto", "TFBertModel"])
def test_model_type_without_tensorflow_class_lists_the_known_types(class_name):
    with pytest.raises(InputError, match="'modernbert' cannot be used.*Known types: bert, electra"):
        find_family(class_name, "modernbert")


def test_auto_without_model_type_says_what_to_give():
    with pytest.raises(InputError, match="'auto' needs a checkpoint"):
        find_family("auto")


@pytest.mark.parametrize(("class_name", "model_type"), [("TFTransfoXLModel", None), ("auto", "transfo-xl")])
def test_transfo_xl_is_refused_with_the_reason(class_name, model_type):
    with pytest.raises(InputError, match="TFTransfoXLModel cannot be used: its tokenizer unpickles"):
        find_family(class_name, model_type)


def test_students_are_the_bidirectional_families_with_one_table():
    students = [family.model_type for family in FAMILIES.values() if family.can_be_student]
    assert students == ["bert", "electra", "distilbert", "roberta", "xlm-roberta"]


def test_config_of_a_missing_folder_names_it(tmp_path):
    with pytest.raises(MissingFileError, match="no/such/folder"):
        read_config(str(tmp_path / "no/such/folder"))


def test_folder_without_config_says_so(tmp_path):
    with pytest.raises(MissingFileError, match="holds no config.json"):
        read_config(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"), [("{oops", "not valid JSON"), ("[]", "expected a JSON object"), ("{}", 'no "model_type"')]
)
def test_unusable_config_names_the_file_and_the_fault(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_config(str(tmp_path))
    assert "config.json" in str(caught.value)


@pytest.mark.parametrize("positions", ["relative_key", "relative_key_query", "rotary"])
def test_relative_positions_are_refused(tmp_path, positions):
    (tmp_path / "config.json").write_text(f'{{"model_type": "bert", "position_embedding_type": "{positions}"}}')
    with pytest.raises(InputError, match=f"config.json says position_embedding_type '{positions}'.*absolute positions"):
        read_config(str(tmp_path))


@pytest.mark.parametrize("positions", ['"absolute"', "null"])
def test_absolute_positions_are_accepted_by_name(tmp_path, positions):
    (tmp_path / "config.json").write_text(f'{{"model_type": "bert", "position_embedding_type": {positions}}}')
    assert read_config(str(tmp_path))["model_type"] == "bert"


def test_hub_name_without_network_asks_for_a_folder(monkeypatch):
    import huggingface_hub

    def unreachable(*_):
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    with pytest.raises(MissingFileError, match="(?s)nobody/nothing is not a folder here.*Give the folder"):
        read_config("nobody/nothing")
