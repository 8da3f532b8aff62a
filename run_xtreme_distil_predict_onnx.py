r"""Label a file and score the task's test file with a distilled student, through ONNX Runtime.

    python run_xtreme_distil_predict_onnx.py \
        --model_dir runs/ner --do_eval --do_predict --pred_file datasets/NER/unlabeled.txt
"""

import sys

from xtremedistil.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict-onnx", *sys.argv[1:]]))
