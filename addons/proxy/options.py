"""What becomes of mitmproxy's own options beside the door: forced, refused, or without effect on governed calls."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mitmproxy.options import Options

log = logging.getLogger("tokenman.options")

FORCED: Mapping[str, tuple[Any, str]] = {
    "connection_strategy": ("lazy", "tunnels are dialled by the door, providers by the exchange"),
    "upstream_cert": (False, "no provider is dialled to make a certificate"),
    "add_upstream_certs_to_client_chain": (False, "no provider is dialled to make a certificate"),
    "onboarding": (False, "its page hands out another CA"),
    "validate_inbound_headers": (True, "requests that smuggle others must be refused"),
    "store_streamed_bodies": (False, "what streams past is not kept"),
    "show_ignored_hosts": (False, "a blind tunnel stays blind"),
    "request_client_cert": (False, "clients are told by their keys"),
    "http3": (False, "UDP is not governed"),
    "proxy_debug": (False, "it writes what passes into the log"),
}
"""Set when the door is put in, and set back when somebody changes them."""

REFUSED: Mapping[str, str] = {
    "client_replay": "replays of provider calls are not carried out",
    "server_replay": "recorded answers would be another caller's; use the cache",
    "ssl_insecure": "a provider's certificate is always checked; name another root in SSL_CERT_FILE",
    "ssl_verify_upstream_trusted_ca": "name another root in SSL_CERT_FILE",
    "ssl_verify_upstream_trusted_confdir": "name another root in SSL_CERT_FILE",
    "client_certs": "client certificates towards providers are not available in this version",
    "ciphers_server": "TLS towards providers is the system's",
    "upstream_auth": "a parent proxy is named in HTTPS_PROXY",
    "proxyauth": "clients are told by their virtual keys: access.clients",
    "certs": "certificates are made by TokenMan's own CA",
    "connect_addr": "the local address towards providers cannot be chosen in this version",
    "protobuf_definitions": "not used",
    "stickyauth": "it would lend one caller's credentials to another",
    "stickycookie": "it would lend one caller's credentials to another",
}
"""A promise that governed calls would not keep: the start ends with 2 where they are set."""

REFUSED_VALUES: Mapping[str, Mapping[str, str]] = {
    "tls_version_client_min": dict.fromkeys(
        ("UNBOUNDED", "SSL3", "TLS1", "TLS1_1"), "clients must speak TLS 1.2 or later"
    ),
    "tls_version_client_max": dict.fromkeys(("SSL3", "TLS1", "TLS1_1"), "clients must speak TLS 1.2 or later"),
}

WITHOUT_EFFECT: Mapping[str, str] = {
    "allow_hosts": "what is opened is decided by providers and intercept.hosts",
    "ignore_hosts": "a provider's host is never a blind tunnel",
    "tcp_hosts": "a provider's host is never a blind tunnel",
    "stream_large_bodies": "a request is judged whole; answers stream anyway",
    "body_size_limit": "use limits.request_body and limits.response_body",
    "modify_body": "write a stage with llm_request or llm_event",
    "modify_headers": "write a stage with llm_request",
    "map_remote": "use providers.NAME.base_url",
    "map_local": "write a stage that returns an Answer",
    "block_list": "write a stage that returns a Refuse",
    "anticache": "providers have no such cache",
    "anticomp": "the accept-encoding header stays the program's own",
}
"""They go on to work for plain requests that are not governed. Said once, at the start."""


class OptionRefused(Exception):
    """The message names the option, and what to do instead."""


@dataclass(frozen=True)
class Found:
    """What is wrong with the options as they are now."""

    refused: tuple[str, ...]
    forced: dict[str, Any]
    without_effect: tuple[str, ...]


def judge(options: Options) -> Found:
    refused = [f"{name}: {why}" for name, why in REFUSED.items() if name in options and _is_set(options, name)]
    for name, values in REFUSED_VALUES.items():
        value = getattr(options, name, None)
        if value is not None and (why := values.get(str(getattr(value, "name", value)))):
            refused.append(f"{name}={value}: {why}")
    for mode in getattr(options, "mode", ()):
        if mode.startswith("upstream:"):
            refused.append("mode upstream: a parent proxy is named in HTTPS_PROXY")
    forced = {name: value for name, (value, _) in FORCED.items() if name in options and getattr(options, name) != value}
    idle = [f"{name}: {why}" for name, why in WITHOUT_EFFECT.items() if name in options and _is_set(options, name)]
    return Found(tuple(refused), forced, tuple(idle))


def _is_set(options: Options, name: str) -> bool:
    return bool(getattr(options, name) != options.default(name))


class OptionTable:
    """Holds the table at the start and whenever mitmweb or a script changes an option."""

    name = "optiontable"
    sealed = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._told = False

    def settle(self) -> None:
        """Raises OptionRefused."""
        found = judge(self._options)
        if found.refused:
            raise OptionRefused("; ".join(found.refused))
        if found.forced:
            self._options.update(**found.forced)
        if found.without_effect and not self._told:
            self._told = True
            for line in found.without_effect:
                log.warning("this option has no effect on governed calls: %s", line)

    def configure(self, updated: set[str]) -> None:
        from mitmproxy.exceptions import OptionsError

        try:
            self.settle()
        except OptionRefused as e:
            raise OptionsError(str(e)) from e  # mitmproxy takes the change back
