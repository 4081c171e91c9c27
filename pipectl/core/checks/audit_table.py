"""The rules of `audit` in words: what each one finds, why it matters and how to fix it."""

from typing import NamedTuple


class Rule(NamedTuple):
    """A rule; `severity` describes the severity of its findings, `references` are CWE or ATT&CK IDs."""

    id: str
    title: str
    severity: str
    why: str
    fix: str
    references: tuple[str, ...] = ()


RULES = (
    Rule(
        "P001",
        "The pipe has no ACL",
        "critical if the server is privileged, else high",
        "A NULL DACL lets everyone do everything: connect, change the ACL, and serve clients in the server's place.",
        "Create the pipe with an ACL, such as D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12019b;;;AU).",
        ("CWE-732",),
    ),
    Rule(
        "P002",
        "Many users may change the ACL, take ownership or delete",
        "high",
        "Whoever may change the ACL can grant themselves every other right.",
        "Grant clients 0x12019b (read and write) instead of full control.",
        ("CWE-732",),
    ),
    Rule(
        "P003",
        "Many users may create instances of the pipe",
        "high if the server is privileged, else medium",
        "Whoever may create an instance can receive the next client and reply in the server's name. GENERIC_WRITE, "
        "GENERIC_ALL and full control include this right (FILE_CREATE_PIPE_INSTANCE, 0x4).",
        "Grant clients 0x12019b instead of GENERIC_WRITE, GENERIC_ALL or full control.",
        ("CWE-421", "CWE-923"),
    ),
    Rule(
        "P004",
        "Anonymous users or guests may write",
        "high; medium if only the registry lists the pipe",
        "Nobody has to log on to send data to the server. The registry value NullSessionPipes lists pipes that "
        "anonymous users of other computers can reach. An integrity label may stop them nevertheless.",
        "Remove the entry, and the name from NullSessionPipes.",
        ("CWE-306",),
    ),
    Rule(
        "P005",
        "Other computers can connect",
        "medium if many users may write, else note",
        "Without PIPE_REJECT_REMOTE_CLIENTS, users of other computers can open the pipe over SMB.",
        "Create the pipe with PIPE_REJECT_REMOTE_CLIENTS, or deny NETWORK (S-1-5-2) first in the ACL.",
        ("CWE-668", "T1021.002"),
    ),
    Rule(
        "P006",
        "Users may write to a privileged server",
        "low",
        "This is attack surface, not a flaw: an error in how the server handles requests can give a user its rights.",
        "Grant access only to the users that need it, and check each request.",
        ("CWE-668",),
    ),
    Rule(
        "P007",
        "Sandboxed programs may write to a privileged server",
        "medium",
        "AppContainers and programs of low integrity are isolated because they handle untrusted data; this pipe is a "
        "way out.",
        "Remove the entries for app packages and the low integrity label, or serve such clients from a process with "
        "few rights.",
        ("CWE-653",),
    ),
    Rule(
        "P008",
        "Different programs or users serve the same name",
        "high",
        "A client cannot choose which server it gets. The second one may have claimed the name to intercept clients.",
        "Create the first instance with FILE_FLAG_FIRST_PIPE_INSTANCE, and let clients check the server "
        "(--expect-user, --expect-exe).",
        ("CWE-421", "CWE-923"),
    ),
    Rule(
        "P009",
        "The owner is not the server's user or the system",
        "medium",
        "The owner of a pipe may always change its ACL, unless an entry for Owner Rights says otherwise.",
        "Create the first instance in the server itself, or set the owner in its security descriptor.",
        ("CWE-283", "CWE-708"),
    ),
    Rule(
        "P010",
        "An unexpected program serves a well-known name",
        "high",
        "Clients of this name trust the program that usually serves it.",
        "Find out what the program is, and why it runs: pipectl who PIPE.",
        ("CWE-923",),
    ),
    Rule(
        "P011",
        "The pipe has the default ACL",
        "note",
        "By default everyone, and anonymous users, may open a pipe to read. They can take its instances and receive "
        "what the server sends.",
        "Create the pipe with an ACL of its own.",
        ("CWE-1188",),
    ),
    Rule(
        "P012",
        "Many users can take all instances",
        "low",
        "A program that keeps all instances open keeps other clients out.",
        "Allow more instances, and disconnect clients that send nothing.",
        ("CWE-410",),
    ),
    Rule(
        "P013",
        "A server that can impersonate accepts many users",
        "note",
        "Clients that do not limit the impersonation level lend the server their rights.",
        "Let clients open the pipe with SECURITY_IDENTIFICATION; pipectl does.",
        ("T1134.001",),
    ),
    Rule(
        "P014",
        "A deny entry comes after the entry that it should limit",
        "low",
        "An ACL is read from the first entry to the last, and the first that names a right decides.",
        "Move deny entries to the front.",
        ("CWE-732",),
    ),
    Rule(
        "P015",
        "An entry names an account that does not exist",
        "note",
        "The account was deleted, or its domain cannot be reached.",
        "Remove the entry.",
    ),
    Rule(
        "P016",
        "The name was free for a moment",
        "medium if the server is privileged, else low",
        "Between two instances, another program could have claimed the name.",
        "Create the next instance before the last one is closed.",
        ("CWE-421",),
    ),
)

BY_ID = {rule.id: rule for rule in RULES}


# The titles of the pages that the rules refer to.
_TITLES = {
    "CWE-283": "Unverified Ownership",
    "CWE-306": "Missing Authentication for Critical Function",
    "CWE-410": "Insufficient Resource Pool",
    "CWE-421": "Race Condition During Access to Alternate Channel",
    "CWE-653": "Improper Isolation or Compartmentalization",
    "CWE-668": "Exposure of Resource to Wrong Sphere",
    "CWE-708": "Incorrect Ownership Assignment",
    "CWE-732": "Incorrect Permission Assignment for Critical Resource",
    "CWE-923": "Improper Restriction of Communication Channel to Intended Endpoints",
    "CWE-1188": "Initialization of a Resource with an Insecure Default",
    "T1021.002": "Remote Services: SMB/Windows Admin Shares",
    "T1134.001": "Access Token Manipulation: Token Impersonation/Theft",
}


def explained(rule: Rule) -> list[str]:
    """Return the explanation of a rule as paragraphs."""
    paragraphs = [f"{rule.id}  {rule.title}", f"Severity: {rule.severity}.", rule.why, f"Fix: {rule.fix}"]
    return [*paragraphs, *(f"{title(reference)}: {link(reference)}" for reference in rule.references)]


def title(reference: str) -> str:
    """Return a reference with the title of its page."""
    return f"{reference} {_TITLES[reference]}"


def link(reference: str) -> str:
    """Return the URL of the page about a CWE or an ATT&CK technique."""
    kind, _, number = reference.partition("-")
    if kind == "CWE":
        return f"https://cwe.mitre.org/data/definitions/{number}.html"
    return f"https://attack.mitre.org/techniques/{reference.replace('.', '/')}/"
