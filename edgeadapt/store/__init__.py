"""The layouts of artefacts on disk: dataclasses shared by the code that writes and reads them."""
