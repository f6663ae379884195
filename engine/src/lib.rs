//! Carries HTTP/1.1, HTTP/2, gRPC and gRPC-Web between sockets and one thread of Python.
//!
//! Start reading at `server`: a thread that accepts, and a task a connection (`http1`, `http2`) that enters
//! requests into the books (`calls`), reads them whole (`body`) and hands them over (`handover`). Python takes
//! all that wait (`binding`), and what it orders is carried out by `server`, `reply` and `stream`. Nothing here
//! knows what the calls are about.

pub mod authority;
mod binding;
mod body;
mod calls;
pub mod fault;
pub mod floods;
pub mod frames;
pub mod handover;
pub mod hpack;
mod http1;
mod http2;
pub mod metadata;
mod reply;
mod server;
mod settings;
mod socket;
mod stream;
mod tls;
pub mod web;
