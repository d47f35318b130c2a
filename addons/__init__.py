"""The half of TokenMan that speaks mitmproxy: short addons, one a concern, and the `tokenman` command."""
