"""Recognisers of personal data: a text in, the places of one kind of it out."""
