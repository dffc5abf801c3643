"""Errors that a user can mend, told apart from faults of the program."""


class UserError(ValueError):
    """Something that was given cannot be used; the message says what was found, what was expected and what to do."""
