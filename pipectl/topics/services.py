"""`pipectl help services`. Written by scripts/gen_docs.py: change docs/services.md instead."""

TEXT = r"""RUN A SERVER IN THE BACKGROUND

`pipectl serve` is a console program and not a Windows service: the service
control manager cannot start it. Two ways to keep it running without a window:

A scheduled task

In an elevated PowerShell:

    $run = New-ScheduledTaskAction -Execute C:\tools\pipectl\pipectl.exe -Argument 'serve svc --reply pong --allow users -q --log-file C:\logs\svc.log'
    $start = New-ScheduledTaskTrigger -AtStartup
    $forever = New-ScheduledTaskSettingsSet -ExecutionTimeLimit 0 -AllowStartIfOnBatteries -RestartCount 3 -RestartInterval 0:1
    Register-ScheduledTask pipectl-svc -Action $run -Trigger $start -Settings $forever -User SYSTEM
    Start-ScheduledTask pipectl-svc

Without `-ExecutionTimeLimit 0`, Windows ends a task after three days.

A service wrapper

Programs such as WinSW (https://github.com/winsw/winsw) and NSSM
(https://nssm.cc) are services that start a console program. Give them the full
path and the arguments as above; they restart it, and keep its output in a
file.

What to know

- Who may connect. A server that runs as SYSTEM lets in SYSTEM and
  Administrators only: say `--allow users`, or an account. See access.
- Which build. Use the folder build (`pipectl-x64.zip`). The single exe unpacks
  itself into `TEMP` at each start.
- Log. `--log-file C:\logs\svc.log` appends a dated line for each event to a
  file, with `--json` an object. `--log clients` leaves out the messages.
  Nobody sees what a task writes to stderr; `-q` reduces that to warnings and
  errors.
- When it ends. Never by itself, unless `--once`, `--count`, `--messages` or
  `--idle-timeout` say so. Stopping the task ends the process at once, and
  answers under way are lost.
- When it is ready. `pipectl wait svc --for exists --timeout 30` ends with exit
  code 0 as soon as the pipe exists.
- A name that is taken. If another process serves the name, pipectl ends with
  exit code 5 and does not share it.

These settings have not been tried on Windows yet.
"""
