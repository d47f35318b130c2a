"""Settings that are right one by one and wrong together: two that exclude each other, a name that nothing has."""

from collections.abc import Collection

from tokenman_core.config.models import Settings


def found(settings: Settings, given: Collection[str]) -> list[tuple[str, str]]:
    """(setting, what to tell) for each; `given` are the settings that somebody wrote, one of which is to blame."""
    return _ports(settings, given)


def _ports(settings: Settings, given: Collection[str]) -> list[tuple[str, str]]:
    if not settings.listen.port or settings.listen != settings.admin.listen:
        return []
    blamed, other = ("admin.listen", "listen") if "admin.listen" in given else ("listen", "admin.listen")
    return [(blamed, f"must not be the same as {other}; good values: 127.0.0.1:7677 and 127.0.0.1:7678")]
