"""Many rows from a file, judged and written to another, in a way that can be interrupted."""
