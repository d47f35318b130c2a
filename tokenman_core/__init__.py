"""The policy of TokenMan: what is masked, refused, routed and spent. Knows nothing of mitmproxy."""

__version__ = "0.1.0"
