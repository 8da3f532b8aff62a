r"""Distil a teacher into a student; the same command again continues where it stopped.

    python run_xtreme_distil.py \
        --task datasets/NER --transfer_file datasets/NER/unlabeled.txt --do_NER --seq_len 32 \
        --pt_teacher TFBertModel --pt_teacher_checkpoint bert-base-multilingual-cased \
        --hidden_size 384 --num_hidden_layers 6 --num_attention_heads 12 \
        --distil_multi_hidden_states --distil_attention --compress_word_embedding --freeze_word_embedding \
        --model_dir runs/ner --teacher_model_dir runs/ner
"""

import sys

from xtremedistil.cli import main

if __name__ == "__main__":
    sys.exit(main(["distil", *sys.argv[1:]]))
