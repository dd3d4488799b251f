"""The engine's loop: claims, turns, lease, steps on threads. Needs no Django but for plans."""
