//! Which of CPython's functions reach out of the process, or wait. All of a module's, unless they are known not to: a function that a
//! later Python brings is interposed, too.
//!
//! What is left out changes nothing outside and learns nothing from there: it names, counts, converts, or reads what is the process's own.
//! Slots of types (an item of an `mmap` set, a `FileIO` opened by its class) are no methods and are not here; the courier sends before long
//! what they overtake.

use std::ffi::CStr;

/// What a function means for what was and will be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// What waits leaves before it.
    Sends,
    /// Moreover a send after it may come to something else than before it: it closed something, or brought a message.
    Touches,
}

/// A choice among names.
pub struct Which {
    /// Only these, or all.
    only: Option<&'static [&'static str]>,
    /// None of these.
    but: &'static [&'static str],
    /// These tell and end nothing: they touch nothing.
    sends: &'static [&'static str],
}

impl Which {
    const NONE: Which = Which::only(&[]);
    const ALL: Which = Which::all_but(&[]);

    const fn only(names: &'static [&'static str]) -> Which {
        Which {
            only: Some(names),
            but: &[],
            sends: &[],
        }
    }

    const fn all_but(names: &'static [&'static str]) -> Which {
        Which {
            only: None,
            but: names,
            sends: &[],
        }
    }

    const fn sending(self, names: &'static [&'static str]) -> Which {
        Which {
            sends: names,
            ..self
        }
    }

    /// What the one of this name does; None where it is left alone.
    pub fn effect(&self, name: &str) -> Option<Effect> {
        if name == "__new__" {
            return None; // One definition for all types, by whose function CPython knows it.
        }
        let taken = self.only.is_none_or(|only| only.contains(&name)) && !self.but.contains(&name);
        taken.then(|| match self.sends.contains(&name) {
            true => Effect::Sends,
            false => Effect::Touches,
        })
    }
}

/// A type's methods.
pub struct Type {
    pub name: &'static CStr,
    pub methods: Which,
}

/// A module.
pub struct Module {
    pub name: &'static CStr,
    pub functions: Which,
    pub types: &'static [Type],
}

const fn module(name: &'static CStr, functions: Which, types: &'static [Type]) -> Module {
    Module {
        name,
        functions,
        types,
    }
}

const fn methods(name: &'static CStr, methods: Which) -> Type {
    Type { name, methods }
}

const LOCK: Which = Which::only(&[
    "acquire",
    "acquire_lock",
    "__enter__",
    "join",
    "_acquire_restore",
])
.sending(&[
    "acquire",
    "acquire_lock",
    "__enter__",
    "join",
    "_acquire_restore",
]);

/// All of them.
pub const MODULES: &[Module] = &[
    module(
        c"posix",
        Which::all_but(&[
            "WCOREDUMP",
            "WEXITSTATUS",
            "WIFCONTINUED",
            "WIFEXITED",
            "WIFSIGNALED",
            "WIFSTOPPED",
            "WSTOPSIG",
            "WTERMSIG",
            "_cpu_count",
            "_inputhook",
            "_is_inputhook_installed",
            "_path_normpath",
            "_path_splitroot",
            "_path_splitroot_ex",
            "_supports_virtual_terminal",
            "cpu_count",
            "ctermid",
            "device_encoding",
            "fspath",
            "getcwd",
            "getcwdb",
            "getegid",
            "geteuid",
            "getgid",
            "getgroups",
            "getloadavg",
            "getpgid",
            "getpgrp",
            "getpid",
            "getppid",
            "getpriority",
            "getrandom",
            "getresgid",
            "getresuid",
            "getsid",
            "getuid",
            "major",
            "makedev",
            "minor",
            "putenv",
            "register_at_fork",
            "sched_get_priority_max",
            "sched_get_priority_min",
            "sched_getaffinity",
            "sched_getparam",
            "sched_getscheduler",
            "sched_rr_get_interval",
            "strerror",
            "sysconf",
            "confstr",
            "times",
            "umask",
            "uname",
            "unsetenv",
            "urandom",
            "waitstatus_to_exitcode",
            "get_inheritable",
            "get_blocking",
            "get_terminal_size",
            "isatty",
            "_create_environ",
        ])
        .sending(&["write", "writev", "pwrite", "pwritev"]),
        &[],
    ),
    module(
        c"_socket",
        Which::all_but(&[
            "CMSG_LEN",
            "CMSG_SPACE",
            "getdefaulttimeout",
            "setdefaulttimeout",
            "htonl",
            "htons",
            "ntohl",
            "ntohs",
            "inet_aton",
            "inet_ntoa",
            "inet_ntop",
            "inet_pton",
        ]),
        &[methods(
            c"socket",
            Which::all_but(&[
                "fileno",
                "getblocking",
                "getpeername",
                "getsockname",
                "gettimeout",
                "setblocking",
                "settimeout",
            ])
            .sending(&["send", "sendall", "sendmsg", "sendmsg_afalg", "sendto"]),
        )],
    ),
    module(c"time", Which::only(&["sleep"]), &[]),
    module(
        c"select",
        Which::all_but(&["poll"]),
        &[
            methods(c"epoll", Which::only(&["poll", "close", "__exit__"])),
            methods(c"poll", Which::only(&["poll"])),
        ],
    ),
    module(
        c"_signal",
        Which::all_but(&[
            "default_int_handler",
            "getitimer",
            "getsignal",
            "set_wakeup_fd",
            "signal",
            "strsignal",
            "valid_signals",
        ]),
        &[],
    ),
    module(c"fcntl", Which::ALL, &[]),
    module(
        c"_thread",
        Which::only(&[
            "start_new",
            "start_new_thread",
            "start_joinable_thread",
            "_shutdown",
            "interrupt_main",
        ]),
        &[
            methods(c"lock", LOCK),
            methods(c"LockType", LOCK),
            methods(c"RLock", LOCK),
            methods(c"_ThreadHandle", LOCK),
        ],
    ),
    module(
        c"_queue",
        Which::NONE,
        &[methods(
            c"SimpleQueue",
            Which::only(&["get"]).sending(&["get"]),
        )],
    ),
    module(
        c"_io",
        Which::only(&["open", "open_code"]),
        &[methods(
            c"FileIO",
            Which::only(&[
                "read", "readall", "readinto", "write", "close", "seek", "truncate", "tell",
            ])
            .sending(&["write", "seek", "tell"]),
        )],
    ),
    module(c"builtins", Which::only(&["input"]), &[]),
    module(
        c"_ssl",
        Which::NONE,
        &[methods(
            c"_SSLSocket",
            Which::only(&["do_handshake", "read", "write", "shutdown"]).sending(&["write"]),
        )],
    ),
    module(c"_posixsubprocess", Which::ALL, &[]),
    module(
        c"_multiprocessing",
        Which::ALL,
        &[methods(c"SemLock", Which::ALL)],
    ),
    module(c"_posixshmem", Which::ALL, &[]),
    module(c"mmap", Which::NONE, &[methods(c"mmap", Which::ALL)]),
    module(c"termios", Which::ALL, &[]),
    module(c"syslog", Which::ALL, &[]),
    module(c"faulthandler", Which::ALL, &[]),
    module(
        c"_ctypes",
        Which::only(&["call_function", "call_cdeclfunction", "dlopen", "dlclose"]),
        &[],
    ),
];
