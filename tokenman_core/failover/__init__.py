"""Failover: what is tried again, where, and when not any more."""
