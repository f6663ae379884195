//! A request as Python sees it.

use crate::calls::{Kind, NewCall};
use crate::server::Shared;
use http::header::HOST;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

pub const UNARY: i32 = 0;
pub const STREAM: i32 = 1;
pub const HTTP: i32 = 2;

#[pyclass(frozen, module = "session_service_engine")]
pub struct Call {
    call: Option<Box<NewCall>>,
    /// On Python's monotonic clock.
    arrived: f64,
    shared: Arc<Shared>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.shared.give_back(self.call.take());
    }
}

#[pymethods]
impl Call {
    #[getter]
    fn id(&self) -> u64 {
        self.call().id
    }
    #[getter]
    fn kind(&self) -> i32 {
        match self.call().kind {
            Kind::Unary => UNARY,
            Kind::Stream => STREAM,
            Kind::Http => HTTP,
        }
    }
    #[getter]
    fn method(&self) -> i32 {
        self.call().method
    }
    #[getter]
    fn path(&self) -> &str {
        self.call().head.uri.path()
    }
    #[getter]
    fn query(&self) -> &str {
        self.call().head.uri.query().unwrap_or("")
    }
    #[getter]
    fn verb(&self) -> &str {
        self.call().head.method.as_str()
    }
    #[getter]
    fn message<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.call().message)
    }
    #[getter]
    fn fault(&self) -> Option<(&'static str, &str)> {
        self.call().fault.as_ref().map(|fault| (fault.kind.name(), fault.text.as_str()))
    }
    #[getter]
    fn arrived(&self) -> f64 {
        self.seconds(self.call().arrived)
    }
    #[getter]
    fn deadline(&self) -> f64 {
        self.call().deadline.map_or(f64::INFINITY, |deadline| self.seconds(deadline))
    }
    #[getter]
    fn web(&self) -> bool {
        self.call().web
    }
    #[getter]
    fn secure(&self) -> bool {
        self.call().peer.secure
    }
    #[getter]
    fn peer(&self) -> &str {
        &self.call().peer.address
    }
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        let head = &self.call().head;
        let authority = head.uri.authority();
        if let Some(authority) = authority {
            list.append((PyBytes::new(py, b"host"), PyBytes::new(py, authority.as_str().as_bytes())))?;
        }
        for (name, value) in &head.headers {
            if authority.is_some() && name == HOST {
                continue;
            }
            list.append((PyBytes::new(py, name.as_str().as_bytes()), PyBytes::new(py, value.as_bytes())))?;
        }
        Ok(list)
    }
    fn values<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyList>> {
        if let (Some(authority), "host") = (self.call().head.uri.authority(), name) {
            return PyList::new(py, [authority.as_str()]);
        }
        let list = PyList::empty(py);
        for value in self.call().head.headers.get_all(name) {
            list.append(text(value.as_bytes()))?;
        }
        Ok(list)
    }
    fn certificate<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.call().peer.certificate.as_ref().map(|der| PyBytes::new(py, der))
    }
}

/// Text by ISO-8859-1, of which every byte is some.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.is_ascii() => text.into(),
        _ => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

impl Call {
    /// `arrived`: on Python's monotonic clock.
    pub fn new(call: Box<NewCall>, arrived: f64, shared: Arc<Shared>) -> Self {
        Self { call: Some(call), arrived, shared }
    }

    fn call(&self) -> &NewCall {
        self.call.as_deref().expect("it is there until it is dropped")
    }

    /// An instant on Python's monotonic clock.
    fn seconds(&self, instant: Instant) -> f64 {
        let since = |later: Instant, earlier: Instant| later.saturating_duration_since(earlier).as_secs_f64();
        let arrived = self.call().arrived;
        self.arrived + since(instant, arrived) - since(arrived, instant)
    }
}
