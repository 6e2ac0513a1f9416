"""Pure ASGI layers around every route."""
