"""Who fetches which chunk."""

from __future__ import annotations

from msgsync.replica.claims import Claims

A, B, C = (letter * 16 for letter in (b"a", b"b", b"c"))


class Freed:
    """Counts how often others are told to look."""

    count = 0

    def tell(self) -> None:
        self.count += 1


def test_what_one_fetches_no_other_one_does_until_it_is_here_or_cannot_be_had():
    freed = Freed()
    claims = Claims(freed.tell)
    assert claims.claim(1, [A, B]) == [A, B]
    assert claims.claim(2, [A, B, C]) == [C]
    assert claims.of_others(1) == {C}
    assert claims.of_others(None) == {A, B, C}
    claims.settle(1, [A])
    assert claims.of_others(2) == {B}
    assert freed.count == 0
    claims.free(1, B)
    assert freed.count == 1
    assert claims.claim(2, [B]) == [B]


def test_when_one_ends_others_look_if_it_leaves_anything():
    freed = Freed()
    claims = Claims(freed.tell)
    claims.claim(1, [A])
    claims.claim(2, [B])
    claims.settle(2, [B])
    claims.end(2)
    assert (freed.count, claims.take_left()) == (0, False)
    claims.end(1)
    assert (freed.count, claims.take_left(), claims.take_left()) == (1, True, False)
    assert claims.claim(3, [A]) == [A]


def test_what_comes_to_be_on_the_disk_after_the_end_is_looked_at():
    freed = Freed()
    claims = Claims(freed.tell)
    claims.claim(1, [A])
    claims.written(1)
    assert (freed.count, claims.take_left()) == (0, False)
    claims.settle(1, [A])
    claims.end(1)
    claims.written(1)
    assert (freed.count, claims.take_left()) == (1, True)


def test_each_leaves_its_share_to_the_others():
    claims = Claims(Freed().tell)
    assert claims.share(1, 5) == 5
    claims.claim(1, [A])
    assert (claims.share(1, 5), claims.share(2, 5)) == (5, 3)
    claims.claim(2, [B])
    assert (claims.share(1, 1), claims.share(1, 0), claims.share(3, 7)) == (1, 0, 3)
