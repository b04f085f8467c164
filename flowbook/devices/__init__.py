"""Devices: memory, copies and kernel launch. They know no Plan."""
