"""The answer cache: identical texts, near copies with a guard, and a store that machines share."""
