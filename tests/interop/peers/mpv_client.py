"""A program that uses python-mpv-jsonipc on a named pipe: `mpv_client.py PIPE` prints the results as JSON."""

import json
import sys

from python_mpv_jsonipc import MPV, MPVError

mpv = MPV(start_mpv=False, ipc_socket=sys.argv[1].removeprefix("\\\\.\\pipe\\"))
outcome = {"pause": mpv.command("get_property", "pause")}
try:
    mpv.command("get_property", "missing")
except MPVError as error:
    outcome["error"] = str(error)
mpv.terminate()
json.dump(outcome, sys.stdout)
