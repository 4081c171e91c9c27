"""`pipectl decode`: shows a recording, or bytes, decoded as in `tap`, or writes it in another form."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from pipectl.options import Option, option, with_examples
from pipectl.options.payload import ViewOptions
from pipectl.options.record import (
    SHOWN,
    DecodeOptions,
    export,
    full_option,
    load,
    show_option,
    timing_option,
)
from pipectl.options.types import FILE
from pipectl.output import Output, View

_FORMS = ("pcapng", "html", "jsonl")


class ExportOptions(NamedTuple):
    """The form and the file that a recording is written to."""

    form: str = ""
    path: str = ""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--to`."""
        return [
            Option(
                ["--to"],
                metavar="FORM:OUT",
                section="Export",
                help="Write to the new file OUT instead: pcapng for Wireshark, html as one page for a bug report, or "
                "jsonl as a recording again, with what is masked now.",
            )
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "ExportOptions":
        """Return the form and the file; raises UsageError for an unknown form."""
        if params["to"] is None:
            return cls()
        form, _, path = params["to"].partition(":")
        if form not in _FORMS or not path:
            raise click.UsageError(f"`--to {params['to']}`: use FORM:OUT, where FORM is {', '.join(_FORMS)}")
        return cls(form, path)


@with_examples(
    ("pipectl decode svc.jsonl", "Show what was recorded, decoded."),
    ("pipectl decode svc.jsonl --to html:svc.html", "Write a page that can be attached to a bug report."),
    ("pipectl decode svc.jsonl --to pcapng:svc.pcapng", "Write packets that Wireshark opens."),
    groups={"decoding": DecodeOptions, "exported": ExportOptions, "view": ViewOptions},
)
@click.argument("file", type=FILE)
@show_option
@option("--client", type=click.IntRange(1), metavar="N", section=SHOWN, help="Show only this client.")
@option(
    "--from",
    "side",
    type=click.Choice(["client", "server"]),
    section=SHOWN,
    help="Show only what this side has sent; of bytes that are no recording, who has sent them: client, if not said.",
)
@full_option
@timing_option
@click.pass_obj
def command(
    output: Output,
    /,
    file: str,
    decoding: DecodeOptions,
    exported: ExportOptions,
    view: View,
    show: tuple[str, ...],
    client: int | None,
    side: str | None,
    full: bool,
    timing: bool,
) -> None:
    """Show a recording decoded, or write it as HTML or for Wireshark.

    Reads FILE, or stdin for `-`, and opens no pipe. A file that is no recording is taken for bytes that one side has
    sent. Lines of a recording that cannot be used, such as one that is cut off, are passed over with a warning.
    """
    from pipectl.core.recording.conversation import Conversations
    from pipectl.core.recording.recording import Said
    from pipectl.output.frames import FrameView, Story, Wanted

    recording = load(file, side)
    for warning in recording.warnings:
        output.warning(warning)
    header = recording.header
    conversations = Conversations(decoding.chooser(header.target or header.pipe, header.codec), decoding.mask)
    parts = conversations.replay(recording)
    if exported.form:
        first = next((event for event in recording.events if isinstance(event, Said) and event.data), None)
        export(*exported, header, first, decoding, parts)
        return
    if output.is_json:
        output.data.event(header.to_json(), "")
    story = Story(FrameView(view, full), Wanted(show, client, side), is_message=header.is_message)
    for part in parts:
        shown = story.shown(part)
        if shown is not None:
            output.data.event(shown.record() if output.is_json else {}, "" if output.is_json else shown.line())
    if timing:
        output.data.records(story.times(), ("request", "replies", "median", "longest"))
