"""Pure functions of graphs and traces: is a gradient right, where did a nan come from."""
