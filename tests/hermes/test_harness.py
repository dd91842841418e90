"""A gateway without the plugin answers: what fails elsewhere is not for want of a gateway."""

from __future__ import annotations

from pathlib import Path

from tests.servers import wait_until

from .gateway import Gateway
from .installations import Installation
from .model import Model, answer_to
from .phone import Chat, Phone


def test_a_gateway_without_the_plugin_answers(
    installed: Installation, chat: Chat, tmp_path: Path
) -> None:
    with (
        Model() as model,
        Phone() as phone,
        Gateway(
            installed, tmp_path, model=model.url, phone=phone.url, environment={}, plugins=()
        ) as gateway,
    ):
        gateway.deliver(chat, "msg-alone")
        wait_until(lambda: phone.texts(chat), timeout=60, message=gateway.log_tail())
        assert phone.texts(chat) == [answer_to("msg-alone")]
        assert "redisstore" not in gateway.log()
