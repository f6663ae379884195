//! The queue between the network's thread and Python, and the descriptor that wakes Python up.
//!
//! At most one wake-up is pending at a time. Its flag lies under the same lock as the items, and the descriptor is
//! drained before the flag is cleared; so no wake-up is lost between a take and the sleep that follows, which
//! `tests/loom_handover.rs` proves.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

#[cfg(feature = "loom")]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(feature = "loom"))]
use std::sync::{Mutex, MutexGuard};

/// What wakes up the thread that takes.
pub trait Wake {
    /// Make the taker's sleep end.
    fn wake(&self);
    /// Undo `wake`.
    fn drain(&self);
}

/// A queue of items that one side publishes and the other takes, all at once.
#[derive(Debug)]
pub struct Handover<T, W = Descriptor> {
    waiting: Mutex<Waiting<T>>,
    wake: W,
}

#[derive(Debug)]
struct Waiting<T> {
    items: Vec<T>,
    signal: Signal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// The next item wakes the taker.
    Idle,
    /// The taker has been woken.
    Raised,
    /// No item wakes the taker until it has taken, or found that nothing waits.
    Hushed,
}

impl<T> Handover<T> {
    /// With a descriptor of its own: an eventfd on Linux, a pipe elsewhere.
    pub fn new() -> io::Result<Self> {
        Ok(Self::with(Descriptor::new()?))
    }

    /// Readable while something waits to be taken, unless hushed.
    pub fn fileno(&self) -> RawFd {
        self.wake.reader.as_raw_fd()
    }
}

impl<T, W: Wake> Handover<T, W> {
    pub fn with(wake: W) -> Self {
        let waiting = Waiting { items: Vec::new(), signal: Signal::Idle };
        Self { waiting: Mutex::new(waiting), wake }
    }

    /// Queue items, in order, and wake the taker where that has not happened yet; from any thread.
    ///
    /// `items` is empty afterwards.
    pub fn publish(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        if waiting.items.is_empty() {
            std::mem::swap(&mut waiting.items, items);
        } else {
            waiting.items.append(items);
        }
        if waiting.signal == Signal::Idle {
            self.wake.wake();
            waiting.signal = Signal::Raised;
        }
    }

    /// Make the descriptor unreadable until something is published after the next `take`.
    pub fn hush(&self) {
        let mut waiting = self.lock();
        if waiting.signal == Signal::Raised {
            self.wake.drain();
        }
        waiting.signal = Signal::Hushed;
    }

    /// Everything that waits; what comes next wakes the taker, or hushed as by `hush` nothing does.
    pub fn take(&self, hushed: bool) -> Vec<T> {
        let mut waiting = self.lock();
        if waiting.signal == Signal::Raised {
            self.wake.drain();
        }
        waiting.signal = if hushed { Signal::Hushed } else { Signal::Idle };
        std::mem::take(&mut waiting.items)
    }

    /// Whether nothing waits; if so, what comes next wakes the taker.
    pub fn quiet(&self) -> bool {
        let mut waiting = self.lock();
        let quiet = waiting.items.is_empty();
        if quiet && waiting.signal == Signal::Hushed {
            waiting.signal = Signal::Idle;
        }
        quiet
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().expect("nothing panics under this lock")
    }
}

/// A descriptor that can be waited for.
#[derive(Debug)]
pub struct Descriptor {
    reader: OwnedFd,
    /// The other end of the pipe; an eventfd has none.
    #[cfg(not(target_os = "linux"))]
    writer: OwnedFd,
}

#[cfg(target_os = "linux")]
impl Descriptor {
    /// What an eventfd counts by.
    const TOKEN: [u8; 8] = 1u64.to_ne_bytes();

    fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is nobody else's.
        let reader = unsafe { owned(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))? };
        Ok(Self { reader })
    }

    fn writer(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

#[cfg(not(target_os = "linux"))]
impl Descriptor {
    const TOKEN: [u8; 1] = [1];

    fn new() -> io::Result<Self> {
        let mut ends: [RawFd; 2] = [-1; 2];
        // SAFETY: `ends` has room for two descriptors, which are nobody else's.
        let (reader, writer) = unsafe {
            if libc::pipe(ends.as_mut_ptr()) < 0 {
                return Err(io::Error::last_os_error());
            }
            (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
        };
        for end in ends {
            // SAFETY: no pointers; both are open.
            unsafe {
                checked(libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC))?;
                checked(libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK))?;
            }
        }
        Ok(Self { reader, writer })
    }

    fn writer(&self) -> RawFd {
        self.writer.as_raw_fd()
    }
}

impl Wake for Descriptor {
    fn wake(&self) {
        let token = Self::TOKEN;
        // It cannot be full: one token is in it at most.
        // SAFETY: the pointer and the length are those of `token`.
        until_done(|| unsafe { libc::write(self.writer(), token.as_ptr().cast(), token.len()) });
    }

    fn drain(&self) {
        let mut token = Self::TOKEN;
        // SAFETY: the pointer and the length are those of `token`.
        until_done(|| unsafe { libc::read(self.reader.as_raw_fd(), token.as_mut_ptr().cast(), token.len()) });
    }
}

fn until_done(mut call: impl FnMut() -> isize) {
    while call() < 0 {
        let error = io::Error::last_os_error();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted, "the wake-up of the engine: {error}");
    }
}

/// # Safety
/// A descriptor that is not negative is open, and nobody else's.
#[cfg(target_os = "linux")]
unsafe fn owned(descriptor: RawFd) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(not(target_os = "linux"))]
fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    fn readable(handover: &Handover<u32>) -> bool {
        let mut poll = libc::pollfd { fd: handover.fileno(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }

    #[test]
    fn it_is_readable_while_something_waits() {
        let handover = Handover::new().unwrap();
        assert!(!readable(&handover));

        handover.publish(&mut vec![1, 2]);
        handover.publish(&mut vec![3]);
        assert!(readable(&handover));

        assert_eq!(handover.take(false), [1, 2, 3]);
        assert!(!readable(&handover));
        assert!(handover.take(false).is_empty());

        handover.publish(&mut vec![4]);
        assert!(readable(&handover));
    }

    #[test]
    fn nothing_published_wakes_nobody() {
        let handover = Handover::new().unwrap();
        handover.publish(&mut vec![]);
        assert!(!readable(&handover));
    }

    #[test]
    fn hushed_it_is_unreadable_until_after_the_next_take() {
        let handover = Handover::new().unwrap();
        handover.publish(&mut vec![1]);
        handover.hush();
        handover.publish(&mut vec![2]);
        assert!(!readable(&handover));

        assert_eq!(handover.take(false), [1, 2]);
        assert!(!readable(&handover));
        handover.publish(&mut vec![3]);
        assert!(readable(&handover));
    }

    #[test]
    fn what_comes_from_other_threads_is_taken_once() {
        let handover = Handover::new().unwrap();
        let mut taken = Vec::new();
        std::thread::scope(|scope| {
            for first in [0, 10_000] {
                let handover = &handover;
                scope.spawn(move || {
                    for item in first..first + 10_000 {
                        handover.publish(&mut vec![item]);
                    }
                });
            }
            while taken.len() < 20_000 {
                let mut poll = libc::pollfd { fd: handover.fileno(), events: libc::POLLIN, revents: 0 };
                // SAFETY: one pollfd.
                assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1, "a wake-up was lost");
                taken.extend(handover.take(false));
            }
        });
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..20_000));
    }
}
