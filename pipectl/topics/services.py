"""`pipectl help services`. Written by scripts/gen_docs.py: change docs/services.md instead."""

TEXT = r"""RUN A SERVER IN THE BACKGROUND

`pipectl serve` is a console program, not a Windows service: the service
control manager cannot start it. There are two ways to keep it running without
a window:

A scheduled task

In an elevated PowerShell:

    $run = New-ScheduledTaskAction -Execute C:\tools\pipectl\pipectl.exe -Argument 'serve svc --reply pong --allow users -q --log-file C:\logs\svc.log'
    $start = New-ScheduledTaskTrigger -AtStartup
    $forever = New-ScheduledTaskSettingsSet -ExecutionTimeLimit 0 -AllowStartIfOnBatteries -RestartCount 3 -RestartInterval 0:1
    Register-ScheduledTask pipectl-svc -Action $run -Trigger $start -Settings $forever -User SYSTEM
    Start-ScheduledTask pipectl-svc

Without `-ExecutionTimeLimit 0`, Windows stops a task after three days.

A service wrapper

Programs such as WinSW (https://github.com/winsw/winsw) and NSSM
(https://nssm.cc) are services that run a console program. Give them the full
path and the arguments as above; they restart it if it fails, and save its
output to a file.

What to know

- Who may connect. A server that runs as SYSTEM accepts only SYSTEM and
  Administrators by default: use `--allow users`, or name an account. See
  access.
- Which build. Use the folder build (`pipectl-x64.zip`). The single exe unpacks
  itself into `TEMP` at each start.
- Log. `--log-file C:\logs\svc.log` appends one line with date and time per
  event, or one JSON object with `--json`. `--log clients` omits the messages.
  The stderr of a task is not saved; `-q` reduces it to warnings and errors.
- When it exits. Only with `--once`, `--count`, `--messages` or
  `--idle-timeout`. Stopping the task kills the process, and replies in
  progress are lost.
- When it is ready. `pipectl wait svc --for exists --timeout 30` exits with
  code 0 as soon as the pipe exists.
- If the name is in use. If another process serves the name, pipectl exits with
  code 5; it does not share the name.

These settings have not yet been run on Windows.
"""
