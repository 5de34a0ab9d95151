"""Work on files of texts: scanning, evaluation and finetuning."""
