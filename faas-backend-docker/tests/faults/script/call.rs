//! What an engine is called for, and how it answers.

use super::http::Asked;

/// A call to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Version,
    Info,
    Ping,
    Image,
    Load,
    Containers,
    Networks,
    MakeNetwork,
    RemoveNetwork,
    Create,
    Start,
    Inspect,
    Remove,
    Other,
}

impl Call {
    pub(super) const ALL: [Self; 14] = [
        Self::Version,
        Self::Info,
        Self::Ping,
        Self::Image,
        Self::Load,
        Self::Containers,
        Self::Networks,
        Self::MakeNetwork,
        Self::RemoveNetwork,
        Self::Create,
        Self::Start,
        Self::Inspect,
        Self::Remove,
        Self::Other,
    ];

    /// What is called for, and the name that it concerns.
    pub(super) fn of(asked: &Asked) -> (Self, &str) {
        let mut parts = asked.path.trim_start_matches('/').split('/');
        let (first, second, third) = (parts.next(), parts.next(), parts.next());
        let call = match (asked.method.as_str(), first, second, third) {
            ("GET", Some("version"), ..) => Self::Version,
            ("GET", Some("info"), ..) => Self::Info,
            ("GET", Some("_ping"), ..) => Self::Ping,
            ("POST", Some("images"), Some("load"), _) => Self::Load,
            ("GET", Some("images"), ..) => Self::Image,
            ("GET", Some("networks"), ..) => Self::Networks,
            ("POST", Some("networks"), ..) => Self::MakeNetwork,
            ("DELETE", Some("networks"), ..) => Self::RemoveNetwork,
            ("GET", Some("containers"), Some("json"), _) => Self::Containers,
            ("POST", Some("containers"), Some("create"), _) => Self::Create,
            ("POST", Some("containers"), _, Some("start")) => Self::Start,
            ("GET", Some("containers"), _, Some("json")) => Self::Inspect,
            ("DELETE", Some("containers"), ..) => Self::Remove,
            _ => Self::Other,
        };
        (call, second.unwrap_or_default())
    }
}

/// How a call is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// As a real engine does.
    Usual,
    /// With a status and a message, and nothing is done.
    Refusal(u16, String),
    /// It is done, and answered with this body.
    Body(String),
    /// It is done, and answered with this, which need not be HTTP; then the connection is closed.
    Raw(&'static str),
    /// It is done, and answered with one half of the answer; then the connection is closed.
    Half,
    /// It is done, and answered with one half of the answer; then nothing more comes.
    Stalled,
    /// It is not done, and never answered.
    Silence,
    /// The connection is closed, and nothing is done.
    Closed,
    /// It is done as late as when the engine is healed.
    Late,
    /// It is said to be done, and nothing is.
    Lie,
}
