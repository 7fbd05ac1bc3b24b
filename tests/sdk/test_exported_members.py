"""The public face: sorted, complete, and loadable one by one."""

from __future__ import annotations

import pytest

import interlace


def test_all_is_sorted_and_complete():
    assert interlace.__all__ == sorted(interlace.__all__)
    assert set(interlace.__all__) == {*interlace._HOMES, "__version__", "errors"}
    assert dir(interlace) == interlace.__all__


@pytest.mark.parametrize("name", interlace.__all__)
def test_every_public_name_loads_and_is_documented(name):
    value = getattr(interlace, name)
    assert name == "__version__" or value.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        interlace.nonsense  # noqa: B018
