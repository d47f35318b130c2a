"""What `tokenman demo` shows, and the fake provider that it and the tests talk to."""
