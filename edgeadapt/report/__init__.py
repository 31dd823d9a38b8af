"""A page about benchmark records: one file of HTML that needs no network."""
