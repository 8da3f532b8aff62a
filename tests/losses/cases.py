"""Each loss with its options and inputs that suit it: random, seeded, float32 (what loss and formula both get)."""

from dataclasses import dataclass, field

import numpy as np

from tests.losses import formulas

MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]])
ROWS = np.array([1, 1, 1, 0, 1])  # a mask of rows


@dataclass(frozen=True)
class Case:
    """A loss by name, the kind of its inputs, and its options."""

    name: str
    kind: str
    options: dict = field(default_factory=dict)

    def __str__(self):
        return "-".join([self.name, self.kind, *(f"{key}={np.shape(v) or v}" for key, v in self.options.items())])

    @property
    def mask(self):
        return ROWS if self.kind in ("rows", "wide_rows") else MASK

    @property
    def everything(self):
        return np.ones_like(self.mask)

    def inputs(self, seed=0):
        """Teacher and student."""
        generator = np.random.default_rng(seed)
        return KINDS[self.kind](generator), KINDS[self.kind](generator, student=True)

    def formula(self, teacher, student, mask):
        return getattr(formulas, self.name)(*map(as_float64, (teacher, student)), mask, **self.options)


def as_float64(tensors):
    return tuple(map(as_float64, tensors)) if isinstance(tensors, tuple) else np.asarray(tensors, "float64")


def normal(generator, *shape):
    return generator.normal(size=shape).astype("float32")


KINDS = {
    "rows": lambda generator, student=False: normal(generator, 5, 6),
    "positions": lambda generator, student=False: normal(generator, 4, 5, 6),
    "wide_rows": lambda generator, student=False: normal(generator, 5, 4 if student else 6),
    "wide_positions": lambda generator, student=False: normal(generator, 4, 5, 4 if student else 8),
    "layers": lambda generator, student=False: (normal(generator, 4, 5, 3), normal(generator, 4, 5, 6)),
    "wide_layers": lambda generator, student=False: tuple(normal(generator, 4, 5, 3 if student else 6) for _ in "12"),
    "many_layers": lambda generator, student=False: tuple(normal(generator, 4, 5, 6) for _ in range(2 + student)),
    "scores": lambda generator, student=False: 2 * normal(generator, 4, 3, 5, 5),
    "probabilities": lambda generator, student=False: probabilities(normal(generator, 4, 3, 5, 5)),
}


def probabilities(scores):
    """Attention of real queries to real keys; a long row has no exact zero among them."""
    return formulas.softmax(np.where(MASK[:, None, None, :] > 0, scores, -9).astype("float64")).astype("float32")


# Hidden states and pairs of layers
HIDDEN_CASES = [
    *(Case(name, kind) for name in ("hidden_mse", "hidden_cosine", "pkd") for kind in ("rows", "positions")),
    Case("fsp", "layers"),
    Case("layer_transport", "many_layers"),
    Case("layer_transport", "many_layers", {"solver": "sinkhorn"}),
    Case("nst", "wide_layers"),
    Case("nst", "wide_layers", {"normalize_by": "length"}),
]

# Attention
ATTENTION = ("attention_mse", "attention_mse_sum", "attention_ce", "attention_ce_mean")
ATTENTION_CASES = [
    *(Case(name, "scores") for name in ATTENTION),
    *(Case(name, "probabilities", {"from_logits": False}) for name in ATTENTION),
    *(Case(name, "scores", {"compat": True}) for name in ATTENTION),
    Case("attention_squared_distance", "probabilities"),
    Case("attention_kl", "scores"),
    Case("attention_kl", "probabilities", {"from_logits": False}),
    Case("attention_kl", "scores", {"mean_over": "rows"}),
]

# Logits
BY_POSITION = np.linspace(0.5, 4.0, MASK.size).reshape(MASK.shape).astype("float32")
BY_ROW = np.linspace(0.5, 4.0, ROWS.size).astype("float32")
LOGITS = ("soft_label_ce", "soft_label_kl", "soft_label_bce", "logits_mse", "logit_standardized_kl")
LOGITS_CASES = [
    *(Case(name, kind) for name in LOGITS for kind in ("rows", "positions")),
    *(Case(name, "positions", {"temperature": 3.0}) for name in LOGITS),
    *(Case(name, "positions", {"temperature": 3.0, "t_squared": False}) for name in LOGITS if name != "logits_mse"),
    *(Case(name, "positions", {"temperature": BY_POSITION}) for name in LOGITS),
    *(Case(name, "rows", {"temperature": BY_ROW}) for name in LOGITS),
    *(Case("dist", kind) for kind in ("rows", "positions")),
    Case("dist", "positions", {"temperature": 2.0, "inter_weight": 0.5, "intra_weight": 3.0}),
]

# Similarities of rows
SIMILARITY_CASES = [
    *(Case(name, kind) for name in ("rkd", "spkd", "pkt", "cckd") for kind in ("wide_rows", "wide_positions")),
    Case("rkd", "wide_rows", {"distance_weight": 25.0, "angle_weight": 50.0}),
    Case("spkd", "wide_rows", {"row_norm": "l1"}),
    Case("cckd", "wide_rows", {"kernel": "bilinear"}),
    Case("cckd", "wide_rows", {"gamma": 0.7, "degree": 4, "unit_rows": True}),
]

# Relations of positions
RELATION_CASES = [
    Case("relation_kl", "wide_positions", {"relation_heads": 1}),
    Case("relation_kl", "wide_positions", {"relation_heads": 4}),
    Case("relation_kl", "wide_positions", {"relation_heads": 4, "mean_over": "rows"}),
]

CASES = [
    *HIDDEN_CASES,
    *ATTENTION_CASES,
    *LOGITS_CASES,
    *SIMILARITY_CASES,
    *RELATION_CASES,
]
