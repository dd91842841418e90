"""Rules that do something to one session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import MultipleResults, multiple, rule

from redisstore import ModelOverride, SessionEntry, SessionId, SessionKey, SessionSource

from . import scenery
from .scenery import COSTS, INCREMENTS, LANE, REPLICA, REPLICAS, SOURCE
from .stage import CONDITION, IDS, StagedMachine, differences

if TYPE_CHECKING:
    from decimal import Decimal


class LaneRules(StagedMachine):
    """The operations on one session."""

    @rule(
        target=IDS,
        replica=REPLICA,
        source=SOURCE,
        name=st.none() | scenery.NAMES,
        force_new=st.sampled_from([False, False, False, True]),
    )
    def get_or_create_session(
        self, replica: int, source: SessionSource, name: str | None, force_new: bool
    ) -> SessionId:
        message = source.model_copy(update={"chat_name": name})
        before = set(self.model.used_ids)
        got = self.stores[replica].get_or_create_session(message, force_new=force_new)
        expected = self.model.get_or_create(
            message, REPLICAS[replica], got.session_id, force_new=force_new
        )
        assert differences([got], {expected.session_key: expected}) == {}
        self.check_new_id(replica, got.session_id, before)
        return expected.session_id

    @rule(
        replica=REPLICA,
        lane=LANE,
        prompt=st.sampled_from([None, 0, 1200]),
        increments=INCREMENTS,
        total=st.none() | scenery.COUNTS_ADDED,
        cost=COSTS,
        status=st.sampled_from([None, "estimated"]),
        condition=CONDITION,
    )
    def update_session(
        self,
        replica: int,
        lane: SessionKey,
        prompt: int | None,
        increments: dict[str, int],
        total: int | None,
        cost: Decimal,
        status: str | None,
        condition: tuple[str, str],
    ) -> None:
        numbers: dict[str, Any] = {
            **increments,
            "total_tokens": total,
            "estimated_cost_usd": cost,
            "cost_status": status,
        }
        self.agree(
            lambda only: self.stores[replica].update_session(lane, prompt, **numbers, **only),
            lambda _: self.model.update(
                lane,
                REPLICAS[replica],
                last_prompt_tokens=prompt,
                increments=increments,
                total_tokens=total,
                estimated_cost_usd=cost,
                cost_status=status,
            ),
            lane,
            condition,
        )

    @rule(replica=REPLICA, lane=LANE, condition=CONDITION)
    def suspend_session(self, replica: int, lane: SessionKey, condition: tuple[str, str]) -> None:
        self.agree(
            lambda only: self.stores[replica].suspend_session(lane, **only),
            lambda _: self.model.suspend(lane),
            lane,
            condition,
        )

    @rule(replica=REPLICA, lane=LANE, reason=scenery.REASONS, condition=CONDITION)
    def mark_resume_pending(
        self, replica: int, lane: SessionKey, reason: str, condition: tuple[str, str]
    ) -> None:
        self.agree(
            lambda only: self.stores[replica].mark_resume_pending(lane, reason, **only),
            lambda _: self.model.mark_resume_pending(lane, reason),
            lane,
            condition,
        )

    @rule(replica=REPLICA, lane=LANE, condition=CONDITION)
    def clear_resume_pending(
        self, replica: int, lane: SessionKey, condition: tuple[str, str]
    ) -> None:
        self.agree(
            lambda only: self.stores[replica].clear_resume_pending(lane, **only),
            lambda _: self.model.clear_resume_pending(lane),
            lane,
            condition,
        )

    @rule(
        target=IDS,
        replica=REPLICA,
        lane=LANE,
        name=st.none() | scenery.NAMES.filter(bool),
        condition=CONDITION,
    )
    def reset_session(
        self, replica: int, lane: SessionKey, name: str | None, condition: tuple[str, str]
    ) -> SessionId | MultipleResults[SessionId]:
        before = set(self.model.used_ids)
        got = self.agree(
            lambda only: self.stores[replica].reset_session(lane, name, **only),
            lambda fresh: self.model.reset(lane, name, fresh),
            lane,
            condition,
        )
        if not isinstance(got, SessionEntry):
            return multiple()
        self.check_new_id(replica, got.session_id, before)
        return got.session_id

    @rule(
        target=IDS,
        replica=REPLICA,
        lane=LANE,
        session_id=IDS | st.sampled_from(["old-1", "old-1 ", "x"]),
        condition=CONDITION,
    )
    def switch_session(
        self, replica: int, lane: SessionKey, session_id: SessionId, condition: tuple[str, str]
    ) -> SessionId:
        self.agree(
            lambda only: self.stores[replica].switch_session(lane, session_id, **only),
            lambda _: self.model.switch(lane, session_id),
            lane,
            condition,
        )
        return session_id

    @rule(
        target=IDS,
        replica=REPLICA,
        lane=LANE,
        session_id=st.none() | IDS | st.sampled_from(["old-1", "old-1 ", "y"]),
        fields=scenery.AMENDMENTS,
        condition=CONDITION,
    )
    def amend_session(
        self,
        replica: int,
        lane: SessionKey,
        session_id: SessionId | None,
        fields: dict[str, Any],
        condition: tuple[str, str],
    ) -> SessionId | MultipleResults[SessionId]:
        changes: Any = fields if session_id is None else {**fields, "session_id": session_id}
        self.agree(
            lambda only: self.stores[replica].amend_session(lane, changes, **only),
            lambda _: self.model.amend(lane, **changes),
            lane,
            condition,
        )
        return multiple() if session_id is None else session_id

    @rule(replica=REPLICA, lane=LANE, override=scenery.OVERRIDES, condition=CONDITION)
    def set_model_override(
        self,
        replica: int,
        lane: SessionKey,
        override: ModelOverride | None,
        condition: tuple[str, str],
    ) -> None:
        self.agree(
            lambda only: self.stores[replica].set_model_override(lane, override, **only),
            lambda _: self.model.set_model_override(lane, override),
            lane,
            condition,
        )

    @rule(replica=REPLICA, lane=LANE, condition=CONDITION)
    def delete_session(self, replica: int, lane: SessionKey, condition: tuple[str, str]) -> None:
        self.agree(
            lambda only: self.stores[replica].delete_session(lane, **only),
            lambda _: self.model.delete(lane),
            lane,
            condition,
        )
