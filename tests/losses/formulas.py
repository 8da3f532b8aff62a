"""The formulas of the losses, written once more, in NumPy and float64, as loops over what is real.

Each takes teacher, student, mask (never None) and the options of the loss.
"""

import math

import numpy as np
from scipy.optimize import linprog


def softmax(values, axis=-1):
    values = np.exp(values - values.max(axis=axis, keepdims=True))
    return values / values.sum(axis=axis, keepdims=True)


def log_softmax(values):
    values = values - values.max(axis=-1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=-1, keepdims=True))


def real_positions(tensor, mask):
    """[N, H]: what the mask keeps, one after another."""
    return np.asarray(tensor, "float64")[np.asarray(mask) > 0]


def direction(vector):
    return vector / np.linalg.norm(vector)


# Hidden states


def hidden_mse(teacher, student, mask):
    return np.mean((real_positions(teacher, mask) - real_positions(student, mask)) ** 2)


def layer_transport(teacher, student, mask, solver="exact"):
    costs = np.array([[hidden_mse(t, s, mask) for t in teacher] for s in student])
    if solver == "exact":
        rows, columns = costs.shape
        sums = np.concatenate([np.kron(np.eye(rows), np.ones(columns)), np.kron(np.ones(rows), np.eye(columns))])
        masses = np.concatenate([np.full(rows, 1 / rows), np.full(columns, 1 / columns)])
        return linprog(costs.ravel(), A_eq=sums, b_eq=masses).fun
    flow = np.exp(-costs / (0.05 * costs.mean()))
    for _ in range(100):
        flow = flow / flow.sum(1, keepdims=True) / len(student)
        flow = flow / flow.sum(0, keepdims=True) / len(teacher)
    return np.sum(flow * costs)


def hidden_cosine(teacher, student, mask):
    pairs = zip(real_positions(teacher, mask), real_positions(student, mask), strict=True)
    return np.mean([1 - t @ s / np.sqrt((t @ t + 1e-12) * (s @ s + 1e-12)) for t, s in pairs])


def pkd(teacher, student, mask):
    if np.ndim(teacher) == 3:
        teacher, student, mask = teacher[:, 0], student[:, 0], mask[:, 0]
    pairs = zip(real_positions(teacher, mask), real_positions(student, mask), strict=True)
    return np.mean([np.sum((direction(t) - direction(s)) ** 2) for t, s in pairs])


# Pairs of layers


def real_rows(layers, mask):
    """For each row with real positions, its two layers without padding."""
    for row, kept in enumerate(np.asarray(mask) > 0):
        if kept.any():
            yield tuple(np.asarray(layer[row], "float64")[kept] for layer in layers)


def fsp(teacher, student, mask):
    values = []
    for (t1, t2), (s1, s2) in zip(real_rows(teacher, mask), real_rows(student, mask), strict=True):
        values.append(np.mean((t1.T @ t2 / len(t1) - s1.T @ s2 / len(s1)) ** 2))
    return np.mean(values)


def nst(teacher, student, mask, normalize_by="hidden"):
    values = []
    for (t1, t2), (s1, s2) in zip(real_rows(teacher, mask), real_rows(student, mask), strict=True):
        length = mask.shape[1]
        t_size, s_size = (t1.shape[1], s1.shape[1]) if normalize_by == "hidden" else (length, length)
        values += list(((t1 @ t2.T / t_size - s1 @ s2.T / s_size) ** 2).ravel())
    return np.mean(values)


# Attention


def real_maps(maps, mask):
    """For each row with real positions, [A, n, n] between them."""
    for row, kept in enumerate(np.asarray(mask) > 0):
        if kept.any():
            yield np.asarray(maps[row], "float64")[:, kept][:, :, kept]


def attention_mse(teacher, student, mask, from_logits=True, compat=False):
    if compat and mask.all():
        teacher, student = np.where(teacher <= -1e-3, 0, teacher), np.where(student <= -1e-3, 0, student)
    pairs = zip(real_maps(teacher, mask), real_maps(student, mask), strict=True)
    return np.mean(np.concatenate([((t - s) ** 2).ravel() for t, s in pairs]))


def attention_squared_distance(teacher, student, mask):
    pairs = zip(real_maps(teacher, mask), real_maps(student, mask), strict=True)
    return np.mean(np.concatenate([np.sum((t - s) ** 2, axis=-1).ravel() for t, s in pairs]))


def attention_mse_sum(teacher, student, mask, from_logits=True, compat=False):
    return attention_mse(teacher.sum(1, keepdims=True), student.sum(1, keepdims=True), mask, from_logits, compat)


def attention_ce(teacher, student, mask, from_logits=True, compat=False):
    nats = []
    if compat:
        kept = np.asarray(mask) > 0
        shares = softmax(teacher) * (kept[:, None, None, :] if not kept.all() else teacher > -1e-3)
        by_query = -np.sum(shares * log_softmax(student), axis=-1)
        return np.mean(by_query.transpose(0, 2, 1)[kept])
    for t, s in zip(real_maps(teacher, mask), real_maps(student, mask), strict=True):
        t, log_s = (softmax(t), log_softmax(s)) if from_logits else (t, np.log(s))
        nats += list(-np.sum(t * log_s, axis=-1).ravel())
    return np.mean(nats)


def attention_kl(teacher, student, mask, from_logits=True, mean_over="positions"):
    nats = []
    for t, s in zip(real_maps(teacher, mask), real_maps(student, mask), strict=True):
        log_t, log_s = (log_softmax(t), log_softmax(s)) if from_logits else (np.log(t), np.log(s))
        by_query = np.mean(np.sum(np.exp(log_t) * (log_t - log_s), axis=-1), axis=0)
        nats += [by_query.mean()] if mean_over == "rows" else list(by_query)
    return np.mean(nats)


def attention_ce_mean(teacher, student, mask, from_logits=True, compat=False):
    return attention_ce(teacher.mean(1, keepdims=True), student.mean(1, keepdims=True), mask, from_logits, compat)


# Logits


def softened(logits, mask, temperature):
    """Logits [N, L] divided by the temperature, and the temperature [N]."""
    temperature = np.broadcast_to(np.asarray(temperature, "float64"), np.shape(mask))[np.asarray(mask) > 0]
    return real_positions(logits, mask) / temperature[:, None], temperature


def soft_label_ce(teacher, student, mask, temperature=1.0, t_squared=True):
    (teacher, scale), (student, _) = softened(teacher, mask, temperature), softened(student, mask, temperature)
    nats = -np.sum(softmax(teacher) * log_softmax(student), axis=-1)
    return np.mean(nats * scale**2 if t_squared else nats)


def soft_label_kl(teacher, student, mask, temperature=1.0, t_squared=True):
    cross_entropy = soft_label_ce(teacher, student, mask, temperature, t_squared)
    return cross_entropy - soft_label_ce(teacher, teacher, mask, temperature, t_squared)


def soft_label_bce(teacher, student, mask, temperature=1.0, t_squared=True):
    (teacher, scale), (student, _) = softened(teacher, mask, temperature), softened(student, mask, temperature)
    p, q = 1 / (1 + np.exp(-teacher)), 1 / (1 + np.exp(-student))
    nats = -np.mean(p * np.log(q) + (1 - p) * np.log(1 - q), axis=-1)
    return np.mean(nats * scale**2 if t_squared else nats)


def logits_mse(teacher, student, mask, temperature=1.0):
    (teacher, _), (student, _) = softened(teacher, mask, temperature), softened(student, mask, temperature)
    return np.mean((teacher - student) ** 2)


def logit_standardized_kl(teacher, student, mask, temperature=1.0, t_squared=True):
    def standardized(logits):
        logits = real_positions(logits, mask)
        return (logits - logits.mean(-1, keepdims=True)) / (logits.std(-1, ddof=1, keepdims=True) + 1e-7)

    _, temperature = softened(teacher, mask, temperature)
    return soft_label_kl(standardized(teacher), standardized(student), temperature, temperature, t_squared)


def dist(teacher, student, mask, temperature=1.0, inter_weight=1.0, intra_weight=1.0):
    teacher = softmax(real_positions(teacher, mask) / temperature)
    student = softmax(real_positions(student, mask) / temperature)
    inter = 1 - np.mean([np.corrcoef(t, s)[0, 1] for t, s in zip(teacher, student, strict=True)])
    intra = 1 - np.mean([np.corrcoef(t, s)[0, 1] for t, s in zip(teacher.T, student.T, strict=True)])
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


# Similarities of rows


def pooled(features, mask):
    """[N, H]: rows with anything real, each the mean over its real positions."""
    if np.ndim(features) == 2:
        return real_positions(features, mask)
    rows = zip(np.asarray(features, "float64"), np.asarray(mask) > 0, strict=True)
    return np.array([row[kept].mean(0) for row, kept in rows if kept.any()])


def smooth_l1(difference):
    return np.where(np.abs(difference) < 1, 0.5 * difference**2, np.abs(difference) - 0.5)


def rkd(teacher, student, mask, distance_weight=1.0, angle_weight=2.0):
    def distances(rows):
        values = np.array([[np.linalg.norm(a - b) for b in rows] for a in rows])
        return values / values[values > 0].mean()

    def cosine(a, b):
        return a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) if a.any() and b.any() else 0.0

    def angles(rows):
        return np.array([[[cosine(a - i, b - i) for b in rows] for a in rows] for i in rows])

    teacher, student = pooled(teacher, mask), pooled(student, mask)
    by_distance = np.mean(smooth_l1(distances(teacher) - distances(student)))
    by_angle = np.mean(smooth_l1(angles(teacher) - angles(student)))
    return distance_weight * by_distance + angle_weight * by_angle


def spkd(teacher, student, mask, row_norm="l2"):
    def gram(rows):
        values = rows @ rows.T
        return values / np.linalg.norm(values, ord={"l2": 2, "l1": 1}[row_norm], axis=1, keepdims=True)

    return np.mean((gram(pooled(teacher, mask)) - gram(pooled(student, mask))) ** 2)


def pkt(teacher, student, mask):
    def neighbours(rows):
        rows = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-7)
        similarities = (rows @ rows.T + 1) / 2
        return similarities / similarities.sum(1, keepdims=True)

    teacher, student = neighbours(pooled(teacher, mask)), neighbours(pooled(student, mask))
    return np.mean(teacher * np.log((teacher + 1e-7) / (student + 1e-7)))


def cckd(teacher, student, mask, kernel="gaussian", gamma=0.4, degree=2, unit_rows=False):
    def matrix(rows):
        rows = np.array([direction(row) for row in rows]) if unit_rows else rows
        if kernel == "bilinear":
            return rows @ rows.T
        series = [(2 * gamma) ** p / math.factorial(p) * (rows @ rows.T) ** p for p in range(degree + 1)]
        return np.exp(-2 * gamma) * sum(series)

    teacher, student = matrix(pooled(teacher, mask)), matrix(pooled(student, mask))
    return np.linalg.norm(teacher - student) / len(teacher) ** 2


# Relations of positions


def relation_kl(teacher, student, mask, relation_heads, mean_over="positions"):
    def log_relations(row, head):
        width = row.shape[1] // relation_heads
        row = row[:, head * width : (head + 1) * width]
        return log_softmax(row @ row.T / np.sqrt(width))

    nats = []
    for (t,), (s,) in zip(real_rows([teacher], mask), real_rows([student], mask), strict=True):
        of_row = []
        for head in range(relation_heads):
            log_t, log_s = log_relations(t, head), log_relations(s, head)
            of_row += list(np.sum(np.exp(log_t) * (log_t - log_s), axis=-1))
        nats += [np.mean(of_row)] if mean_over == "rows" else of_row
    return np.mean(nats)
