//! One span per activation.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span, record_all};

use super::Layer;
use crate::backend::{Backend, Completion, Deployment, Invocation};
use crate::entropy::Entropy;
use crate::error::Error;

/// Runs each invocation in a `tracing` span named `activation`, at level info, of the caller's subscriber.
///
/// | field | value |
/// | --- | --- |
/// | `activation`, `cause` | ids |
/// | `action`, `namespace`, `backend` | names; the namespace is the one that invoked |
/// | `attempt` | a number, from 1 |
/// | `outcome`, `start_kind` | words, once it ended |
/// | `wait_us`, `create_us`, `init_us`, `run_us` | whole microseconds, once it ended |
/// | `error` | why the backend failed, if it did |
///
/// What user code logs lies within the span where it runs in this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceLayer(());

impl TraceLayer {
    /// The layer.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

#[async_trait]
impl Layer for TraceLayer {
    fn attach(&self, _: &Arc<Entropy>) {}

    async fn invoke(
        &self,
        backend: &dyn Backend,
        deployment: &Deployment,
        invocation: Invocation,
    ) -> Result<Completion, Error> {
        let span = info_span!(
            "activation",
            activation = %invocation.id,
            action = %deployment.spec.name,
            namespace = invocation.namespace(&deployment.spec),
            attempt = invocation.attempt,
            backend = backend.info().name,
            cause = invocation.cause.map(tracing::field::display),
            outcome = Empty,
            start_kind = Empty,
            wait_us = Empty,
            create_us = Empty,
            init_us = Empty,
            run_us = Empty,
            error = Empty,
        );
        let mut running = backend.invoke(deployment, invocation).instrument(span);
        let ended = (&mut running).await;
        record(running.span(), &ended);
        ended
    }
}

/// One call for all fields: subscribers that format them do so at each.
fn record(span: &Span, ended: &Result<Completion, Error>) {
    match ended {
        Ok(completion) => {
            record_all!(
                span,
                outcome = completion.outcome.status().as_str(),
                start_kind = completion.start_kind.as_str(),
                wait_us = micros(completion.wait),
                create_us = micros(completion.create),
                init_us = micros(completion.init),
                run_us = micros(completion.run)
            );
        }
        Err(error) => record_all!(span, error = %error),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;
    use std::sync::Mutex;

    use tracing::Subscriber;
    use tracing::field::{Field, Visit};
    use tracing::instrument::WithSubscriber;
    use tracing::span::{Attributes, Id, Record};
    use tracing_subscriber::layer::{Context, SubscriberExt};
    use tracing_subscriber::registry::LookupSpan;

    use super::*;
    use crate::error::ErrorKind;
    use crate::layer::scripted::{Scripted, completion, invocation};
    use crate::name::Namespace;

    /// The fields of all spans, by number of the span, and where the scripted backend's event was seen.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<BTreeMap<u64, BTreeMap<String, String>>>>);

    struct Fields<'a>(&'a mut BTreeMap<String, String>);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
        }
    }

    impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Seen {
        fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
            let mut spans = self.0.lock().unwrap();
            let fields = spans.entry(id.into_u64()).or_default();
            fields.insert("name".into(), attributes.metadata().name().into());
            attributes.record(&mut Fields(fields));
        }

        fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
            values.record(&mut Fields(self.0.lock().unwrap().entry(id.into_u64()).or_default()));
        }

        fn on_event(&self, event: &tracing::Event<'_>, cx: Context<'_, S>) {
            let span = cx.event_span(event).expect("an event within a span");
            event.record(&mut Fields(self.0.lock().unwrap().entry(span.id().into_u64()).or_default()));
        }
    }

    /// The fields of the one span that `invocation` made.
    async fn traced(backend: &Scripted, invocation: Invocation) -> BTreeMap<String, String> {
        let seen = Seen::default();
        let subscriber = tracing_subscriber::registry().with(seen.clone());
        let layered = TraceLayer::new().around(backend.shared());
        let deployment = backend.deployment();
        let _ = layered.invoke(&deployment, invocation).with_subscriber(subscriber).await;
        let spans = seen.0.lock().unwrap();
        assert_eq!(spans.len(), 1);
        spans.values().next().cloned().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_activation_is_one_span_with_the_glossarys_fields() {
        let backend = Scripted::new([Ok(Completion { run: Duration::from_micros(1_500), ..completion() })]);
        let id = crate::ActivationId::from_u128(7);
        let invoker = Some(Namespace::new("acme").unwrap());
        let fields = traced(&backend, Invocation { id, attempt: 2, invoker, ..invocation() }).await;
        let expected = [
            ("name", "activation"),
            ("activation", "00000000000000000000000000000007"),
            ("action", "_/greet"),
            ("namespace", "acme"),
            ("attempt", "2"),
            ("backend", "scripted"),
            ("outcome", "success"),
            ("start_kind", "warm"),
            ("wait_us", "0"),
            ("run_us", "1500"),
            // What runs below is within the span.
            ("message", "running"),
        ];
        for (field, value) in expected {
            assert_eq!(fields.get(field).map(String::as_str), Some(value), "{field} of {fields:?}");
        }
        assert!(!fields.contains_key("error") && !fields.contains_key("cause"), "{fields:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_backend_is_told_in_the_span() {
        let backend = Scripted::new([Err(Error::new(ErrorKind::SandboxLost, "it died"))]);
        let fields = traced(&backend, invocation()).await;
        assert_eq!(fields.get("error").map(String::as_str), Some("sandbox lost: it died"));
        assert!(!fields.contains_key("outcome"), "{fields:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_changes_without_a_subscriber() {
        let backend = Scripted::new([Ok(completion())]);
        let layered = TraceLayer::new().around(backend.shared());
        let done = layered.invoke(&backend.deployment(), invocation()).await.unwrap();
        assert!(done.outcome.is_success());
    }
}
