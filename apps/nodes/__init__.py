"""The node library: one node type, one file; the first plug-in of the platform."""
