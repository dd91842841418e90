"""Random sequences of operations, run on a store and on the reference model at once."""

from __future__ import annotations

from .lane_rules import LaneRules
from .store_rules import StoreRules


class StoreMachine(LaneRules, StoreRules):
    """Two replicas of one store do as the model does, whatever is done in whatever order."""
