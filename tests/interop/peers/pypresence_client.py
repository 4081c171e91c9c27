"""A program that uses pypresence on a named pipe: `pypresence_client.py PIPE` writes what came of it as JSON."""

import json
import sys

from pypresence import Presence, baseclient

# Its own search lists the directory of pipes with a function that Wine does not have.
baseclient.get_ipc_path = lambda _pipe=None: sys.argv[1]

presence = Presence("1234")
presence.connect()
updated = presence.update(state="testing")
presence.close()
json.dump({"updated": updated["cmd"], "nonce": updated["nonce"]}, sys.stdout)
