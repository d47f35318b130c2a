"""Budgets that no burst of calls can overrun: the worst case is reserved before a call is sent, and settled by what it cost."""
