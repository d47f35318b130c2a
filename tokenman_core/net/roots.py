"""Whom we trust when we open TLS to a provider: the system's roots."""

import os
import ssl
from collections.abc import Mapping

import certifi

from tokenman_core.errors import ConfigError


def client_context(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """TLS 1.2 or later, names checked, with the system's store (`SSL_CERT_FILE` and `SSL_CERT_DIR` name another).

    A slim image has no store at all: there certifi's copy of Mozilla's list is used. Raises ConfigError if
    `SSL_CERT_FILE` names no file with certificates, for another list than the wanted one may not take its place.
    """
    named = environ.get("SSL_CERT_FILE")
    context = ssl.create_default_context()
    if named:
        try:
            context.load_verify_locations(cafile=named)
        except OSError as e:  # ssl.SSLError is one
            raise ConfigError(
                f"SSL_CERT_FILE names {named}, which holds no certificates that can be read; "
                "a good value is the path of a PEM file, such as /etc/ssl/certs/ca-certificates.crt"
            ) from e
    elif not context.cert_store_stats()["x509_ca"] and not _has_folder(environ):
        context.load_verify_locations(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 began to refuse roots that lack an extension, as those of companies' own inspection often do. Programs
    # that reach a provider through such a one, reach it through us as well.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _has_folder(environ: Mapping[str, str]) -> bool:
    """Certificates in a folder are read when they are needed, so the store does not count them."""
    folder = environ.get("SSL_CERT_DIR") or ssl.get_default_verify_paths().capath
    return bool(folder) and os.path.isdir(folder) and any(name.endswith(".0") for name in os.listdir(folder))
