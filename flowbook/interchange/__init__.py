"""Files that other programs and people read: saved graphs and repro files."""
