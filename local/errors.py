"""Owns how this package refuses: a machine code, a sentence and a next step. Nothing here is retried."""


class LocalError(Exception):
    """Something on this machine stands in the way; `str()` is the sentence followed by the next step."""

    def __init__(self, code: str, sentence: str, next_step: str) -> None:
        super().__init__(f"{sentence} {next_step}")
        self.code = code
        self.sentence = sentence
        self.next_step = next_step
