"""What a simulation still promises once devices are gone."""

from __future__ import annotations

import msgsync
from msgsync.testing import SimulatedSystem
from msgsync.testing.promises import Files, Promises

FILES = Files((b"photo",), frozenset({"00"}))


def test_a_file_is_promised_as_long_as_somebody_knows_the_message_wherever_its_chunks_lie(tmp_path):
    """Seed 950038: a message went with its device; its chunks stayed for another one, and were promised for it too."""
    with msgsync.open(tmp_path / "phone.db", author="ann", system=SimulatedSystem(1)) as phone:
        phone.create_conversation("Family", id="family")
        known = str(phone.conversation("family").send("known").id)
        gone = "00cfyys492qte7gdrgkj"
        promises = Promises(texts={known: "known", gone: "gone"}, files={known: FILES, gone: FILES})
        promises.recount([phone])
        assert promises.texts == {known: "known"}
        assert promises.files == {known: FILES}
