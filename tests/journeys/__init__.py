"""Whole journeys through the running product, from outside: HTTP, WebSocket, nothing imported."""
