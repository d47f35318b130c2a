"""The bundle under mitmproxy's own tools: its options, its admin port, and an end with 2 before anything listens."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from mitmproxy.addonmanager import Loader
from mitmproxy.exceptions import OptionsError
from mitmproxy.master import Master
from mitmproxy.proxy import mode_specs

from addons.proxy import internals
from addons.proxy.bundle import install
from addons.proxy.options import OptionRefused
from addons.proxy.service import Service
from tokenman_core.config import available
from tokenman_core.config.load import Loaded
from tokenman_core.config.load import load as load_config
from tokenman_core.config.values import Address
from tokenman_core.errors import ConfigError, trace
from tokenman_core.instance import Taken
from tokenman_core.redaction import Detection
from tokenman_core.redaction.gate_file import gate_file
from tokenman_core.telemetry import log

OPTION = "tokenman_config"
PREFIX = "tokenman_"


def load(master: Master, loader: Loader) -> None:
    """Called by the stub's `load`; a second time, when mitmproxy reloads the script, it changes nothing."""
    if master.addons.get("exchange") is not None:
        return
    try:
        loader.add_option(OPTION, str, "", 'TokenMan\'s configuration file; "": ~/.config/tokenman/tokenman.yaml')
        master.options.process_deferred()  # `--set` of an option that did not exist yet waits there
        _no_unknown(master)
        given = str(getattr(master.options, OPTION))
        loaded = load_config(Path(given).expanduser() if given else None, os.environ)
        log.protect(log.secrets_of(loaded.settings))
        internals.hold_listeners(master)
        _listen(master, loaded.settings.listen)
        _say(loaded)
        service = Service(install(master, loaded, Detection(kept=gate_file(loaded.settings))), loaded, None)
    except Taken as e:
        _end(str(e), 3)
    except (ConfigError, OptionRefused, OptionsError, internals.WrongVersion) as e:
        _end(str(e))
    except Exception as e:  # mitmproxy would log it, or not even that, and go on as a proxy that protects nothing
        _end(f"could not be started: {trace(e)}")
    master.addons.add(service)


def _no_unknown(master: Master) -> None:
    for name in master.options.deferred:
        if name.startswith(PREFIX):
            raise ConfigError(f"--set {name}: there is no such option; did you mean {OPTION}?")


def _listen(master: Master, listen: Address) -> None:
    """An explicit --listen-host, -p or mode wins over `listen`; none may lead beyond this machine in this version."""
    options = master.options
    if options.listen_port is None and options.mode == options.default("mode"):
        options.update(listen_port=listen.port)
    if not options.listen_host:
        options.update(listen_host=listen.host)
    for mode in options.mode:
        spec = mode_specs.ProxyMode.parse(mode)
        host = spec.listen_host(options.listen_host)
        if spec.listen_port(options.listen_port) is not None and not Address(host, 1).loopback:
            raise ConfigError(
                f"--listen-host {host or '*'}: a listener beyond loopback is not available in this version"
            )


def _say(loaded: Loaded) -> None:
    for line in loaded.warnings:
        print(f"tokenman: {line}", file=sys.stderr)
    for name, url in loaded.settings.foreign_base_urls().items():
        print(f"tokenman: {name} is at {url}", file=sys.stderr)
    for line in available.lacking(loaded.settings):
        print(f"tokenman: not in this version: {line}", file=sys.stderr)


def _end(message: str, code: int = 2) -> NoReturn:
    print(f"tokenman: {message}", file=sys.stderr)
    sys.exit(code)
