//! Carries calls between sockets and one thread of Python.
pub mod fault;
pub mod floods;
pub mod frames;
pub mod handover;
pub mod metadata;
pub mod web;
