"""Measure time, memory and cold start in fresh child processes; statistics; machine state."""
