"""The two ways in which the program says no.

The command line turns `InputError` into exit status 2 (wrong usage or bad input, nothing was started) and
`RunError` into exit status 1 (it failed while running; what was written stays). Both carry a message for the user:
what is wrong, where (file, line or setting) and what to do about it. Any other exception is a bug.
"""


class OmniTrackError(Exception):
    """An error whose message is meant for the user; `exit_status` is what the command line returns for it."""

    exit_status = 1


class RunError(OmniTrackError):
    """Something failed while a job was running.

    >>> raise RunError("disk full")
    Traceback (most recent call last):
    app.errors.RunError: disk full
    """

    exit_status = 1


class InputError(OmniTrackError):
    """A source, file, setting or argument that cannot be used.

    >>> try:
    ...     raise InputError("door.mp4: there is no such file")
    ... except InputError as error:
    ...     print(error)
    door.mp4: there is no such file
    """

    exit_status = 2
