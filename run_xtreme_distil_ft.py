"""Train a distilled student further on the labels of its task; writes xtremedistil-ft.h5.

python run_xtreme_distil_ft.py --model_dir runs/ner --batch_size 32 --ft_epochs 20
"""

import sys

from xtremedistil.cli import main

if __name__ == "__main__":
    sys.exit(main(["ft", *sys.argv[1:]]))
