"""Measuring in fresh child processes: time, memory, cold start; statistics; the machine."""
