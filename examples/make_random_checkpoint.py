"""A checkpoint folder with random weights and a vocabulary of your choice: a teacher to train from scratch.

    python examples/make_random_checkpoint.py --vocab $DATA/vocabs/bert-base-multilingual-cased --out teachers/random

The folder is given to --pt_teacher_checkpoint like any other. To check that the machinery works where no pre-trained
weights can be had; what a teacher knows, a student cannot exceed.
"""

import argparse
import os
import shutil

import xtremedistil  # noqa: F401 - chooses legacy Keras before TensorFlow comes in
from xtremedistil.models.architectures.families import FAMILIES
from xtremedistil.models.checkpoints.pretrained import new_encoder
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.training.strategy import seed_everything


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab", required=True, help="folder with vocab.txt (WordPiece)")
    parser.add_argument("--out", required=True, help="folder to make")
    parser.add_argument("--cased", action="store_true", help="keep capitals and accents")
    parser.add_argument("--hidden_size", type=int, default=256)
    parser.add_argument("--num_hidden_layers", type=int, default=3)
    parser.add_argument("--num_attention_heads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=42)
    values = parser.parse_args()
    os.makedirs(values.out, exist_ok=True)
    shutil.copy(os.path.join(values.vocab, "vocab.txt"), values.out)
    with open(os.path.join(values.out, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        file.write(f'{{"tokenizer_class": "BertTokenizer", "do_lower_case": {str(not values.cased).lower()}}}\n')
    tokenizer = Tokenizer.load(values.out)
    seed_everything(values.seed)
    encoder = new_encoder(
        FAMILIES["TFBertModel"],
        name="encoder",
        vocab_size=tokenizer.size,
        hidden_size=values.hidden_size,
        num_hidden_layers=values.num_hidden_layers,
        num_attention_heads=values.num_attention_heads,
        intermediate_size=4 * values.hidden_size,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_id,
    )
    encoder.save_pretrained(values.out, safe_serialization=True)
    print(f"{values.out}: {encoder.count_params():,} random parameters, {tokenizer.size:,} words")


if __name__ == "__main__":
    main()
