"""The admin port: an ASGI application and the server that runs it."""
