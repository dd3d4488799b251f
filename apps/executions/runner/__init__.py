"""Executes one attempt of one step: what the engine's StepRunner port stands for.

This package imports nothing here: step processes import parts of it and stay free of the framework.
"""
