import time, os
import pytest
tf = pytest.importorskip("tensorflow")
def test_try(tagging, run_command, tmp_path):
    t=time.time()
    o = run_command("distil", *tagging.flags(tmp_path/"m", hidden_size=8, num_hidden_layers=2, distil_attention=True, freeze_word_embedding=True, baseline=True, teacher_model_dir=tmp_path/"t"))
    print(o.code); print(o.out); print(o.err); print(time.time()-t)
    print(sorted(os.listdir(tmp_path/"m")), sorted(os.listdir(tmp_path/"t")))
    t=time.time()
    o = run_command("distil", *tagging.flags(tmp_path/"m", hidden_size=8, num_hidden_layers=2, distil_attention=True, freeze_word_embedding=True, baseline=True, teacher_model_dir=tmp_path/"t"))
    print(o.code); print(o.out); print(o.err); print(time.time()-t)
    assert 0
