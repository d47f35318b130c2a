"""A user's script that makes the wait for clients that take nothing short."""

from addons.proxy import outlet

outlet.CLIENT_STALL_S = 1.0
