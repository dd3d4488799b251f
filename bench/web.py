"""The product's web process with the bench's steps in its catalogue."""

from __future__ import annotations

import socket
import sys

from bench import nodes
from config.asgi import application
from config.web import serve

__all__ = ["application"]

nodes.register()

if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), application="bench.web:application")
