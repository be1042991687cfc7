from __future__ import annotations

from datetime import timedelta

from domain.throttle import Backoff, Throttle

THROTTLE = Throttle(b"s" * 32)


def test_blocks_double_after_the_free_failures_up_to_a_quarter_of_an_hour() -> None:
    blocks = [Backoff(free=5).block(failures).total_seconds() for failures in range(1, 20)]
    assert blocks == [0] * 5 + [1, 2, 4, 8, 16, 32, 64, 128, 256, 512] + [900] * 4
    assert Backoff(free=5).block(10**9) == timedelta(minutes=15)


def test_an_account_has_one_counter_however_its_address_is_written() -> None:
    assert THROTTLE.of_account(" Anna@Example.org").key == THROTTLE.of_account("anna@example.org").key
    assert THROTTLE.of_account("anna@example.org").key != THROTTLE.of_account("bert@example.org").key


def test_a_customer_of_a_network_provider_has_one_counter() -> None:
    assert THROTTLE.of_address("2001:db8:1:2::1").key == THROTTLE.of_address("2001:db8:1:2:ffff::9").key
    assert THROTTLE.of_address("2001:db8:1:2::1").key != THROTTLE.of_address("2001:db8:1:3::1").key
    assert THROTTLE.of_address("::ffff:192.0.2.1").key == THROTTLE.of_address("192.0.2.1").key
    assert THROTTLE.of_address("192.0.2.1").key != THROTTLE.of_address("192.0.2.2").key


def test_sign_ups_and_sign_ins_of_one_address_are_counted_apart() -> None:
    assert THROTTLE.of_sign_ups("192.0.2.1").key != THROTTLE.of_address("192.0.2.1").key


def test_a_key_cannot_be_guessed_without_the_secret() -> None:
    assert Throttle(b"t" * 32).of_address("192.0.2.1").key != THROTTLE.of_address("192.0.2.1").key
    assert "sss" not in repr(THROTTLE)
