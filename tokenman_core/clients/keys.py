"""What a virtual key looks like: `tkm_` and 256 random bits, so that nobody needs to slow down its guessing."""

import re
import secrets

PREFIX = "tkm_"
_BYTES = 32
PATTERN = r"tkm_[A-Za-z0-9_-]{43}"
KEY = re.compile(PATTERN)
"""A whole key."""

ANY = re.compile(rb"tkm_[A-Za-z0-9_-]{8,}")
"""What stands anywhere in a header and may be one, or most of one."""


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(_BYTES)
