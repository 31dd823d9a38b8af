"""One function per command: the API of the library. Only this package composes stages."""
