"""The study of transfer: which cheap protocol predicts finetuning? ``python -m studies.transfer --data FOLDER``."""
