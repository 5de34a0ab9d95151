"""Near copies: the index that finds them and the guard that decides whether their answer may be used."""
