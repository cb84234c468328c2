"""A breaker spares a failing part and finds out by itself when it is well."""

from __future__ import annotations

from services.gateway.adapters.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Clock) -> Breaker:
    return Breaker(failures_max=3, pause_s=1.0, clock=clock)


def test_a_few_failures_do_not_open_it() -> None:
    tried = breaker(Clock())
    for _ in range(2):
        tried.failed()

    assert not tried.is_open


def test_failures_in_a_row_open_it_and_success_between_does_not_count() -> None:
    tried = breaker(Clock())
    for _ in range(3):
        tried.failed()
    assert tried.is_open

    tried.succeeded()
    assert not tried.is_open


def test_after_the_pause_one_is_let_through_to_try() -> None:
    clock = Clock()
    tried = breaker(clock)
    for _ in range(3):
        tried.failed()
    clock.now += 1.0

    assert [tried.is_open for _ in range(3)] == [False, True, True]


def test_a_failed_try_opens_it_again() -> None:
    clock = Clock()
    tried = breaker(clock)
    for _ in range(3):
        tried.failed()
    clock.now += 1.0
    assert not tried.is_open

    tried.failed()
    clock.now += 0.9
    assert tried.is_open


def test_it_says_when_it_is_tried_again_and_asking_is_no_try() -> None:
    clock = Clock()
    tried = breaker(clock)
    assert tried.tries_again_in_s == 0
    for _ in range(3):
        tried.failed()
    clock.now += 0.25

    assert [tried.tries_again_in_s for _ in range(3)] == [0.75] * 3
    clock.now += 0.75
    assert tried.tries_again_in_s == 0
    assert not tried.is_open
    tried.succeeded()
    assert tried.tries_again_in_s == 0


def test_what_fails_late_does_not_put_off_the_next_try() -> None:
    clock = Clock()
    tried = breaker(clock)
    for _ in range(3):
        tried.failed()
    clock.now += 0.9
    tried.failed()
    clock.now += 0.1

    assert not tried.is_open
