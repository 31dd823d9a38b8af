"""One plain function per command: the library's API, and the only place that composes stages."""
