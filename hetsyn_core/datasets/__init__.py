"""Data sets: functions that return arrays and say where they came from."""
