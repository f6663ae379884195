//! What may be wrong with a request before Python has seen it.

/// A reason to refuse a request, and a text that may be shown to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub text: String,
}

/// The kinds of faults; Python maps each to a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The body is not what gRPC or gRPC-Web says it must be.
    MalformedRequest,
    /// A header field is not what gRPC says it must be.
    MalformedMetadata,
    /// A message or a body is over its limit.
    MessageTooLarge,
    /// The header fields are over their limit.
    MetadataTooLarge,
    /// A message is compressed in a way that is not read here.
    UnknownEncoding,
    /// No such method is served.
    UnknownMethod,
    /// The request did not arrive in time.
    Late,
}

impl Fault {
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(crate) fn malformed(text: impl Into<String>) -> Self {
        Self::new(FaultKind::MalformedRequest, text)
    }
}

impl FaultKind {
    /// The name that Python knows the kind by.
    pub fn name(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed_request",
            Self::MalformedMetadata => "malformed_metadata",
            Self::MessageTooLarge => "message_too_large",
            Self::MetadataTooLarge => "metadata_too_large",
            Self::UnknownEncoding => "unknown_encoding",
            Self::UnknownMethod => "unknown_method",
            Self::Late => "late",
        }
    }
}
