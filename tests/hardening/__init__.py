"""Bad input and load: fuzzing, hostile clients, and the bounds of docs/limits.md."""
