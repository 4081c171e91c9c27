"""Replies to each message with the same HTTP response: `http_server.py PIPE`."""

import sys

from pipectl import PipeServer

BODY = b'[{"Id":"%s","Names":["/web"],"Image":"nginx","State":"running"}]' % (b"0123456789abcdef" * 4)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Type: application/json\r\nServer: Docker/27.0.0 (windows)\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)

with PipeServer(sys.argv[1], lambda _client, _data: RESPONSE) as server:
    server.wait()
