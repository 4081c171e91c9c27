"""A program that uses pypresence on a named pipe: `pypresence_client.py PIPE` prints the results as JSON."""

import json
import sys

from pypresence import Presence, baseclient

# Its own search lists the directory of pipes, which does not work under Wine.
baseclient.get_ipc_path = lambda _pipe=None: sys.argv[1]

presence = Presence("1234")
presence.connect()
updated = presence.update(state="testing")
presence.close()
json.dump({"updated": updated["cmd"], "nonce": updated["nonce"]}, sys.stdout)
