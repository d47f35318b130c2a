"""What holds for all tests."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes name no test: what packs them puts the time in, and then two workers would collect different tests."""
    return argname if isinstance(val, bytes) and not val.isascii() else None
