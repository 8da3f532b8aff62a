"""Make a small general model out of a big one and plain text; writes a Hugging Face folder, MODEL_DIR/checkpoint.

    python run_xtreme_pretrain.py --pt_teacher_checkpoint bert-base-cased --corpus 'wiki/*.gz' --init_layers uniform \\
        --model_dir runs/small
"""

import sys

from xtremedistil.cli import main

if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
