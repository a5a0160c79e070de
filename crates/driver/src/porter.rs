//! A door of the process at which others may ask: an abstract Unix socket that carries whole messages (`SOCK_SEQPACKET`), its guests,
//! and the answers, short ones in a message and long ones as a sealed file in memory.
//!
//! Opened by whoever wants to be asked; one thread then sleeps in [`Porter::next`], and [`Bell::ring`] ends that from any other.
//! Idle it costs one descriptor, one sleeping thread and no wake-ups. An abstract name leaves no file behind, and the kernel tells each
//! side who the other is (`SO_PEERCRED` in unix(7)): that of a listener is whoever called `listen`.
//!
//! A guest may be slow, silent or hostile, so nothing here waits for one: reads and sends never block, a long answer is written before
//! it is handed over, whoever asks nothing goes after ten seconds, and beyond sixteen the one that has been silent longest makes room.
//! Rejected: a stream socket (requests in pieces, and a sender that waits for its reader); a file below `/run` (who deletes it?);
//! a mapped file that the loop keeps up to date (a store on each change, and a reader that races them).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::errno::check;
use crate::{SockAddr, socket};

/// Guests at a time.
const GUESTS: usize = 16;
/// A guest that asks nothing for so long is sent away.
const PATIENCE: Duration = Duration::from_secs(10);
/// One that has asked may come back to it after so long.
const MORE_PATIENCE: Duration = Duration::from_secs(2 * 3600);
/// The longest question.
const LONGEST: usize = 256 * 1024;

/// Who is at the other end of a connection, as the kernel says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its process, by the number that it has here.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
}

/// A connection of somebody who asks.
#[derive(Debug)]
pub struct Guest {
    fd: OwnedFd,
    peer: Peer,
}

impl Guest {
    /// Who it is.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Sends a short message, without waiting.
    ///
    /// # Errors
    /// `EAGAIN` where the guest does not read what it was sent before, `EPIPE` where it has gone, `EMSGSIZE` above some 200 KiB.
    pub fn tell(&self, message: &[u8]) -> io::Result<()> {
        self.send(message, None)
    }

    /// Sends a message and with it `content`, as a sealed file in memory that the guest may read at its leisure.
    ///
    /// # Errors
    /// As [`Guest::tell`]; `ENOMEM`, `EMFILE` where the file cannot be made, `ENOSYS` before Linux 3.17.
    pub fn hand_over(&self, message: &[u8], content: &[u8]) -> io::Result<()> {
        let mut file = File::from(in_memory()?);
        file.write_all(content)?;
        let seals =
            libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
        // SAFETY: the command takes an int.
        check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
        self.send(message, Some(file.as_raw_fd()))
    }

    fn send(&self, message: &[u8], file: Option<RawFd>) -> io::Result<()> {
        let mut part = libc::iovec {
            iov_base: message.as_ptr() as *mut libc::c_void,
            iov_len: message.len(),
        };
        // Room for one descriptor, aligned for its header.
        let mut control = [0_u64; 4];
        // SAFETY: a zeroed msghdr is an empty one; what it points to lives for the call, which only reads it. The control buffer has
        // room for a header and one int.
        let sent = unsafe {
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_iov = &mut part;
            header.msg_iovlen = 1;
            if let Some(fd) = file {
                let size = size_of::<RawFd>() as u32;
                header.msg_control = control.as_mut_ptr().cast();
                header.msg_controllen = libc::CMSG_SPACE(size) as _;
                let first = libc::CMSG_FIRSTHDR(&header);
                (*first).cmsg_level = libc::SOL_SOCKET;
                (*first).cmsg_type = libc::SCM_RIGHTS;
                (*first).cmsg_len = libc::CMSG_LEN(size) as _;
                libc::CMSG_DATA(first).cast::<RawFd>().write_unaligned(fd);
            }
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            libc::sendmsg(self.fd.as_raw_fd(), &header, flags)
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// A file in memory that can be sealed.
fn in_memory() -> io::Result<OwnedFd> {
    /// `MFD_NOEXEC_SEAL` of Linux 6.3, which some machines insist on (sysctl `vm.memfd_noexec`) and older kernels do not know.
    const NOEXEC_SEAL: libc::c_uint = 8;
    let make = |flags: libc::c_uint| {
        // SAFETY: the name ends in NUL.
        let fd = unsafe { libc::memfd_create(c"rondeau-answer".as_ptr(), flags) };
        // SAFETY: the kernel has just returned this descriptor and nobody else knows it.
        check(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
    };
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    make(flags | NOEXEC_SEAL).or_else(|_| make(flags))
}

/// The listening socket. A program that closes all descriptors gives its number to a file of its own, which is then left alone.
#[derive(Debug)]
struct Listener {
    fd: ManuallyDrop<OwnedFd>,
    /// Which file it is.
    inode: u64,
}

impl Listener {
    fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    fn is_ours(&self) -> bool {
        inode(self.number()).ok() == Some(self.inode)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: taken once, here.
            drop(unsafe { ManuallyDrop::take(&mut self.fd) });
        }
    }
}

/// Ends [`Porter::next`] from another thread.
#[derive(Clone, Debug)]
pub struct Bell {
    listener: Arc<Listener>,
}

impl Bell {
    /// From now on nobody is let in, and the porter's `next` says [`Visit::Over`]. False where the program has closed the door's
    /// descriptor itself: then nothing can end that wait, and nobody comes in.
    #[must_use]
    pub fn ring(&self) -> bool {
        // SAFETY: no pointers. A listener that is shut down is ready for ever, which is what ends the wait.
        self.listener.is_ours()
            && unsafe { libc::shutdown(self.listener.number(), libc::SHUT_RDWR) } == 0
    }
}

/// What happened at the door.
#[derive(Debug)]
pub enum Visit {
    /// Somebody asks this.
    Asked(Arc<Guest>, Vec<u8>),
    /// A question that was longer than 256 KiB.
    TooLong(Arc<Guest>),
    /// The bell rang, or the door is not ours any more.
    Over,
}

/// Where a guest waits.
#[derive(Debug)]
struct Seat {
    guest: Arc<Guest>,
    /// When it was last heard.
    heard: Instant,
    patience: Duration,
}

impl Seat {
    fn left(&self) -> Duration {
        self.patience.saturating_sub(self.heard.elapsed())
    }

    /// Somebody prepares its answer.
    fn is_served(&self) -> bool {
        Arc::strong_count(&self.guest) > 1
    }
}

/// The one who keeps the door.
#[derive(Debug)]
pub struct Porter {
    listener: Arc<Listener>,
    guests: VecDeque<Seat>,
    /// Where in `guests` the next look begins, so that none is heard twice before another is heard once.
    next: usize,
}

impl Porter {
    /// Opens a door with this abstract name, or, where somebody has taken it, with `.1` to `.9` behind.
    ///
    /// # Errors
    /// The errno: `EMFILE`, `ENFILE` or `ENOMEM` when the process or the machine is full, `EADDRINUSE` when all names are taken,
    /// `EPERM` or `EACCES` where a sandbox forbids such sockets.
    pub fn open(name: &str) -> io::Result<Porter> {
        // SAFETY: no pointers.
        let fd = check(unsafe {
            libc::socket(
                libc::AF_UNIX,
                libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            )
        })?;
        // SAFETY: the kernel has just returned this descriptor and nobody else knows it.
        let listener = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut bound = Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        for number in 0..10 {
            let name = match number {
                0 => format!("\0{name}"),
                number => format!("\0{name}.{number}"),
            };
            let address = SockAddr::unix(name.as_bytes())
                .ok_or_else(|| io::Error::from_raw_os_error(libc::ENAMETOOLONG))?;
            bound = socket::bind(fd, &address);
            if !matches!(&bound, Err(error) if error.kind() == io::ErrorKind::AddrInUse) {
                break;
            }
        }
        bound?;
        // SAFETY: no pointers.
        check(unsafe { libc::listen(fd, 64) })?;
        let listener = Listener {
            inode: inode(fd)?,
            fd: ManuallyDrop::new(listener),
        };
        Ok(Porter {
            listener: Arc::new(listener),
            guests: VecDeque::new(),
            next: 0,
        })
    }

    /// What ends [`Porter::next`].
    #[must_use]
    pub fn bell(&self) -> Bell {
        Bell {
            listener: self.listener.clone(),
        }
    }

    /// Waits until somebody asks, or the bell rings. `greet` says to whoever comes what it is told first: Ok, and it may ask; Err,
    /// and it is sent away. A guest speaks when it has read that: what it said before may cost it the refusal (`ECONNRESET`).
    pub fn next(&mut self, greet: impl Fn(Peer) -> Result<Vec<u8>, Vec<u8>>) -> Visit {
        loop {
            let mut polled = vec![poll_for(self.listener.number())];
            polled.extend(
                self.guests
                    .iter()
                    .map(|seat| poll_for(seat.guest.fd.as_raw_fd())),
            );
            let timeout = self.guests.iter().map(Seat::left).min();
            let timeout = timeout.map_or(-1, |left| left.as_millis() as libc::c_int + 1);
            // SAFETY: the kernel reads and writes as many entries as there are.
            let ready =
                unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
            if ready < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return Visit::Over;
            }
            if polled[0].revents != 0 {
                if polled[0].revents & !libc::POLLIN != 0 || !self.listener.is_ours() {
                    return Visit::Over;
                }
                self.let_in(&greet);
                continue;
            }
            if let Some(visit) = self.listen(&polled[1..]) {
                return visit;
            }
            self.guests
                .retain(|seat| seat.left() > Duration::ZERO || seat.is_served());
            for seat in &mut self.guests {
                if seat.left() == Duration::ZERO {
                    seat.heard = Instant::now();
                }
            }
        }
    }

    /// Takes one connection.
    fn let_in(&mut self, greet: &impl Fn(Peer) -> Result<Vec<u8>, Vec<u8>>) {
        let Ok((fd, _)) = socket::accept(self.listener.number()) else {
            // Of a table that is full the caller cannot make room: the guest waits in the backlog, and so does the porter.
            std::thread::sleep(Duration::from_millis(50));
            return;
        };
        let Ok(peer) = peer(fd.as_raw_fd()) else {
            return;
        };
        let guest = Guest { fd, peer };
        // Who has gone already is noticed when it is listened to.
        match greet(peer) {
            Ok(greeting) => drop(guest.tell(&greeting)),
            Err(refusal) => return drop(guest.tell(&refusal)),
        }
        if self.guests.len() == GUESTS {
            let silent = (0..GUESTS).filter(|at| !self.guests[*at].is_served());
            match silent.min_by_key(|at| self.guests[*at].heard) {
                Some(at) => drop(self.guests.remove(at)),
                None => return, // Answers are being prepared for all of them.
            }
        }
        self.guests.push_back(Seat {
            guest: Arc::new(guest),
            heard: Instant::now(),
            patience: PATIENCE,
        });
    }

    /// Reads one question.
    fn listen(&mut self, polled: &[libc::pollfd]) -> Option<Visit> {
        let count = polled.len();
        let at = (0..count)
            .map(|step| (self.next + step) % count)
            .find(|index| polled[*index].revents != 0)?;
        let mut question = vec![0_u8; LONGEST];
        let guest = self.guests[at].guest.clone();
        // SAFETY: the kernel writes into the buffer, at most its length.
        let length = unsafe {
            libc::recv(
                guest.fd.as_raw_fd(),
                question.as_mut_ptr().cast(),
                question.len(),
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
            )
        };
        if length < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
            return None;
        }
        if length <= 0 {
            self.guests.remove(at);
            return None;
        }
        let seat = &mut self.guests[at];
        (seat.heard, seat.patience) = (Instant::now(), MORE_PATIENCE);
        self.next = at + 1;
        let length = length as usize;
        if length > question.len() {
            return Some(Visit::TooLong(guest));
        }
        question.truncate(length);
        Some(Visit::Asked(guest, question))
    }
}

fn poll_for(fd: RawFd) -> libc::pollfd {
    libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    }
}

fn inode(fd: RawFd) -> io::Result<u64> {
    // SAFETY: a zeroed stat is a valid place for the kernel to write one to.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(fd, &mut stat))?;
        Ok(stat.st_ino)
    }
}

fn peer(fd: RawFd) -> io::Result<Peer> {
    let mut found = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes into `found`.
    check(unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &mut size,
        )
    })?;
    Ok(Peer {
        pid: found.pid as u32,
        uid: found.uid,
    })
}
