r"""Fine-tune a pre-trained model on a task, without distillation: the baseline to compare with.

    python run_model_ft.py \
        --task datasets/NER --do_NER --seq_len 32 --model_dir runs/baseline \
        --pt_model TFBertModel --pt_model_checkpoint microsoft/xtremedistil-l6-h384-uncased
"""

import sys

from xtremedistil.cli import main

if __name__ == "__main__":
    sys.exit(main(["model-ft", *sys.argv[1:]]))
