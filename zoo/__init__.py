"""How the embedded models were made. Not part of the package: ``python -m zoo.train NAME`` makes one again."""
