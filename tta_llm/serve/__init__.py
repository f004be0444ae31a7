"""The ASGI application that serves workflows, and its one page."""
