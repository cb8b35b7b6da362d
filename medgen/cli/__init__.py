"""The command line: one file per verb; argv to one function, printing, progress, exit codes."""
