"""The access rights and the read mode of a client's handle that reads whole messages, and the fallback without them."""

from pipectl.core.constants import Access
from pipectl.core.errors import PipeError, PipeStateError
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.queries import get_named_pipe_handle_state, get_named_pipe_info

_READS = Access.GENERIC_READ | Access.GENERIC_ALL | Access.FILE_READ_DATA

Choices = Access | tuple[Access, ...]


def with_message_mode(access: Choices) -> tuple[Access, ...]:
    """Return the access rights to try: each that reads with the right to set message mode added, and then as it is."""
    more = (
        (choice | Access.FILE_WRITE_ATTRIBUTES, choice) if choice & _READS else (choice,) for choice in _all(access)
    )
    return tuple(dict.fromkeys(choice for several in more for choice in several))


def is_message_after(error: PipeError, handle: Handle, access: Choices) -> bool:
    """Return whether a handle transfers whole messages, although setting its mode failed with `error`.

    Raises the error if the handle may read messages: it would read them joined.
    """
    if isinstance(error, PipeStateError):  # a byte pipe
        return get_named_pipe_handle_state(handle).is_message_mode
    is_message = get_named_pipe_info(handle).is_message_type
    if is_message and any(choice & _READS for choice in _all(access)):
        raise error
    return is_message


def _all(access: Choices) -> tuple[Access, ...]:
    return access if isinstance(access, tuple) else (access,)
