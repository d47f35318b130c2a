"""Everything that reaches into mitmproxy itself: the sealed door, the exchange, the options."""
