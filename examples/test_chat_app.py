"""The chat program's devices converge, whatever people do and whenever they meet: its whole test."""

from hypothesis import settings
from hypothesis.stateful import rule

from examples.chat_app import ChatApp
from msgsync.testing import ReplicaMachine, some, texts


class ChatMachine(ReplicaMachine):
    conversation_ids = ("general",)  # the machine's own steps write there, too

    @rule(who=some, text=texts())
    def post(self, who: int, text: str) -> None:
        ChatApp(self.device(who).replica).post(text)

    @rule(who=some, line=some)
    def star(self, who: int, line: int) -> None:
        app = ChatApp(self.device(who).replica)
        if shown := app.lines():
            app.star(line % len(shown) + 1)

    def check_converged(self) -> None:
        screens = [ChatApp(device.replica).lines() for device in self.devices]
        assert all(screen == screens[0] for screen in screens)


ChatMachine.TestCase.settings = settings(max_examples=20, deadline=None)
TestChatApp = ChatMachine.TestCase
