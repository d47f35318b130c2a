"""The kinds of value a setting can have: durations, sizes, addresses, base URLs, on-off words, secrets."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)

from tokenman_core.config.secrets_ref import NOT_HERE, Source, resolve
from tokenman_core.config.wrong import wrong

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", re.ASCII)
_SECONDS = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 36500 * 86400.0  # a hundred years: beyond it somebody mistook the unit, and timers overflow

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:b|(k|m|g|t)(i?)b)?", re.IGNORECASE | re.ASCII)
_LARGEST = 1 << 50

ON = frozenset({"on", "yes", "true"})
OFF = frozenset({"off", "no", "false"})
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")


def parse_duration(value: object, good_values: str = '30, 1.5, "500ms", "30s", "5m", "1h"') -> float:
    """Seconds, from `30`, `1.5`, "500ms", "30s", "5m", "1h" or "90d"."""
    good = wrong(f"is not a duration; good values: {good_values}")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise good
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise good
        value = float(match[1]) * _SECONDS[match[2]]
    seconds = float(value)
    if not 0 <= seconds <= _LONGEST:  # NaN is refused here too
        raise good
    return seconds


def parse_size(value: object) -> int:
    """Bytes, from `65536`, "64KiB", "32MiB" (1024s) or "1GB" (1000s)."""
    good = wrong('is not a size; good values: 65536, "64KiB", "32MiB", "1GB"')
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise good
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise good
        power = " kmgt".index(match[2].lower()) if match[2] else 0
        amount = float(match[1]) * (1024 if match[3] else 1000) ** power
        if amount != int(amount):
            raise good
        value = int(amount)
    if not 0 <= value <= _LARGEST:
        raise good
    return value


# The schemas are for editors: what they let through is judged by the parsers all the same.
def read_duration(value: object, info: ValidationInfo) -> float:
    return parse_duration(value, "30d, 90d, 365d") if info.field_name == "retention" else parse_duration(value)


Duration = Annotated[
    float,
    BeforeValidator(read_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": _LONGEST},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)?\s*$"},
            ],
            "examples": ["500ms", "30s", "5m", "1h", "90d"],
        }
    ),
]
"""Seconds, 0 or more."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": _LARGEST},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([bB]|[kKmMgGtT][iI]?[bB])?\s*$"},
            ],
            "examples": ["64KiB", "32MiB", "1GiB"],
        }
    ),
]
"""Bytes, 0 or more."""


def _word(value: object) -> object:
    # YAML 1.2 reads an unquoted off as a text, YAML 1.1 as a boolean, and people write either. Both mean off.
    if value is False:
        return "off"
    if value is True:
        return "on"
    if isinstance(value, str) and value.lower() in OFF | ON:
        return "off" if value.lower() in OFF else "on"
    return value


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in OFF | ON:
        return value.lower() in ON
    raise wrong("must be true or false")


Word = BeforeValidator(_word)
"""Put on a choice that has `off` (or `on`) among its words."""

_FLAGS = [True, False, *sorted(word for flag in ON | OFF for word in (flag, flag.capitalize()))]
Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"enum": _FLAGS})]


@dataclass(frozen=True)
class Address:
    """Where a listener binds."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _parse_address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    good = wrong('is not an address; good values: 127.0.0.1:7677, "[::1]:7677"')
    if not isinstance(value, str):
        raise good
    host, colon, port = value.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host.lower()
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise good
    if bracketed or ":" in host:
        if not bracketed or not is_ip(host):
            raise good
    elif not _HOST.fullmatch(host):
        raise good
    return Address(host, int(port))


@dataclass(frozen=True)
class BaseUrl:
    """Where a provider is. `path` has no slash at its end, "" for none; `str()` leaves the scheme's own port out."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """What the `Host` header holds."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


_PORTS = {"http": 80, "https": 443}


def _parse_base_url(value: object) -> BaseUrl:
    if isinstance(value, BaseUrl):
        return value
    good = wrong("is not a base URL; good values: https://api.example.com, http://127.0.0.1:11434/v1")
    if not isinstance(value, str) or not value.isascii() or re.search(r"[\s\\]", value):
        raise good
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise good from None
    if "@" in parts.netloc:
        raise wrong("must not hold a user or a password; a provider's key goes into its `key`: env:NAME")
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or parts.query or parts.fragment or not (_HOST.fullmatch(host) or is_ip(host)):
        raise good
    if port == 0:
        raise good
    return BaseUrl(parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))


def is_ip(host: str) -> bool:
    """Whether it is an address, without brackets, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


_NEAR = (".localhost", ".local", ".internal", ".lan", ".home.arpa")  # RFC 6761, 6762, 8375; ICANN's private-use TLD


def is_near(host: str) -> bool:
    """Whether a host is of this machine or of a private network, by its name alone: those often ask for no key."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_NEAR)


Listen = Annotated[
    Address,
    BeforeValidator(_parse_address),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}\s*$"}),
]
Url = Annotated[
    BaseUrl,
    BeforeValidator(_parse_base_url),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": r"^https?://[^\s@?#\\]+$"}),
]


def parse_host(value: object) -> str:
    """A host name or an IP address, in lower case, without a port."""
    host = value.strip().rstrip(".").lower() if isinstance(value, str) else ""
    try:
        host = host if is_ip(host) else host.encode("idna").decode()
    except UnicodeError:
        host = ""
    if not (is_ip(host) or _HOST.fullmatch(host)):
        raise wrong("is not a host name; good values: api.example.com, 10.0.0.5")
    return host


def parse_private(value: object) -> str:
    """A host name, an IP address or a network in CIDR form, in lower case."""
    if isinstance(value, str) and "/" in value:
        try:
            return str(ipaddress.ip_network(value.strip()))
        except ValueError:
            raise wrong("is not a network; good values: 10.0.0.0/8, fd00::/8, intranet.example.com") from None
    return parse_host(value)


Host = Annotated[str, BeforeValidator(parse_host)]
PrivateHost = Annotated[str, BeforeValidator(parse_private)]


_PATHS = {
    "data_dir": "~/.local/share/tokenman",
    "file": "~/.local/share/tokenman/tokenman.log",
    "cert": "~/.config/tokenman/cert.pem",
    "key": "~/.config/tokenman/key.pem",
}
"""Good ones, by the last word of their setting."""


def _folder(value: Path, info: ValidationInfo) -> Path:
    path = expand(value, Source.of(info.context).environ)
    if not path.is_absolute():
        raise wrong(f"must be an absolute path, for example {_PATHS.get(info.field_name or '', _PATHS['data_dir'])}")
    return path


def expand(path: Path, environ: Mapping[str, str]) -> Path:
    """`~` becomes the home folder that `environ` names."""
    home = environ.get("HOME")
    if home and path.parts[:1] == ("~",):
        return Path(home, *path.parts[1:])
    return path.expanduser()


AbsolutePath = Annotated[
    Path,
    Field(strict=False),
    AfterValidator(_folder),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": r"^(~|/|[A-Za-z]:)"}),
]


def _secret(value: Any, info: ValidationInfo) -> Any:
    if value is None or isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        raise wrong("must be a reference such as env:NAME or file:/run/secrets/name")
    return resolve(value, Source.of(info.context))


Secret = Annotated[
    SecretStr,
    BeforeValidator(_secret),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^(?!({'|'.join(NOT_HERE)}):)",
            "examples": ["env:NAME", "file:/run/secrets/name"],
        }
    ),
]
"""A value that no repr and no log shows; `.get_secret_value()` has it. In the file: `env:NAME` or `file:PATH`."""


def _not_empty(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise wrong("must not be empty; good values: env:NAME, file:/run/secrets/name, null")
    return value


Key = Annotated[Secret, AfterValidator(_not_empty)]
"""A secret that is there or is null."""


def exact(message: str, most: int, *, zero: bool) -> Callable[[Any], Decimal]:
    """Reads a number, also one in quotes, without an error of floating point: up to `most`, from or above zero."""

    def read(value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise wrong(message)
        try:
            number = Decimal(str(value))
        except ArithmeticError:
            raise wrong(message) from None
        if not (number.is_finite() and 0 <= number <= most and (zero or number)):
            raise wrong(message)
        return number

    return read


def exact_schema(most: int, examples: Sequence[Any], *, zero: bool) -> WithJsonSchema:
    """Of what `exact` reads."""
    least = "minimum" if zero else "exclusiveMinimum"
    return WithJsonSchema(
        {
            "anyOf": [{"type": "number", least: 0, "maximum": most}, {"type": "string", "pattern": r"^\d+(\.\d+)?$"}],
            "examples": list(examples),
        }
    )
