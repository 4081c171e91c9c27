"""The edits to server/named_pipe.c that make Wine's server as strict as NT about named pipes, in our own words.

Each edit has its rules, the function or structure that it changes, a few words that mark the place, and the text to
insert before or after them or instead of them. The rules are numbered:

N1   An instance counts until both of its ends are closed. Only DisconnectNamedPipe frees it earlier.
N2   A pipe without servers still exists for WaitNamedPipe while a client has its end open; it cannot be opened.
N4   An open checks the ACL first, then the direction of the pipe, and then for a listening instance.
N5   A further instance needs FILE_CREATE_PIPE_INSTANCE in the ACL of the first one.
N6   SetNamedPipeHandleState needs FILE_WRITE_ATTRIBUTES.
N7   A name that continues the name of a pipe after a backslash is invalid while that pipe exists.
N19  A client gets the oldest listening instance, even if that instance was used before.
N21  WriteQuotaAvailable is the quota of that direction minus unread data and minus the size of a pending read.

Unless an edit names another source, they are from NPFS in ReactOS, which is modeled on Microsoft's: the functions named
here are in drivers/filesystems/npfs.
"""

from typing import Literal, NamedTuple


class Edit(NamedTuple):
    """A change at one place; the words that mark it are compared without white space."""

    rules: str
    inside: str
    where: Literal["before", "after", "instead of"]
    words: str
    text: str


# The claim of `pipectl selftest` that checks each rule on Windows.
CLAIMS = {
    "N1": "W32",
    "N2": "W33",
    "N4": "W09",
    "N5": "W35",
    "N6": "W36",
    "N7": "W37",
    "N19": "W49",
    "N21": "W50",
}

# An edit with these words is inserted before the whole function.
WHOLE = ""

EDITS = (
    # NpDeleteCcb (strucsup.c) decrements the number of instances, and NpSetClosingPipeState (statesup.c) calls it when
    # the second end closes. Here, the client's end takes over the instance from the server's end.
    Edit(
        "N1",
        "struct pipe_end",
        "before",
        "struct fd *fd;",
        """
    int keeps_instance;          /* the server's end is gone, and this one still counts as the instance */
""",
    ),
    Edit("N1", "init_pipe_end", "after", "pipe_end->fd = NULL;", "pipe_end->keeps_instance = 0;"),
    Edit(
        "N1, N2",
        "pipe_server_destroy",
        "instead of",
        "if (!--pipe->instances) unlink_named_object( &pipe->obj );",
        """
    pipe->servers--;
    if (server->pipe_end.connection) server->pipe_end.connection->keeps_instance = 1;
    else leave_instance( pipe );
""",
    ),
    Edit(
        "N1",
        "pipe_end_destroy",
        "before",
        WHOLE,
        """
/* N1: the name goes with the last instance */
static void leave_instance( struct named_pipe *pipe )
{
    if (--pipe->instances) return;
    unlink_named_object( &pipe->obj );
}
""",
    ),
    Edit(
        "N1",
        "pipe_end_destroy",
        "before",
        "if (pipe_end->pipe) release_object( pipe_end->pipe );",
        "if (pipe_end->keeps_instance) leave_instance( pipe_end->pipe );",
    ),
    # ServerOpenCount in NpFsdCreate (create.c).
    Edit("N2", "struct named_pipe", "before", "int message_mode;", "unsigned int servers; /* server ends */"),
    Edit("N2", "create_named_pipe", "before", "pipe->instances = 0;", "pipe->servers = 0;"),
    Edit("N2", "create_named_pipe", "before", "pipe->instances++;", "pipe->servers++;"),
    Edit(
        "N2",
        "named_pipe_open_file",
        "before",
        "if (list_empty( &pipe->listeners ))",
        """
    if (!pipe->servers)
    {
        set_error( STATUS_OBJECT_NAME_NOT_FOUND );
        return NULL;
    }
    if (!may_open( pipe, access )) return NULL;
""",
    ),
    # NpCreateClientEnd (create.c). It ignores FILE_CREATE_PIPE_INSTANCE, which GENERIC_WRITE includes, so that an ACL
    # need not allow a client to create instances.
    Edit(
        "N4",
        "named_pipe_open_file",
        "before",
        WHOLE,
        """
/* N4: what is asked of an open before it gets an instance */
static int may_open( struct named_pipe *pipe, unsigned int access )
{
    access = named_pipe_map_access( &pipe->obj, access ) & ~FILE_CREATE_PIPE_INSTANCE;
    if (access && !check_object_access( NULL, &pipe->obj, &access )) return 0;

    if (((access & FILE_READ_DATA) && !(pipe->sharing & FILE_SHARE_READ)) ||
        ((access & FILE_WRITE_DATA) && !(pipe->sharing & FILE_SHARE_WRITE)))
    {
        set_error( STATUS_ACCESS_DENIED );
        return 0;
    }
    return 1;
}
""",
    ),
    # IoGetFileObjectGenericMapping: generic rights in an ACL are mapped to those of files.
    Edit(
        "N4, N5",
        "named_pipe_map_access",
        "before",
        "if (access & GENERIC_READ)",
        "access = map_access( access, &file_type.mapping );",
    ),
    # NpCreateExistingNamedPipe (create.c).
    Edit(
        "N5",
        "create_named_pipe",
        "before",
        "if (pipe->maxinstances <= pipe->instances)",
        """
        unsigned int access = named_pipe_map_access( &pipe->obj, req->access ) | FILE_CREATE_PIPE_INSTANCE;

        if (!check_object_access( NULL, &pipe->obj, &access ))
        {
            release_object( pipe );
            return;
        }
""",
    ),
    # The I/O manager requires this for FilePipeInformation: IopSetOperationAccess in ReactOS' ntoskrnl/io/iomgr/util.c.
    Edit("N6", "set_named_pipe_info", "instead of", "0, &pipe_client_ops", "FILE_WRITE_ATTRIBUTES, &pipe_client_ops"),
    # NpFsdCreate and NpFsdCreateNamedPipe (create.c); Microsoft's knowledge base, Q100291.
    Edit(
        "N7",
        "named_pipe_device_lookup_name",
        "before",
        WHOLE,
        """
/* N7: tell whether a part of a name, up to a backslash, is the name of a pipe */
static int continues_name_of_pipe( struct namespace *pipes, const struct unicode_str *name, unsigned int attr )
{
    struct unicode_str part = *name;
    struct object *pipe;

    for (part.len = 0; part.len < name->len; part.len += sizeof(WCHAR))
    {
        if (part.str[part.len / sizeof(WCHAR)] != '\\\\') continue;
        if (!(pipe = find_object( pipes, &part, attr ))) continue;
        release_object( pipe );
        return 1;
    }
    return 0;
}
""",
    ),
    Edit(
        "N7",
        "named_pipe_device_lookup_name",
        "before",
        "return found;",
        """
    if (!found && continues_name_of_pipe( device->pipes, name, attr | OBJ_CASE_INSENSITIVE ))
        set_error( STATUS_OBJECT_NAME_INVALID );
""",
    ),
    # NpCreateClientEnd (create.c) searches the list of instances, which is in the order of their creation.
    Edit(
        "N19", "struct pipe_server", "after", "struct list entry;", "unsigned int age; /* which one it was created */"
    ),
    Edit(
        "N19",
        "create_pipe_server",
        "before",
        "server->options = options;",
        """
    static unsigned int created;

    server->age = created++;
""",
    ),
    Edit(
        "N19",
        "pipe_server_ioctl",
        "before",
        WHOLE,
        """
/* N19: listen again, before all that were created later */
static void listen_again( struct pipe_server *server )
{
    struct list *listeners = &server->pipe_end.pipe->listeners;
    struct pipe_server *other;

    LIST_FOR_EACH_ENTRY( other, listeners, struct pipe_server, entry )
    {
        if (other->age < server->age) continue;
        list_add_before( &other->entry, &server->entry );
        return;
    }
    list_add_tail( listeners, &server->entry );
}
""",
    ),
    Edit(
        "N19",
        "pipe_server_ioctl",
        "instead of",
        "list_add_tail( &server->pipe_end.pipe->listeners, &server->entry );",
        "listen_again( server );",
    ),
    # NpQueryPipeLocalInfo (fileinfo.c), with the quota that NpAddDataQueueEntry (datasup.c) charges for data and reads.
    Edit(
        "N21",
        "pipe_end_get_file_info",
        "before",
        WHOLE,
        """
/* N21: the quota of what this end writes, less what uses it */
static data_size_t write_quota_available( struct pipe_end *pipe_end )
{
    struct pipe_end *reader = pipe_end->connection;
    int is_server = pipe_end->obj.ops == &pipe_server_ops;
    data_size_t quota = is_server ? pipe_end->pipe->outsize : pipe_end->pipe->insize;
    data_size_t used = 0;
    struct pipe_message *message;
    struct async *async;

    if (!reader) return quota;
    LIST_FOR_EACH_ENTRY( message, &reader->message_queue, struct pipe_message, entry )
        used += message->iosb->in_size - message->read_pos;
    if ((async = find_pending_async( &reader->read_q )))
    {
        struct iosb *iosb = async_get_iosb( async );
        used += iosb->out_size;
        release_object( iosb );
        release_object( async );
    }
    return quota - min( quota, used );
}
""",
    ),
    Edit(
        "N21",
        "pipe_end_get_file_info",
        "instead of",
        "pipe_info->WriteQuotaAvailable = 0;",
        "pipe_info->WriteQuotaAvailable = write_quota_available( pipe_end );",
    ),
)
