"""Running Plans: sessions, the executor, the stepper, events and traces, files."""
