"""How a text is read: cleaning, words, sentences, terms, language."""
