"""Named checks fail when one of them does, and say which."""

from __future__ import annotations

import pytest
from checks import Checks


def test_every_failed_check_is_named() -> None:
    words = r"(?s)failed: 2\n\[first\].*\[third\] why"
    with pytest.raises(AssertionError, match=words), Checks() as check:
        with check("first"):
            assert [1] == [2]
        with check("second"):
            assert [1] == [1]
        with check("third"):
            raise AssertionError("why")


def test_checks_that_hold_are_silent() -> None:
    with Checks() as check, check("only"):
        assert check.failures == []


def test_other_exceptions_pass_with_the_name_of_their_check() -> None:
    with pytest.raises(KeyError) as raised, Checks() as check:
        with check("first"):
            raise AssertionError
        with check("second"):
            raise KeyError("lost")
    assert raised.value.__notes__ == ["in the check [second]"]
