"""The matches and the soft-label loss that a run's flags choose."""

from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.terms.layer_map import (
    TRANSPORTS,
    checked_layers,
    layer_map,
    mapped_matches,
    relation_matches,
    transport_matches,
)
from xtremedistil.terms.match import Match
from xtremedistil.terms.match_parsing import read_matches
from xtremedistil.terms.soft_labels import SoftLabels, parse_temperature_schedule


def configured_matches(config: DistilConfig, teacher_layers: int, student_layers: int) -> list[Match]:
    """Returns the matches that a run's flags choose.

    Raises:
        ValueError: a match cannot be read, or names a layer that a model does not have.
    """
    if config.match:
        return checked_layers(read_matches(config.match), teacher_layers, student_layers)
    pairs = _pairs_of_layers(config, teacher_layers, student_layers)
    if config.distil_relations:
        pairs += relation_matches(teacher_layers, student_layers, config.relation_heads)
    return pairs


def _pairs_of_layers(config: DistilConfig, teacher_layers: int, student_layers: int) -> list[Match]:
    if config.layer_map in TRANSPORTS:
        return transport_matches(
            TRANSPORTS[config.layer_map],
            teacher_layers=teacher_layers,
            student_layers=student_layers,
            hidden_weight=config.hidden_weight,
            embedding_weight=config.embedding_weight,
        )
    layers = layer_map(config.layer_map, teacher_layers=teacher_layers, student_layers=student_layers)
    embedding_weight = config.embedding_weight
    if ":" in config.layer_map and not embedding_weight:  # the layer map may name the embeddings, layer 0
        embedding_weight = config.hidden_weight
    return mapped_matches(
        layers,
        multi_hidden_states=config.distil_multi_hidden_states,
        attention=config.distil_attention,
        hidden_weight=config.hidden_weight,
        embedding_weight=embedding_weight,
        attention_weight=config.attention_weight,
    )


def configured_soft_labels(config: DistilConfig) -> SoftLabels:
    """Returns the soft-label loss that a run's flags choose.

    Raises:
        ValueError: the temperature schedule cannot be read, or the loss does not take one of the options.
    """
    return SoftLabels(
        loss=config.soft_label_loss,
        temperature=config.temperature,
        temperature_of=parse_temperature_schedule(config.temperature_schedule),
        weight=config.soft_label_weight,
        probability_shift=config.probability_shift,
        options={} if config.t_squared else {"t_squared": False},
    )
