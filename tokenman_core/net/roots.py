"""Whom we trust when we open TLS to a provider: the system's roots."""

import os
import ssl

import certifi


def client_context() -> ssl.SSLContext:
    """TLS 1.2 or later, names checked, with the system's store (`SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise).

    A slim image has no store at all: there certifi's copy of Mozilla's list is used.
    """
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not _has_folder():
        context.load_verify_locations(certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _has_folder() -> bool:
    """Certificates in a folder are read when they are needed, so the store does not count them."""
    paths = ssl.get_default_verify_paths()
    folder = os.environ.get(paths.openssl_capath_env) or paths.capath
    return bool(folder) and os.path.isdir(folder) and any(name.endswith(".0") for name in os.listdir(folder))
