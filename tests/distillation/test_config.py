from xtremedistil.cli import read_flags
from xtremedistil.distillation.planning.config import resolve

REQUIRED = "distil --task t --model_dir m --seq_len 32 --transfer_file u --teacher_model_dir d".split()


def parse(*flags):
    return read_flags([*REQUIRED, *flags])[1]


def test_defaults_are_the_originals():
    config = parse()
    assert (config.hidden_size, config.num_attention_heads, config.num_hidden_layers) == (384, 6, 6)
    assert (config.student_distil_batch_size, config.student_ft_batch_size, config.teacher_batch_size) == (128, 32, 128)
    assert (config.ft_epochs, config.distil_epochs, config.distil_chunk_size, config.patience) == (100, 500, 100000, 5)
    assert (config.pt_teacher, config.pt_teacher_checkpoint) == ("TFBertModel", "bert-base-multilingual-cased")
    assert config.pt_student_checkpoint is None and config.opt_policy is None


def test_flag_without_a_value_reads_as_not_given_and_says_so(capsys):
    config = parse("--pt_student_checkpoint", "--hidden_size", "--seed", "3")
    assert (config.hidden_size, config.pt_student_checkpoint, config.seed) == (384, None, 3)
    said = "xtremedistil: flags without a value have their defaults: --pt_student_checkpoint none, --hidden_size 384\n"
    assert capsys.readouterr().err == said


def test_flags_with_dashes_are_the_same():
    assert parse("--distil-epochs", "3", "--dry-run").distil_epochs == 3


def test_flag_that_is_on_by_default_is_switched_off_by_its_no():
    assert parse().t_squared
    assert not parse("--no_t_squared").t_squared and not parse("--no-t-squared").t_squared


def test_augment_takes_one_or_several_names():
    assert not parse().augment
    assert parse("--augment", "masking", "deleting", "--dry_run").augment == ["masking", "deleting"]


def test_freeze_implies_compress_and_attention_implies_hidden_states():
    config = resolve(parse("--freeze_word_embedding", "--distil_attention"))
    assert config.compress_word_embedding and config.distil_multi_hidden_states


def test_best_recipe_is_the_joint_one_with_flags_of_its_own():
    best = resolve(parse("--recipe", "best"))
    found = (
        best.recipe,
        best.soft_label_loss,
        best.temperature,
        best.hard_label_weight,
        best.hidden_weight,
        best.distil_relations,
    )
    assert found == ("joint", "soft_label_kl", 2.0, 0.5, 0.0, True)


def test_best_recipe_heeds_what_is_given_and_what_teacher_and_student_can_give():
    given = resolve(parse("--recipe", "best", "--temperature", "4", "--distil_attention"))
    found = given.temperature, given.hidden_weight, given.hard_label_weight, given.distil_relations
    assert found == (4.0, 1.0, 0.5, False)
    graph = resolve(parse("--recipe", "best", "--teacher_onnx", "x.onnx"))
    found = graph.soft_label_loss, graph.hidden_weight, graph.hard_label_weight, graph.distil_relations
    assert found == ("soft_label_kl", 1.0, 0.5, False)
    assert resolve(parse("--recipe", "best", "--teacher_logits", "x.npz")).hard_label_weight == 0.0
    defaults = "--hard_label_weight 0 --temperature 1 --soft_label_loss logits_mse --hidden_weight 1".split()
    verb, config = read_flags([*REQUIRED, "--recipe", "best", *defaults])
    same = resolve(config)
    found = same.hard_label_weight, same.temperature, same.soft_label_loss, same.hidden_weight, same.distil_relations
    assert (verb, *found) == ("distil", 0.0, 1.0, "logits_mse", 1.0, False), "what is given stays, also a default"
    lstm = resolve(parse("--recipe", "best", "--student_kind", "bilstm"))
    found = (
        lstm.recipe,
        lstm.soft_label_loss,
        lstm.hard_label_weight,
        lstm.hidden_weight,
        lstm.distil_multi_hidden_states,
    )
    assert (*found, lstm.distil_relations) == ("joint", "logits_mse", 0.0, 1.0, True, False), "what was measured"


def test_map_of_layers_implies_the_states_of_all_of_them():
    assert resolve(parse("--layer_map", "uniform")).distil_multi_hidden_states
    assert not resolve(parse()).distil_multi_hidden_states


def test_feed_forward_is_four_times_the_width_and_3072_under_legacy():
    assert resolve(parse("--hidden_size", "192")).intermediate_size == 768
    assert resolve(parse("--hidden_size", "192", "--legacy")).intermediate_size == 3072


def test_learning_rate_auto_depends_on_pre_training():
    assert resolve(parse("--pt_student_checkpoint", "x")).learning_rate == 3e-5
    assert resolve(parse()).learning_rate > 3e-4
    assert resolve(parse("--learning_rate", "0.002")).learning_rate == 0.002


def test_seed_is_pythonhashseed_else_42(monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert resolve(parse()).seed == 7
    assert resolve(parse("--seed", "3")).seed == 3
    monkeypatch.setenv("PYTHONHASHSEED", "random")
    assert resolve(parse()).seed == 42
