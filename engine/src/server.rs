//! The network's thread: accepts connections, carries out orders, ends what is overdue.

use crate::calls::{Counts, Draining, Item, Net, NewCall, Order, Peer, StreamOrder, Way, count};
use crate::handover::Handover;
use crate::settings::{self, Form, Settings};
use crate::{http1, http2, reply, socket, stream, tls};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// What both threads hold.
pub struct Shared {
    pub handover: Arc<Handover<Item>>,
    pub counts: Arc<Counts>,
    pub served: tls::Served,
    orders: Mutex<Vec<Order>>,
    ordered: Notify,
    spent: Mutex<Vec<NewCall>>,
}

impl Shared {
    pub fn new() -> io::Result<Self> {
        Ok(Shared {
            handover: Arc::new(Handover::new()?),
            counts: Arc::default(),
            served: tls::Served::default(),
            orders: Mutex::default(),
            ordered: Notify::new(),
            spent: Mutex::default(),
        })
    }

    /// Have the network's thread carry out orders; it is woken once for all that wait.
    pub fn order(&self, orders: impl IntoIterator<Item = Order>) {
        let mut waiting = self.orders.lock().expect("nothing panics while it is locked");
        let first = waiting.is_empty();
        waiting.extend(orders);
        drop(waiting);
        if first {
            self.ordered.notify_one();
        }
    }

    /// Have a call that Python is through with freed by the thread that made it.
    ///
    /// Freed here, each of its ten pieces would go back to the other thread's part of the heap, under its lock.
    pub fn give_back(&self, call: Option<Box<NewCall>>) {
        let Some(call) = call.filter(|call| call.message.len() <= settings::SPENT_BYTES) else { return };
        let mut spent = self.spent.lock().expect("nothing panics while it is locked");
        if spent.len() < settings::SPENT_CALLS {
            spent.push(*call);
        }
    }

    async fn next_orders(&self) -> Vec<Order> {
        loop {
            let spent = std::mem::take(&mut *self.spent.lock().expect("nothing panics while it is locked"));
            // Not under the lock, for which Python may wait.
            drop(spent);
            let orders = std::mem::take(&mut *self.orders.lock().expect("nothing panics while it is locked"));
            if !orders.is_empty() {
                return orders;
            }
            self.ordered.notified().await;
        }
    }
}

/// Run until `Order::ShutDown`.
pub fn run(settings: Settings, shared: Arc<Shared>, runtime: tokio::runtime::LocalRuntime) {
    runtime.block_on(async move {
        let net = Rc::new(Net::new(settings, shared.counts.clone(), shared.handover.clone()));
        let gathering = net.clone();
        spawn_local(async move { gathering.gather().await });
        spawn_local(beat(net.clone()));
        obey(&net, &shared).await;
        let flushed = async {
            while shared.counts.connections.load(Ordering::Relaxed) > 0 {
                sleep(settings::BEAT).await;
            }
        };
        let _ = timeout(settings::FLUSH, flushed).await;
    });
}

/// Carry out orders until the one to shut down.
async fn obey(net: &Rc<Net>, shared: &Arc<Shared>) {
    let mut listeners = Vec::new();
    loop {
        for order in shared.next_orders().await {
            match order {
                Order::Answer(id, framed) => {
                    if let Some(open) = net.leave(id) {
                        reply::answer(open, framed);
                    }
                }
                Order::Finish(id, finish) => match net.leave(id).map(|open| (open.form, open.way)) {
                    Some((_, Way::Task(task))) => drop(task.send(StreamOrder::Finish(finish))),
                    Some((form, way)) => reply::end(form, way, finish),
                    None => {}
                },
                Order::Respond(id, whole) => {
                    if let Some(open) = net.leave(id) {
                        let only_head = open.form == Form::Http { only_head: true };
                        // Copied here, by the thread that frees it.
                        let (head, body) = (*whole).clone();
                        reply::whole(open.way, head, body, only_head);
                    }
                }
                Order::Stream(id, order) => to_stream(net, id, order),
                Order::Listen(descriptor) => match listen(descriptor) {
                    Ok(listener) => {
                        listeners.push(spawn_local(accept(net.clone(), shared.clone(), listener)))
                    }
                    Err(error) => panic!("cannot listen: {error}"),
                },
                Order::StopListening => {
                    listeners.drain(..).for_each(|listener| listener.abort());
                    net.drain(Draining::Softly);
                }
                Order::ShutDown => return net.drain(Draining::AtOnce),
            }
        }
    }
}

fn to_stream(net: &Rc<Net>, id: u64, order: StreamOrder) {
    let last = matches!(order, StreamOrder::Close | StreamOrder::Abort);
    if matches!(order, StreamOrder::Start(_)) {
        stream::take_over(net, id);
    }
    if !last {
        let _ = net.to_task(id, order);
    } else if let Some(open) = net.leave(id) {
        match open.way {
            Way::Task(task) => drop(task.send(order)),
            Way::H2(mut respond) => respond.stream.send_reset(h2::Reason::INTERNAL_ERROR),
            // Dropped without an answer, the connection ends.
            Way::H1(_) => {}
        }
    }
}

/// Look after open calls while there are any.
async fn beat(net: Rc<Net>) {
    loop {
        if net.is_idle() {
            net.opened.notified().await;
        }
        sleep(settings::BEAT).await;
        reply::end_overdue(&net, Instant::now());
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

fn listen(descriptor: OwnedFd) -> io::Result<Listener> {
    let unix = std::os::unix::net::UnixListener::from(descriptor);
    unix.set_nonblocking(true)?;
    // Only of a unix socket is this an address of that kind.
    match unix.local_addr() {
        Ok(_) => Ok(Listener::Unix(UnixListener::from_std(unix)?)),
        Err(_) => Ok(Listener::Tcp(TcpListener::from_std(OwnedFd::from(unix).into())?)),
    }
}

async fn accept(net: Rc<Net>, shared: Arc<Shared>, listener: Listener) {
    loop {
        let accepted = match &listener {
            Listener::Tcp(tcp) => match tcp.accept().await {
                Ok((socket, address)) => {
                    let _ = socket.set_nodelay(true);
                    begin(&net, &shared, socket, spelled(address));
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Listener::Unix(unix) => match unix.accept().await {
                Ok((socket, _)) => {
                    begin(&net, &shared, socket, "unix:".into());
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = accepted {
            // Errors of one connection, and a lack of descriptors or memory, pass.
            let lasting = [libc::EBADF, libc::EINVAL, libc::ENOTSOCK, libc::EOPNOTSUPP];
            assert!(
                !error.raw_os_error().is_some_and(|code| lasting.contains(&code)),
                "cannot accept: {error}"
            );
            sleep(settings::ACCEPT_PAUSE).await;
        }
    }
}

/// An address as gRPC spells it.
fn spelled(address: SocketAddr) -> String {
    match SocketAddr::new(address.ip().to_canonical(), address.port()) {
        SocketAddr::V4(address) => format!("ipv4:{address}"),
        SocketAddr::V6(address) => format!("ipv6:%5B{}%5D:{}", address.ip(), address.port()),
    }
}

fn begin<S>(net: &Rc<Net>, shared: &Arc<Shared>, socket: S, address: String)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let open = shared.counts.connections.fetch_add(1, Ordering::Relaxed);
    let counted = Connected(shared.counts.clone());
    if open >= net.settings.connections as u64 {
        return count(&shared.counts.refused_connections);
    }
    let (net, served) = (net.clone(), shared.served.get());
    spawn_local(async move {
        let _counted = counted;
        match served {
            None => serve(net, socket, Peer { address, secure: false, certificate: None }).await,
            Some(config) => match timeout(net.settings.handshake, TlsAcceptor::from(config).accept(socket))
                .await
            {
                Ok(Ok(socket)) => {
                    let certificate = socket.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                    let certificate = certificate.map(|first| first.to_vec());
                    serve(net, socket, Peer { address, secure: true, certificate }).await;
                }
                _ => count(&net.counts.failed_handshakes),
            },
        }
    });
}

/// Counts a connection until it is dropped.
struct Connected(Arc<Counts>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve<S>(net: Rc<Net>, socket: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let peer = Arc::new(peer);
    match timeout(net.settings.handshake, socket::detect(socket)).await {
        Ok(Ok((true, socket))) => http2::serve(net, socket, peer).await,
        Ok(Ok((false, socket))) => http1::serve(net, socket, peer).await,
        Ok(Err(_)) => {}
        Err(_) => count(&net.counts.failed_handshakes),
    }
}
