"""The pages for people: the try-it page and the API documentation."""
