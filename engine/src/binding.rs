//! The surface to Python: see `_engine.pyi`, which says what each name means.

mod call;

use crate::calls::{Event, Finish, Item, Order, StreamOrder};
use crate::frames::framed;
use crate::server::{self, Shared};
use crate::settings::{Rpc, Settings};
use crate::tls;
use bytes::Bytes;
use call::{Call, HTTP, STREAM, UNARY};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use std::collections::HashMap;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const MESSAGES: i32 = 0;
const END: i32 = 1;
const WRITABLE: i32 = 2;
const GONE: i32 = 3;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

#[pyclass(frozen, module = "session_service_engine")]
pub struct Engine {
    shared: Arc<Shared>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

/// A response of plain HTTP that may be sent many times.
#[pyclass(frozen, module = "session_service_engine")]
pub struct Reply(Arc<(Response<()>, Bytes)>);

impl Reply {
    fn order(&self, call: u64) -> Order {
        Order::Respond(call, self.0.clone())
    }
}

fn span(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, methods, pages, body_bytes, larger_bodies, metadata_bytes, open_calls, connections, streams,
        handshake_seconds, request_seconds, response_seconds, idle_seconds, age_seconds, age_grace_seconds,
        ping_seconds, ping_timeout_seconds))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        methods: Vec<(String, bool, usize)>,
        pages: Vec<String>,
        body_bytes: usize,
        larger_bodies: HashMap<String, usize>,
        metadata_bytes: usize,
        open_calls: usize,
        connections: usize,
        streams: u32,
        handshake_seconds: f64,
        request_seconds: f64,
        response_seconds: f64,
        idle_seconds: f64,
        age_seconds: f64,
        age_grace_seconds: f64,
        ping_seconds: f64,
        ping_timeout_seconds: f64,
    ) -> PyResult<Self> {
        let methods = methods.into_iter().zip(0..);
        let methods = methods.map(|((path, streams, limit), index)| (path, Rpc { index, streams, limit }));
        let settings = Settings {
            methods: methods.collect(),
            pages,
            body_bytes,
            larger_bodies,
            metadata_bytes,
            open_calls,
            connections,
            streams,
            handshake: span(handshake_seconds)?,
            request: span(request_seconds)?,
            response: span(response_seconds)?,
            idle: span(idle_seconds)?,
            age: span(age_seconds)?,
            age_grace: span(age_grace_seconds)?,
            ping: span(ping_seconds)?,
            ping_timeout: span(ping_timeout_seconds)?,
        };
        let shared = Arc::new(Shared::new()?);
        let theirs = shared.clone();
        let (sender, made) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name(THREAD.into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(tokio::runtime::LocalOptions::default());
            let (runtime, result) = match runtime {
                Ok(runtime) => (Some(runtime), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let _ = sender.send(result);
            if let Some(runtime) = runtime {
                server::run(settings, theirs, runtime);
            }
        })?;
        made.recv().map_err(|error| PyOSError::new_err(error.to_string()))??;
        Ok(Engine { shared, thread: std::sync::Mutex::new(Some(thread)) })
    }

    #[pyo3(signature = (chain, key, client_roots, *, required))]
    fn use_certificate(
        &self,
        chain: &[u8],
        key: &[u8],
        client_roots: Option<&[u8]>,
        required: bool,
    ) -> PyResult<()> {
        let config = tls::configuration(chain, key, client_roots, required).map_err(PyValueError::new_err)?;
        self.shared.served.set(config);
        Ok(())
    }

    fn listen(&self, descriptor: i32) -> PyResult<()> {
        if descriptor < 0 {
            return Err(PyOSError::new_err("not a descriptor"));
        }
        // SAFETY: the caller gives the descriptor away, as the surface says.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        self.shared.order([Order::Listen(owned)]);
        Ok(())
    }

    fn fileno(&self) -> i32 {
        self.shared.handover.fileno()
    }

    fn hush(&self) {
        self.shared.handover.hush();
    }

    fn quiet(&self) -> bool {
        self.shared.handover.quiet()
    }

    #[pyo3(signature = (*, hushed = false))]
    fn take<'py>(&self, py: Python<'py>, hushed: bool) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
        let (calls, events) = (PyList::empty(py), PyList::empty(py));
        let (now, python_now) = (Instant::now(), monotonic());
        for item in self.shared.handover.take(hushed) {
            match item {
                Item::Call(call) => {
                    self.shared.counts.untaken.fetch_sub(1, Ordering::Relaxed);
                    let arrived = python_now - now.saturating_duration_since(call.arrived).as_secs_f64();
                    calls.append(Call::new(call, arrived, self.shared.clone()))?;
                }
                Item::Event(id, event) => events.append(brought(py, id, event)?)?,
            }
        }
        Ok((calls, events))
    }

    fn answer(&self, answers: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut orders = Vec::with_capacity(answers.len()?);
        for each in answers.try_iter()? {
            let each = each?;
            let pair = each.cast::<PyTuple>()?;
            let id: u64 = pair.get_item(0)?.extract()?;
            let what = pair.get_item(1)?;
            orders.push(match what.cast::<PyBytes>() {
                Ok(message) => Order::Answer(id, framed(message.as_bytes())),
                Err(_) => what.cast::<Reply>()?.get().order(id),
            });
        }
        self.shared.order(orders);
        Ok(())
    }

    #[pyo3(signature = (call, code, text, trailers=vec![], initial=vec![], message=None))]
    fn finish(
        &self,
        call: u64,
        code: u32,
        text: String,
        trailers: Pairs,
        initial: Pairs,
        message: Option<&[u8]>,
    ) -> PyResult<()> {
        let (trailers, initial) = (fields(trailers)?, fields(initial)?);
        let finish = Finish { code, text, trailers, initial, message: message.map(framed) };
        self.shared.order([Order::Finish(call, finish)]);
        Ok(())
    }

    fn reply(&self, status: u16, headers: Pairs, body: &[u8]) -> PyResult<Reply> {
        Ok(Reply(Arc::new((response(status, headers)?, Bytes::copy_from_slice(body)))))
    }

    fn respond(&self, call: u64, status: u16, headers: Pairs, body: &[u8]) -> PyResult<()> {
        self.shared.order([self.reply(status, headers, body)?.order(call)]);
        Ok(())
    }

    #[pyo3(signature = (call, headers, status=200))]
    fn start(&self, call: u64, headers: Pairs, status: u16) -> PyResult<()> {
        let head = response(status, headers)?;
        self.shared.order([Order::Stream(call, StreamOrder::Start(head))]);
        Ok(())
    }

    fn write(&self, call: u64, piece: &[u8]) {
        self.shared.order([Order::Stream(call, StreamOrder::Write(Bytes::copy_from_slice(piece)))]);
    }

    fn close(&self, call: u64) {
        self.shared.order([Order::Stream(call, StreamOrder::Close)]);
    }

    fn abort(&self, call: u64) {
        self.shared.order([Order::Stream(call, StreamOrder::Abort)]);
    }

    fn more(&self, call: u64) {
        self.shared.order([Order::Stream(call, StreamOrder::More)]);
    }

    fn stop_listening(&self) {
        self.shared.order([Order::StopListening]);
    }

    fn shut_down(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.order([Order::ShutDown]);
        let thread = self.thread.lock().expect("nothing panics while it is locked").take();
        let joined = py.detach(|| thread.map_or(Ok(()), JoinHandle::join));
        joined.map_err(|_| PyRuntimeError::new_err("the engine's thread has failed"))
    }

    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = &self.shared.counts;
        let found = PyDict::new(py);
        for (name, counter) in [
            ("connections", &counts.connections),
            ("calls", &counts.calls),
            ("accepted", &counts.accepted),
            ("refused_connections", &counts.refused_connections),
            ("refused_calls", &counts.refused_calls),
            ("failed_handshakes", &counts.failed_handshakes),
            ("malformed", &counts.malformed),
            ("timed_out", &counts.timed_out),
            ("floods", &counts.floods),
        ] {
            found.set_item(name, counter.load(Ordering::Relaxed))?;
        }
        Ok(found)
    }
}

/// The name of the network's thread, by which the panic hook knows it.
pub const THREAD: &str = "engine";

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.order([Order::ShutDown]);
    }
}

fn brought<'py>(py: Python<'py>, id: u64, event: Event) -> PyResult<Bound<'py, PyTuple>> {
    match event {
        Event::Messages(messages) => {
            let list = PyList::new(py, messages.iter().map(|message| PyBytes::new(py, message)))?;
            (id, MESSAGES, list).into_pyobject(py)
        }
        Event::End(fault) => {
            let fault = fault.map(|fault| (fault.kind.name(), fault.text));
            (id, END, fault).into_pyobject(py)
        }
        Event::Writable => (id, WRITABLE, py.None()).into_pyobject(py),
        Event::Gone { overdue } => (id, GONE, overdue).into_pyobject(py),
    }
}

/// Python's monotonic clock, which counts as `Instant` does but from a moment that `Instant` does not tell.
fn monotonic() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec to be written to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

fn fields(pairs: Pairs) -> PyResult<Vec<(Bytes, Bytes)>> {
    pairs
        .into_iter()
        .map(|(name, value)| {
            header(&name, &value)?;
            Ok((name.into(), value.into()))
        })
        .collect()
}

fn response(status: u16, headers: Pairs) -> PyResult<Response<()>> {
    let mut head = Response::new(());
    *head.status_mut() =
        StatusCode::from_u16(status).map_err(|error| PyValueError::new_err(error.to_string()))?;
    for (name, value) in headers {
        let (name, value) = header(&name, &value)?;
        head.headers_mut().append(name, value);
    }
    Ok(head)
}

/// A header field; the value is not repeated in an error, since it may be a secret.
fn header(name: &[u8], value: &[u8]) -> PyResult<(HeaderName, HeaderValue)> {
    let wrong = || PyValueError::new_err(format!("not a header field: {}", String::from_utf8_lossy(name)));
    Ok((
        HeaderName::from_bytes(name).map_err(|_| wrong())?,
        HeaderValue::from_bytes(value).map_err(|_| wrong())?,
    ))
}

/// Say why the process ends, and end it: a server without its network's thread would hang on.
pub fn end_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(THREAD) {
            return before(panic);
        }
        let reason = panic.to_string().replace(['\\', '"'], "'").replace('\n', " ");
        eprintln!(
            "{{\"level\":\"critical\",\"logger\":\"session_service_engine\",\"event\":\"engine panicked\",\"reason\":\"{reason}\"}}"
        );
        std::process::abort();
    }));
}

#[pymodule]
#[pyo3(name = "_engine")]
fn engine_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
    end_on_panic();
    for (name, value) in [
        ("UNARY", UNARY),
        ("STREAM", STREAM),
        ("HTTP", HTTP),
        ("MESSAGES", MESSAGES),
        ("END", END),
        ("WRITABLE", WRITABLE),
        ("GONE", GONE),
    ] {
        module.add(name, value)?;
    }
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<Call>()?;
    module.add_class::<Reply>()?;
    module.add_class::<Engine>()
}
