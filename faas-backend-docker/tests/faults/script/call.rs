//! What an engine is called for, and how it answers.

use std::time::Duration;

use super::http::Asked;

/// A call to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Version,
    Info,
    Ping,
    Image,
    Load,
    Pull,
    Containers,
    Networks,
    MakeNetwork,
    RemoveNetwork,
    Create,
    Start,
    Pause,
    Unpause,
    Kill,
    Logs,
    Inspect,
    Remove,
    Other,
}

impl Call {
    pub(super) const ALL: [Self; 19] = [
        Self::Version,
        Self::Info,
        Self::Ping,
        Self::Image,
        Self::Load,
        Self::Pull,
        Self::Containers,
        Self::Networks,
        Self::MakeNetwork,
        Self::RemoveNetwork,
        Self::Create,
        Self::Start,
        Self::Pause,
        Self::Unpause,
        Self::Kill,
        Self::Logs,
        Self::Inspect,
        Self::Remove,
        Self::Other,
    ];

    /// What is called for, and the name that it concerns.
    pub(super) fn of(asked: &Asked) -> (Self, &str) {
        let path = asked.path.trim_start_matches('/');
        // The name of an image may be a path by itself.
        let image = path.strip_prefix("images/").and_then(|rest| rest.strip_suffix("/json"));
        if let Some(image) = image.filter(|_| asked.method == "GET") {
            return (Self::Image, image);
        }
        let mut parts = path.split('/');
        let (first, second, third) = (parts.next(), parts.next(), parts.next());
        let call = match (asked.method.as_str(), first, second, third) {
            ("GET", Some("version"), ..) => Self::Version,
            ("GET", Some("info"), ..) => Self::Info,
            ("GET", Some("_ping"), ..) => Self::Ping,
            ("POST", Some("images"), Some("load"), _) => Self::Load,
            ("POST", Some("images"), Some("create"), _) => Self::Pull,
            ("GET", Some("networks"), ..) => Self::Networks,
            ("POST", Some("networks"), ..) => Self::MakeNetwork,
            ("DELETE", Some("networks"), ..) => Self::RemoveNetwork,
            ("GET", Some("containers"), Some("json"), _) => Self::Containers,
            ("POST", Some("containers"), Some("create"), _) => Self::Create,
            ("POST", Some("containers"), _, Some("start")) => Self::Start,
            ("POST", Some("containers"), _, Some("pause")) => Self::Pause,
            ("POST", Some("containers"), _, Some("unpause")) => Self::Unpause,
            ("POST", Some("containers"), _, Some("kill")) => Self::Kill,
            ("GET", Some("containers"), _, Some("logs")) => Self::Logs,
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
    /// It is not done, and answered with this body.
    Told(String),
    /// It is done, and answered line by line, with a pause after each.
    Slowly(Duration),
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
