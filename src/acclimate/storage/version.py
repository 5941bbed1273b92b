"""The version of the program, which every document and every row names."""

from typing import Final

VERSION: Final = "0.1.0"
