"""The engine's thinking: how a run proceeds, without a framework (read README.md beside this file)."""
