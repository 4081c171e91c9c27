"""`pipectl help access`. Written by scripts/gen_docs.py: change docs/access.md instead."""

TEXT = r"""ACCESS: WHO MAY OPEN A PIPE

Error 5, "Access is denied", usually has one of the causes below. `pipectl
doctor svc` finds out which one, and prints an ACL that would help. `pipectl
info svc -v` shows the ACL in words, the owner, and the server process of a
pipe.

The ACL (access control list)

The server sets the pipe's ACL. `pipectl serve` grants access to the user that
runs it (`me`), Administrators and SYSTEM, and rejects remote clients. `--allow
users`, `--allow everyone`, an account or a SID grant access to more; `serve`
prints who may connect at the start. A server that sets no ACL gets the default
of Windows: everyone may read, but only the creator, Administrators and SYSTEM
may write, so a client that opens the pipe for both directions is refused.

Elevation (UAC)

An administrator's normal prompt does not count as Administrators: in its
token, that group is deny-only. Therefore:

- `--allow admins` does not give your own prompt access if it is not elevated
  and the server runs as another user.
- The pipe of an elevated `pipectl serve` is open to your normal prompt,
  because `me` has access too.
- Pipes created by an elevated program belong to Administrators. A client can
  check `--expect-user Administrators`.

A program with low integrity level, such as a sandboxed browser process, may
not write to a pipe without an integrity label, regardless of the ACL. `--allow
appcontainer` sets a low integrity label; in your own descriptor (`--allow
sddl:...`), write `S:(ML;;NW;;;LW)`.

Sessions, services and apps

- Pipe names are shared by all sessions of a computer: a program in a Remote
  Desktop session and a service in session 0 can use the same pipe if the ACL
  allows it.
- A service that runs as SYSTEM, LocalService or NetworkService is not the same
  user as you. If `pipectl serve` runs as SYSTEM with its default ACL, only
  SYSTEM and Administrators have access, and your normal prompt gets error 5.
  Use `--allow users`, or name the account.
- A service has neither your drive letters nor your environment variables.
- A Store app (AppContainer) can create only names that begin with `LOCAL\`,
  for processes of the same package (CreateNamedPipe
  (https://learn.microsoft.com/windows/win32/api/namedpipeapi/nf-namedpipeapi-createnamedpipew)).
  It can open other pipes only if they grant access to app packages: `--allow
  appcontainer`.

SSH, WinRM and scheduled tasks

- A program in an SSH or WinRM session on the same computer has the SID NETWORK
  (S-1-5-2) in its token, although it is local. Servers that deny NETWORK, as
  many do, refuse it with error 5. `pipectl serve` does not deny it: it rejects
  remote clients with PIPE_REJECT_REMOTE_CLIENTS instead.
- Such a session cannot use your credentials for a third computer:
  `\\HOST\pipe\svc` fails there with 5 or 1326.
- A scheduled task that runs "whether the user is logged on or not" runs in
  session 0, and with "highest privileges" elevated. It is the same user, so
  `me` includes it.

Other computers

`\\HOST\pipe\NAME` uses SMB (TCP port 445). `pipectl serve` accepts remote
clients only with `--allow-remote`, and the ACL must grant access to the
client's user. `\\localhost\pipe\NAME` counts as remote.
"""
