"""Who is begun, who waits, and who is turned away when too many arrive."""

from __future__ import annotations

from service.admission import FRESH_FIRST_S, REFUSING_S, STALE_S, Admission


class Stage:
    """Begins calls while there is room, on a clock that is set by hand."""

    def __init__(self, most_waiting: int) -> None:
        self.now_s = 1_000.0
        self.room = 0
        self.begun: list[int] = []
        self.turned_away: list[int] = []
        self.admission: Admission[int] = Admission(
            self._begin, lambda: self.room > 0, self.turned_away.append, most_waiting, lambda: self.now_s
        )

    def _begin(self, call: int) -> None:
        self.room -= 1
        self.begun.append(call)

    def arrive(self, *calls: int) -> list[int]:
        """Those that are turned away at once."""
        return [away for call in calls if (away := self.admission.arrived(call)) is not None]

    def leave_room(self, count: int) -> None:
        self.room += count
        self.admission.go_on()


def test_with_room_a_call_begins_at_once() -> None:
    stage = Stage(2)
    stage.room = 2
    assert stage.arrive(1, 2) == []
    assert (stage.begun, stage.admission.waiting) == ([1, 2], 0)


def test_those_that_wait_are_begun_in_order_while_half_of_the_places_are_free() -> None:
    stage = Stage(6)
    assert stage.arrive(1, 2, 3) == []
    stage.now_s += 60.0  # patience is for their deadline to judge while nobody else wants their place
    stage.leave_room(3)
    assert (stage.begun, stage.turned_away) == ([1, 2, 3], [])


def test_nobody_overtakes_those_that_wait() -> None:
    stage = Stage(6)
    stage.arrive(1)
    stage.room = 1
    stage.arrive(2)
    stage.admission.go_on()
    assert stage.begun == [1]


def test_of_a_burst_that_has_places_all_are_begun_the_newest_first() -> None:
    stage = Stage(6)
    assert stage.arrive(1, 2, 3, 4, 5, 6) == []
    stage.leave_room(2)
    assert stage.begun == [6, 5]
    stage.now_s += STALE_S * 2
    stage.leave_room(2)
    assert stage.begun == [6, 5, 4, 3]
    stage.now_s += FRESH_FIRST_S
    stage.leave_room(2)
    assert (stage.begun, stage.turned_away) == ([6, 5, 4, 3, 1, 2], [])


def test_where_too_many_arrive_the_oldest_goes_away() -> None:
    stage = Stage(3)
    assert stage.arrive(1, 2, 3, 4, 5) == [1, 2]
    stage.leave_room(3)
    assert (stage.begun, stage.turned_away) == ([5, 4, 3], [])


def test_what_became_stale_while_others_are_turned_away_is_turned_away_too() -> None:
    stage = Stage(3)
    stage.arrive(1, 2, 3, 4)
    stage.now_s += STALE_S / 2
    stage.arrive(5)
    stage.now_s += STALE_S * 0.75
    stage.leave_room(3)
    assert (stage.begun, stage.turned_away) == ([5], [4, 3])
    assert stage.admission.waiting == 0


def test_after_the_overload_order_is_kept_again_and_nobody_is_stale() -> None:
    stage = Stage(3)
    stage.arrive(1, 2, 3, 4)
    stage.now_s += max(FRESH_FIRST_S, REFUSING_S)
    stage.leave_room(3)
    assert (stage.begun, stage.turned_away) == ([2, 3, 4], [])
