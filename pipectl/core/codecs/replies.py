"""`CodecRule`, a framing rule by which a codec decides where a reply ends, and `request_of`, which creates requests."""

from collections import deque
from threading import Lock

from pipectl.core.errors import CodecError, FrameError
from pipectl.core.pipe.frames import Framing, Span

from .base import Codec, Frame, FrameKind, Side


class CodecRule(Framing):
    """The framing rule for the replies of one connection; it keeps their frames until `take`.

    With `is_reply`, a reply includes the events before it and the chunks after its head; without it, each frame is one.
    """

    __slots__ = ("_codec", "_fed", "_frames", "_ident", "_is_reply", "_lock", "_queue", "_size", "failed")

    def __init__(self, codec: Codec, *, is_reply: bool = True) -> None:
        self._codec = codec
        # One thread may send while another receives.
        self._lock = Lock()
        self._is_reply = is_reply
        self._ident: str | None = None
        # The frames that `split` has not returned yet, those that `take` returns, and the size of the current reply.
        self._queue: deque[Frame] = deque()
        self._frames: list[Frame] = []
        self._size = 0
        # How many of the received bytes the codec has been fed.
        self._fed = 0
        # Why the codec, a third-party one, is no longer used.
        self.failed: CodecError | None = None

    def for_reply_to(self, request: bytes) -> Framing:
        """Feed the request to the codec, because it may determine how its reply ends."""
        self._ident = None
        for frame in self.feed(Side.CLIENT, request):
            self._ident = frame.ident
        return self

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        del searched
        if len(received) > self._fed:
            data = bytes(memoryview(received)[self._fed :])
            self._fed = len(received)
            self._queue.extend(one for one in self.feed(Side.SERVER, data) if one.side is Side.SERVER)
        while self._queue:
            frame = self._queue.popleft()
            self._frames.append(frame)
            self._size += len(frame.data)
            if not self._is_reply or self.failed or self._ends(frame):
                size, self._size = self._size, 0
                self._fed -= size
                return Span(0, size)
        return None

    def _ends(self, frame: Frame) -> bool:
        if frame.kind is FrameKind.BAD:
            raise FrameError(f"no reply of {self._codec.name}: {frame.summary}")
        is_other = frame.ident is not None and self._ident is not None and frame.ident != self._ident
        return not is_other and self._codec.ends_reply(frame)

    def is_whole_at_close(self, received: bytearray) -> bool:
        """Return whether the codec can decode everything that was received."""
        self._queue.extend(self.feed(Side.SERVER))
        frames, self._queue = [*self._queue], deque()
        self._frames += frames
        return bool(received) and not any(frame.kind is FrameKind.BAD for frame in frames)

    def is_nothing(self, rest: bytearray) -> bool:
        return not rest.strip()

    def take(self) -> list[Frame]:
        """Return the frames of the server since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def feed(self, side: Side, data: bytes = b"") -> list[Frame]:
        """Return the frames of these bytes, or of the end of a side; if the codec fails, all later bytes are raw."""
        try:
            with self._lock:
                if self.failed is None:
                    return [*(self._codec.feed(side, data) if data else self._codec.end(side))]
        except CodecError as error:
            self.failed = error
        return [Frame(side, data, data)] if data else []

    def wrap(self, body: bytes) -> bytes:
        """Return a request as a frame, and feed it to the codec; raises CodecError."""
        data = request_of(type(self._codec), body)
        self.feed(Side.CLIENT, data)
        return data

    def __str__(self) -> str:
        return self._codec.name


def request_of(codec: type[Codec], data: bytes) -> bytes:
    """Return a request as a frame; return data unchanged if it is a frame already or the codec cannot create frames.

    Raises CodecError if the protocol has no frame for the data.
    """
    frames = [*codec().feed(Side.CLIENT, data)]
    is_frame = bool(data) and b"".join(frame.data for frame in frames) == data
    if (is_frame and not any(frame.kind is FrameKind.BAD for frame in frames)) or not codec.makes_frames():
        return data
    return codec().wrap({}, data)
