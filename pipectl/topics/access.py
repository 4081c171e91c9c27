"""`pipectl help access`. Written by scripts/gen_docs.py: change docs/access.md instead."""

TEXT = r"""ACCESS: WHO MAY OPEN A PIPE

Error 5, "Access is denied", has four usual causes. `pipectl doctor svc` finds
out which, and an access list that would do. `pipectl info svc` shows the list
in words, the owner, and the process behind the pipe.

The access list (ACL)

A server chooses it. `pipectl serve` lets in the user that runs it (`me`) and
Administrators, and nobody from another computer. `--allow users`, `--allow
everyone`, an account or a SID replace that; the resulting list is printed at
the start. A server without a list of its own gets the default of Windows:
everybody may read, and only its creator, Administrators and SYSTEM may write,
so that a client that opens for both directions is refused.

Elevation (UAC)

An administrator's normal prompt does not count as Administrators: in its
token, that group only denies. So

- `--allow admins` does not let in your own prompt that is not elevated, if the
  server runs as somebody else;
- the pipe of an elevated `pipectl serve` is open to your normal prompt,
  because it lets in `me` as well;
- what an elevated program makes belongs to Administrators. `--expect-user
  Administrators` is what a client can check.

A program with low integrity, such as a sandboxed browser process, may not
write to a pipe without a label, whatever the list says. `--allow appcontainer`
gives the pipe a label of low integrity; in a descriptor of your own (`--allow
sddl:...`) it is `S:(ML;;NW;;;LW)`.

Sessions, services and apps

- Names are the same in all sessions of a computer: a program in a Remote
  Desktop session and a service in session 0 use the same pipe, if the list
  allows it.
- A service that runs as SYSTEM, LocalService or NetworkService is another user
  than you. A server that runs as SYSTEM with the default of `pipectl serve`
  lets in SYSTEM and Administrators: your normal prompt gets error 5. Use
  `--allow users`, or name the account.
- A service sees neither your drive letters nor your environment variables.
- An app of the Store (AppContainer) can make only names that begin with
  `LOCAL\`, for processes of the same package (CreateNamedPipe
  (https://learn.microsoft.com/windows/win32/api/namedpipeapi/nf-namedpipeapi-createnamedpipew)).
  It opens others only if they let in app packages: `--allow appcontainer`.

SSH, WinRM and scheduled tasks

- A program in an SSH or WinRM session on the same computer has the SID NETWORK
  (S-1-5-2) in its token, although it is local. Servers that deny NETWORK, as
  many do, refuse it with error 5. `pipectl serve` does not deny it: it keeps
  other computers out with PIPE_REJECT_REMOTE_CLIENTS.
- Such a session cannot go on to a third computer with your credentials:
  `\\HOST\pipe\svc` from there ends in 5 or 1326.
- A scheduled task that runs "whether the user is logged on or not" runs in
  session 0, and with "highest privileges" elevated. It is the same user, so
  that `me` includes it.

Other computers

`\\HOST\pipe\NAME` goes over SMB (port 445). `pipectl serve` refuses it unless
`--allow-remote` is given, and the client must be a user that the list lets in.
`\\localhost\pipe\NAME` counts as remote.
"""
