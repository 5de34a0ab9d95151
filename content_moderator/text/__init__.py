"""Text processing: cleaning, normalization, sentences, terms, language."""
