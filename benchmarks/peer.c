/* The C program that everything is compared with: overlapped I/O, and one completion port where there are many pipes.
 *
 *   peer server PIPE BUFFER    echoes messages; those to PIPE-sink it only reads
 *   peer relay PIPE TARGET     passes messages on, from each client of PIPE to its own connection to TARGET, and back
 *   peer client PIPE           reads "WORK COUNT" lines, does the work COUNT times, prints the seconds it took
 *   peer load PIPE CLIENTS     reads "COUNT" lines, has COUNT messages of 64 bytes echoed over CLIENTS connections at once
 */
#define _WIN32_WINNT 0x0600
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

enum { SMALL = 64, CHUNK = 65536, LARGE = 1 << 20, BATCH = 64 };

static void fail(const char *what)
{
    fprintf(stderr, "%s: %lu\n", what, GetLastError());
    ExitProcess(1);
}

static double now(void)
{
    static LARGE_INTEGER frequency;
    LARGE_INTEGER count;
    if (!frequency.QuadPart)
        QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    return (double)count.QuadPart / frequency.QuadPart;
}

static HANDLE open_pipe(const char *pipe, DWORD patience)
{
    DWORD mode = PIPE_READMODE_MESSAGE;
    for (;;) {
        HANDLE handle = CreateFileA(pipe, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                                    FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
        if (handle != INVALID_HANDLE_VALUE) {
            if (!SetNamedPipeHandleState(handle, &mode, NULL, NULL) && GetLastError() != ERROR_INVALID_PARAMETER)
                fail("SetNamedPipeHandleState");
            return handle;
        }
        if (GetLastError() == ERROR_PIPE_BUSY)
            WaitNamedPipeA(pipe, 100);
        else if (!patience--)
            fail("CreateFile");
        else
            Sleep(10);
    }
}

/* The server */

typedef struct {
    OVERLAPPED operation; /* the wait for a client, a read or a write: one at a time */
    HANDLE pipe;
    enum { LISTENING, READING, WRITING } doing;
    BOOL is_sink;
    char *buffer;
    DWORD size, used;
} Instance;

static HANDLE port;

static void listen_again(const char *name, BOOL is_sink, DWORD buffer)
{
    Instance *it = calloc(1, sizeof *it);
    it->buffer = malloc(it->size = CHUNK);
    it->is_sink = is_sink;
    it->pipe = CreateNamedPipeA(name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
                                PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_REJECT_REMOTE_CLIENTS,
                                PIPE_UNLIMITED_INSTANCES, buffer, buffer, 0, NULL);
    if (it->pipe == INVALID_HANDLE_VALUE || !CreateIoCompletionPort(it->pipe, port, (ULONG_PTR)it, 0))
        fail("CreateNamedPipe");
    if (!ConnectNamedPipe(it->pipe, &it->operation) && GetLastError() == ERROR_PIPE_CONNECTED)
        PostQueuedCompletionStatus(port, 0, (ULONG_PTR)it, &it->operation);
}

static void leave(Instance *it)
{
    CloseHandle(it->pipe);
    free(it->buffer);
    free(it);
}

static void read_on(Instance *it)
{
    it->doing = READING;
    if (!ReadFile(it->pipe, it->buffer + it->used, it->size - it->used, NULL, &it->operation)
        && GetLastError() != ERROR_IO_PENDING && GetLastError() != ERROR_MORE_DATA)
        leave(it);
}

static void was_read(Instance *it, DWORD count, BOOL is_whole)
{
    DWORD left;
    it->used += count;
    if (!is_whole) {
        PeekNamedPipe(it->pipe, NULL, 0, NULL, NULL, &left);
        it->buffer = realloc(it->buffer, it->size = it->used + left);
        read_on(it);
    } else if (it->is_sink) {
        it->used = 0;
        read_on(it);
    } else {
        it->doing = WRITING;
        if (!WriteFile(it->pipe, it->buffer, it->used, NULL, &it->operation) && GetLastError() != ERROR_IO_PENDING)
            leave(it);
    }
}

static void serve(const char *pipe, DWORD buffer)
{
    char sink[256];
    snprintf(sink, sizeof sink, "%s-sink", pipe);
    port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
    for (int spare = 0; spare < 4; spare++) {
        listen_again(pipe, FALSE, buffer);
        listen_again(sink, TRUE, buffer);
    }
    for (;;) {
        OVERLAPPED_ENTRY entries[BATCH];
        ULONG taken;
        if (!GetQueuedCompletionStatusEx(port, entries, BATCH, &taken, INFINITE, FALSE))
            fail("GetQueuedCompletionStatusEx");
        for (ULONG index = 0; index < taken; index++) {
            Instance *it = (Instance *)entries[index].lpCompletionKey;
            LONG status = (LONG)it->operation.Internal;
            DWORD count = entries[index].dwNumberOfBytesTransferred;
            BOOL more = status == (LONG)0x80000005; /* STATUS_BUFFER_OVERFLOW */
            if (status < 0 && !more) {
                leave(it);
            } else if (it->doing == READING) {
                was_read(it, count, !more);
            } else {
                if (it->doing == LISTENING)
                    listen_again(it->is_sink ? sink : pipe, it->is_sink, buffer);
                it->used = 0;
                read_on(it);
            }
        }
    }
}

/* The relay */

struct Pair;

typedef struct {
    OVERLAPPED operation; /* the wait for a client, a read or a write: one at a time */
    struct Pair *pair;
    HANDLE source, sink;
    enum { AWAITING, TAKING, GIVING } doing;
    char data[CHUNK];
} Direction;

typedef struct Pair {
    Direction there, back;
    const char *name, *target;
    BOOL is_closed;
    int ended;
} Pair;

static void watch_here(HANDLE handle)
{
    if (!CreateIoCompletionPort(handle, port, 0, 0)
        || !SetFileCompletionNotificationModes(handle, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS))
        fail("CreateIoCompletionPort");
}

static void await_client(const char *name, const char *target)
{
    Pair *pair = calloc(1, sizeof *pair);
    pair->name = name;
    pair->target = target;
    pair->there.pair = pair->back.pair = pair;
    pair->there.source = CreateNamedPipeA(name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
                                          PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_REJECT_REMOTE_CLIENTS,
                                          PIPE_UNLIMITED_INSTANCES, CHUNK, CHUNK, 0, NULL);
    if (pair->there.source == INVALID_HANDLE_VALUE)
        fail("CreateNamedPipe");
    watch_here(pair->there.source);
    if (!ConnectNamedPipe(pair->there.source, &pair->there.operation) && GetLastError() == ERROR_PIPE_CONNECTED)
        PostQueuedCompletionStatus(port, 0, 0, &pair->there.operation);
}

static void end(Pair *pair)
{
    if (!pair->is_closed) {
        pair->is_closed = TRUE;
        CloseHandle(pair->there.source);
        CloseHandle(pair->there.sink);
    }
    if (++pair->ended == 2)
        free(pair);
}

/* Begin to read, and pass on what is there at once; a packet tells of the rest. */
static void pass_on(Direction *it, DWORD count)
{
    for (;;) {
        if (it->doing == TAKING) {
            it->doing = GIVING;
            if (!WriteFile(it->sink, it->data, count, NULL, &it->operation))
                break;
        } else {
            it->doing = TAKING;
            if (!ReadFile(it->source, it->data, CHUNK, &count, &it->operation))
                break;
        }
    }
    if (GetLastError() != ERROR_IO_PENDING)
        end(it->pair);
}

static void client_came(Pair *pair)
{
    await_client(pair->name, pair->target);
    pair->there.sink = pair->back.source = open_pipe(pair->target, 0);
    pair->back.sink = pair->there.source;
    watch_here(pair->there.sink);
    pass_on(&pair->there, 0);
    pass_on(&pair->back, 0);
}

static void relay(const char *pipe, const char *target)
{
    char sink[256], target_sink[256];
    snprintf(sink, sizeof sink, "%s-sink", pipe);
    snprintf(target_sink, sizeof target_sink, "%s-sink", target);
    port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
    for (int spare = 0; spare < 4; spare++) {
        await_client(pipe, target);
        await_client(sink, target_sink);
    }
    for (;;) {
        DWORD count;
        ULONG_PTR key;
        OVERLAPPED *operation;
        BOOL done = GetQueuedCompletionStatus(port, &count, &key, &operation, INFINITE);
        Direction *it = (Direction *)operation;
        if (!it)
            fail("GetQueuedCompletionStatus");
        if (!done)
            end(it->pair);
        else if (!it->pair->there.sink)
            client_came(it->pair);
        else
            pass_on(it, count);
    }
}

/* The client */

static HANDLE event;
static char data[LARGE], answer[LARGE];

static DWORD finish(HANDLE pipe, BOOL done, OVERLAPPED *operation)
{
    DWORD count;
    if (!done && GetLastError() != ERROR_IO_PENDING && GetLastError() != ERROR_MORE_DATA)
        fail("start");
    if (!GetOverlappedResult(pipe, operation, &count, TRUE) && GetLastError() != ERROR_MORE_DATA)
        fail("GetOverlappedResult");
    return count;
}

/* Internal is preset because Wine's TransactNamedPipe leaves it alone. */
#define OPERATION {.hEvent = event, .Internal = STATUS_PENDING}

static void transact(HANDLE pipe)
{
    OVERLAPPED operation = OPERATION;
    BOOL done = TransactNamedPipe(pipe, data, SMALL, answer, CHUNK, NULL, &operation);
    if (finish(pipe, done, &operation) != SMALL)
        fail("transact");
}

static void send_bytes(HANDLE pipe, DWORD size)
{
    OVERLAPPED operation = OPERATION;
    BOOL done = WriteFile(pipe, data, size, NULL, &operation);
    if (finish(pipe, done, &operation) != size)
        fail("WriteFile");
}

static void receive_bytes(HANDLE pipe, DWORD size)
{
    OVERLAPPED operation = OPERATION;
    BOOL done = ReadFile(pipe, answer, size > CHUNK ? LARGE : CHUNK, NULL, &operation);
    if (finish(pipe, done, &operation) != size)
        fail("ReadFile");
}

static void work(const char *name, int count, const char *pipe, HANDLE echo, HANDLE sink)
{
    static const struct {
        const char *name;
        DWORD size;
    } exchanges[] = {{"write_read_64", SMALL}, {"write_read_64k", CHUNK}, {"write_read_1m", LARGE}};
    while (count--) {
        if (!strcmp(name, "transact_64")) {
            transact(echo);
        } else if (!strcmp(name, "open_transact_close")) {
            HANDLE own = open_pipe(pipe, 0);
            transact(own);
            CloseHandle(own);
        } else if (!strcmp(name, "write_64k")) {
            send_bytes(sink, CHUNK);
        } else {
            for (int index = 0; index < 3; index++)
                if (!strcmp(name, exchanges[index].name)) {
                    send_bytes(echo, exchanges[index].size);
                    receive_bytes(echo, exchanges[index].size);
                }
        }
    }
}

static void client(const char *pipe)
{
    char sink[256], name[64];
    int count;
    snprintf(sink, sizeof sink, "%s-sink", pipe);
    event = CreateEvent(NULL, TRUE, FALSE, NULL);
    HANDLE echo_end = open_pipe(pipe, 1000), sink_end = open_pipe(sink, 1000);
    while (scanf("%63s %d", name, &count) == 2) {
        double begun = now();
        work(name, count, pipe, echo_end, sink_end);
        printf("%.9f\n", now() - begun);
        fflush(stdout);
    }
}

/* Many clients at once */

typedef struct {
    OVERLAPPED reading, writing;
    HANDLE pipe;
    char answer[SMALL];
} Connection;

static void ask(Connection *it)
{
    if (!WriteFile(it->pipe, data, SMALL, NULL, &it->writing) && GetLastError() != ERROR_IO_PENDING)
        fail("WriteFile");
    if (!ReadFile(it->pipe, it->answer, SMALL, NULL, &it->reading) && GetLastError() != ERROR_IO_PENDING)
        fail("ReadFile");
}

static void load(const char *pipe, int clients)
{
    Connection *all = calloc(clients, sizeof *all);
    int count;
    port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
    for (int index = 0; index < clients; index++) {
        all[index].pipe = open_pipe(pipe, 1000);
        CreateIoCompletionPort(all[index].pipe, port, (ULONG_PTR)&all[index], 0);
    }
    printf("ready\n");
    fflush(stdout);
    while (scanf("%d", &count) == 1) {
        double begun = now();
        int asked = 0, answered = 0, written = 0;
        for (; asked < clients && asked < count; asked++)
            ask(&all[asked]);
        while (answered < count || written < count) {
            OVERLAPPED_ENTRY entries[BATCH];
            ULONG taken;
            if (!GetQueuedCompletionStatusEx(port, entries, BATCH, &taken, 20000, FALSE))
                fail("GetQueuedCompletionStatusEx");
            for (ULONG index = 0; index < taken; index++) {
                Connection *it = (Connection *)entries[index].lpCompletionKey;
                if (entries[index].lpOverlapped == &it->writing) {
                    written++;
                    continue;
                }
                if (entries[index].dwNumberOfBytesTransferred != SMALL)
                    fail("echo");
                answered++;
                if (asked < count) {
                    asked++;
                    ask(it);
                }
            }
        }
        printf("%.9f\n", now() - begun);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "server"))
        serve(argv[2], atoi(argv[3]));
    else if (argc == 4 && !strcmp(argv[1], "relay"))
        relay(argv[2], argv[3]);
    else if (argc == 3 && !strcmp(argv[1], "client"))
        client(argv[2]);
    else if (argc == 4 && !strcmp(argv[1], "load"))
        load(argv[2], atoi(argv[3]));
    else
        return 2;
    return 0;
}
