"""The keyed hash is HMAC-SHA256, whatever the key's length."""

import hmac

from hypothesis import example, given
from hypothesis import strategies as st

from tokenman_core.redaction.keyed import Keyed


@example(b"k" * 64, [b"x"])
@example(b"k" * 65, [b"x"])
@given(st.binary(max_size=150), st.lists(st.binary(max_size=150), min_size=1, max_size=3))
def test_it_is_the_standard_one_for_every_message(key: bytes, messages: list[bytes]) -> None:
    keyed = Keyed(key)
    assert [keyed.hexdigest(each) for each in messages] == [hmac.digest(key, each, "sha256").hex() for each in messages]
