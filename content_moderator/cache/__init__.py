"""What is remembered: identical texts, near copies that a guard lets pass, a level that machines share."""
