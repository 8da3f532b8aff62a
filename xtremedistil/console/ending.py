"""How a command ends: its exit code, and what is said where it could not do its work.

Exit codes: 0 done; 1 a fault of ours (traceback); 2 something to mend in what was given, or in the system's files;
130 interrupted (Ctrl-C); 143 terminated (SIGTERM).
"""

import errno
import sys
from collections.abc import Callable

from xtremedistil.console.sigterm import TERMINATED
from xtremedistil.console.streams import say
from xtremedistil.errors import InputError, first_line

INTERRUPTED = 130
GOES_ON = "; the same command goes on from where it was last saved"

ROOM = "Make room, and give the same command again."
ADVICE = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EACCES: "Get the right to it, or name another place.",
    errno.EPERM: "Get the right to it, or name another place.",
    errno.EROFS: "Name a place that can be written to.",
    errno.ENOENT: "Name what is there.",
    errno.EISDIR: "This is a folder; name a file.",
    errno.ENOTDIR: "A file stands where a folder is expected; name another place, or move the file away.",
    errno.ELOOP: "Its symbolic links lead in a circle; name the file itself.",
    errno.ENAMETOOLONG: "Give a shorter name.",
    errno.EMFILE: "Let this process open more files (ulimit -n), and give the same command again.",
    errno.EIO: "The disk or the network has a fault; see to it, and give the same command again.",
}
OTHERWISE = "See to it, and give the same command again."


def exit_code(work: Callable[[], None], worded: Callable[[str], str] = str, *, resumes: bool = False) -> int:
    """Runs the work of a command; returns its exit code, and says in a sentence why it could not be done.

    Args:
        worded: a message of an `InputError` in the words of the command line.
        resumes: whether the same command goes on where it was stopped.
    """
    goes_on = GOES_ON if resumes else ""
    try:
        work()
        sys.stdout.flush()
        return 0
    except InputError as error:
        say(f"xtremedistil: {worded(str(error))}")
    except UnicodeEncodeError as error:
        say(f"xtremedistil: {_of_locale(error)}")
    except OSError as error:
        say(f"xtremedistil: {in_a_sentence(error)}")
    except KeyboardInterrupt:
        say(f"\nxtremedistil: interrupted{goes_on}.")
        return INTERRUPTED
    except SystemExit as end:
        if end.code != TERMINATED:
            raise
        say(f"xtremedistil: terminated{goes_on}.")
        return TERMINATED
    return 2


def _of_locale(error: UnicodeEncodeError) -> str:
    """On a name or text that has characters which the locale lacks."""
    return f"{error.object!a} cannot be written in this locale ({error.encoding}). Set LC_ALL=C.UTF-8."


def in_a_sentence(error: OSError) -> str:
    """What the system says of a file, and what to do about it."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = f"{' -> '.join(names)}: " if names else ""
    what = error.strerror or first_line(error) or type(error).__name__
    return f"{where}{what.rstrip('.')}. {ADVICE.get(error.errno, OTHERWISE)}"
