"""How a run proceeds, thought through without a framework (read README.md beside this file)."""
