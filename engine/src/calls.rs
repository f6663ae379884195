//! The books: every request that is open, where its answer goes, and what waits for Python.

use crate::fault::Fault;
use crate::handover::Handover;
use crate::http2::Respond;
use crate::settings::{Form, Settings};
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Instant;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, oneshot};

/// Who is at the other end of a connection.
pub struct Peer {
    /// As gRPC spells it.
    pub address: String,
    pub secure: bool,
    /// The client's certificate in DER.
    pub certificate: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Unary,
    Stream,
    Http,
}

/// A request as Python gets it.
pub struct NewCall {
    pub id: u64,
    pub kind: Kind,
    pub method: i32,
    pub head: Parts,
    pub message: Bytes,
    pub fault: Option<Fault>,
    pub arrived: Instant,
    pub deadline: Option<Instant>,
    pub web: bool,
    pub peer: Arc<Peer>,
}

pub enum Event {
    Messages(Vec<Bytes>),
    End(Option<Fault>),
    Writable,
    Gone { overdue: bool },
}

pub enum Item {
    Call(Box<NewCall>),
    Event(u64, Event),
}

/// How a gRPC call ends.
pub struct Finish {
    pub code: u32,
    pub text: String,
    pub trailers: Vec<(Bytes, Bytes)>,
    pub initial: Vec<(Bytes, Bytes)>,
    pub message: Option<Bytes>,
}

/// What Python asks of the task of one streaming call.
pub enum StreamOrder {
    Start(Response<()>),
    Write(Bytes),
    More,
    Finish(Finish),
    Close,
    Abort,
    Overdue,
}

/// What Python asks of the network's thread.
pub enum Order {
    Answer(u64, Bytes),
    Finish(u64, Finish),
    Respond(u64, Arc<(Response<()>, Bytes)>),
    Stream(u64, StreamOrder),
    Listen(std::os::fd::OwnedFd),
    StopListening,
    ShutDown,
}

/// Where an answer goes.
pub enum Way {
    H2(Respond),
    H1(oneshot::Sender<Response<crate::http1::Body>>),
    Task(UnboundedSender<StreamOrder>),
}

pub struct Open {
    generation: u32,
    pub form: Form,
    pub way: Way,
    pub deadline: Option<Instant>,
    /// Whether Python has it.
    handed: bool,
    /// Whether a beat has seen it with Python: most calls are answered before one does.
    seen: bool,
}

/// So far, or now; read by Python.
#[derive(Default)]
pub struct Counts {
    pub connections: AtomicU64,
    pub calls: AtomicU64,
    /// Handed over and not taken yet, whether open or cancelled.
    pub untaken: AtomicU64,
    pub accepted: AtomicU64,
    pub refused_connections: AtomicU64,
    pub refused_calls: AtomicU64,
    pub failed_handshakes: AtomicU64,
    pub malformed: AtomicU64,
    pub timed_out: AtomicU64,
    pub floods: AtomicU64,
}

pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How connections learn that the engine is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Draining {
    No,
    /// To end as connections of age do, so that no request is lost.
    Softly,
    /// To end as soon as they are idle.
    AtOnce,
}

/// Everything that the tasks of the network's thread share.
pub struct Net {
    pub settings: Settings,
    pub counts: Arc<Counts>,
    pub draining: Cell<Draining>,
    pub drain: Notify,
    open: RefCell<Slab<Open>>,
    generation: Cell<u32>,
    waiting: RefCell<Vec<Item>>,
    handover: Arc<Handover<Item>>,
    gather: Notify,
    pub opened: Notify,
    /// Bytes of answers that wait for the windows of HTTP/2.
    pub unsent: Rc<Cell<usize>>,
}

impl Net {
    pub fn new(settings: Settings, counts: Arc<Counts>, handover: Arc<Handover<Item>>) -> Self {
        Net {
            settings,
            counts,
            draining: Cell::new(Draining::No),
            drain: Notify::new(),
            open: RefCell::new(Slab::with_capacity(256)),
            generation: Cell::new(0),
            waiting: RefCell::default(),
            handover,
            gather: Notify::new(),
            opened: Notify::new(),
            unsent: Rc::default(),
        }
    }

    /// Enter a request into the books; `Err` gives the way back where there is no room.
    pub fn enter(&self, form: Form, way: Way, deadline: Option<Instant>) -> Result<u64, Way> {
        let mut open = self.open.borrow_mut();
        let untaken = self.counts.untaken.load(Ordering::Relaxed) as usize;
        if open.len().max(untaken) >= self.settings.open_calls {
            count(&self.counts.refused_calls);
            return Err(way);
        }
        let generation = self.generation.get().wrapping_add(1);
        self.generation.set(generation);
        let key = open.insert(Open { generation, form, way, deadline, handed: false, seen: false });
        self.counts.calls.store(open.len() as u64, Ordering::Relaxed);
        if open.len() == 1 {
            self.opened.notify_one();
        }
        Ok(u64::from(generation) << 32 | key as u64)
    }

    /// Take a request out of the books; `None` if it has been taken out before.
    pub fn leave(&self, id: u64) -> Option<Open> {
        let mut open = self.open.borrow_mut();
        let key = (id & 0xffff_ffff) as usize;
        if open.get(key)?.generation != (id >> 32) as u32 {
            return None;
        }
        let found = open.remove(key);
        self.counts.calls.store(open.len() as u64, Ordering::Relaxed);
        Some(found)
    }

    /// Have the task behind `sender` answer from here on; gives where answers went before.
    pub fn become_task(&self, id: u64, sender: UnboundedSender<StreamOrder>) -> Option<(Way, Form)> {
        let mut open = self.open.borrow_mut();
        let entry = open.get_mut((id & 0xffff_ffff) as usize)?;
        if entry.generation != (id >> 32) as u32 || matches!(entry.way, Way::Task(_)) {
            return None;
        }
        if matches!(entry.form, Form::Http { .. }) {
            // It had a time to be answered in, and that has begun.
            entry.deadline = None;
        }
        Some((std::mem::replace(&mut entry.way, Way::Task(sender)), entry.form))
    }

    /// Send to the task of a streaming call.
    pub fn to_task(&self, id: u64, order: StreamOrder) -> Result<(), StreamOrder> {
        let open = self.open.borrow();
        match open.get((id & 0xffff_ffff) as usize) {
            Some(Open { generation, way: Way::Task(sender), .. }) if *generation == (id >> 32) as u32 => {
                sender.send(order).map_err(|refused| refused.0)
            }
            _ => Err(order),
        }
    }

    /// Hand a request over to Python, unless it has ended meanwhile.
    pub fn hand_over(&self, call: NewCall) {
        {
            let mut open = self.open.borrow_mut();
            match open.get_mut((call.id & 0xffff_ffff) as usize) {
                Some(entry) if entry.generation == (call.id >> 32) as u32 => entry.handed = true,
                _ => return,
            }
        }
        count(&self.counts.accepted);
        count(&self.counts.untaken);
        self.publish(Item::Call(Box::new(call)));
    }

    pub fn event(&self, id: u64, event: Event) {
        self.publish(Item::Event(id, event));
    }

    fn publish(&self, item: Item) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(item);
        if waiting.len() == 1 {
            self.gather.notify_one();
        }
    }

    /// Wake Python once for all connections that were ready in the same turn of the runtime.
    pub async fn gather(&self) {
        loop {
            self.gather.notified().await;
            self.handover.publish(&mut self.waiting.borrow_mut());
        }
    }

    pub fn drain(&self, how: Draining) {
        self.draining.set(how);
        self.drain.notify_waiters();
    }

    pub fn is_idle(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Take out the calls whose deadline has passed, or whose client has left; (id, entry, overdue, handed).
    pub fn ended(&self, now: Instant) -> Vec<(u64, Open, bool, bool)> {
        let mut open = self.open.borrow_mut();
        let mut cx = Context::from_waker(Waker::noop());
        let mut over = Vec::new();
        for (key, entry) in open.iter_mut() {
            let overdue = entry.deadline.is_some_and(|deadline| deadline <= now);
            let looked = std::mem::replace(&mut entry.seen, entry.handed);
            if overdue || (looked && entry.way.left(&mut cx)) {
                over.push((key, overdue));
            }
        }
        let over = over.into_iter().map(|(key, overdue)| {
            let entry = open.remove(key);
            let handed = entry.handed;
            (u64::from(entry.generation) << 32 | key as u64, entry, overdue, handed)
        });
        let over = over.collect();
        self.counts.calls.store(open.len() as u64, Ordering::Relaxed);
        over
    }
}

impl Way {
    /// Whether nobody waits for the answer any more. The task of a stream looks after that itself.
    fn left(&mut self, cx: &mut Context) -> bool {
        match self {
            Way::H2(respond) => respond.stream.poll_reset(cx).is_ready(),
            Way::H1(sender) => sender.is_closed(),
            Way::Task(_) => false,
        }
    }
}
