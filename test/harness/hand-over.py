# Opens listening sockets, starts a program with them as systemd does (sd_listen_fds(3)), and starts it again for every
# line on its stdin, so that a test can end and restart it while the sockets stay. Arguments: names, program, arguments.
import os, signal, socket, sys

names, command = sys.argv[1].split(":"), sys.argv[2:]
listening = []
for _ in names:
    each = socket.socket()
    each.bind(("127.0.0.1", 0))
    each.listen(512)
    listening.append(each)
print("ports " + " ".join(str(each.getsockname()[1]) for each in listening), flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        high = [os.dup2(each.fileno(), 100 + at) for at, each in enumerate(listening)]
        for at, each in enumerate(high):
            os.dup2(each, 3 + at)
            os.set_inheritable(3 + at, True)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
        os.execvp(command[0], command)
    print("started %d" % child, flush=True)
    _, status = os.waitpid(child, 0)
    print("ended %d" % os.waitstatus_to_exitcode(status), flush=True)
