"""The command line: one thin file per command over ``edgeadapt.pipeline``."""
