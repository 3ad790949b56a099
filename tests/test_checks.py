"""Named checks fail when one of them does, and say which."""

from __future__ import annotations

import pytest
from checks import Checks


def fail_twice() -> None:
    with Checks() as check:
        with check("first"):
            assert [1] == [2]
        with check("second"):
            assert [1] == [1]
        with check("third"):
            raise AssertionError("why")


def fail_and_break() -> None:
    with Checks() as check:
        with check("first"):
            raise AssertionError
        with check("second"):
            raise KeyError("lost")


def test_every_failed_check_is_named() -> None:
    with pytest.raises(AssertionError, match=r"(?s)failed: 2\n\[first\].*\[third\] why"):
        fail_twice()


def test_checks_that_hold_are_silent() -> None:
    with Checks() as check, check("only"):
        assert check.failures == []


def test_other_exceptions_pass_with_the_name_of_their_check() -> None:
    with pytest.raises(KeyError) as raised:
        fail_and_break()
    assert raised.value.__notes__ == ["in the check [second]"]
