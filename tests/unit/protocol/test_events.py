"""Events: what a report says where nothing happened. Their words are asked for where they are told."""

from __future__ import annotations

from msgsync import SyncReport


def test_a_report_tells_of_no_attachments_losses_or_reasons_unless_there_are_some():
    report = SyncReport(0, 0, 0, 0, 0, complete=True, refused=())
    assert report.attachment_bytes_received == 0
    assert (report.reason, report.codes, report.chunks_refused, report.losses) == (None, (), (), ())
