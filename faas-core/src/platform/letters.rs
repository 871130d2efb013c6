//! Replay for people: dead letters, and activations that are run again with what they were given.

use super::{Inner, InvokeOptions, Platform};
use crate::activation::{Activation, ActivationId, ActivationKind};
use crate::error::{Error, ErrorKind};
use crate::store::{ActivationQuery, DeadLetter, Job};

/// How many dead letters are looked at together. Arbitrary.
const PAGE: usize = 256;

impl Platform {
    /// The dead letters whose records match, oldest first: work that nobody waited for and that ended in an internal or
    /// developer error, or in an application error that its policy retries; and accepted work and events that were not
    /// run or fired, because their action or trigger was gone by then, or the trigger disabled.
    ///
    /// ```
    /// use faas_core::prelude::*;
    /// use faas_core::ActivationQuery;
    /// use serde_json::json;
    ///
    /// #[action]
    /// async fn broken() {
    ///     panic!("out of order")
    /// }
    /// actions![broken];
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let app = Platform::builder().backend(LocalBackend::new()).actions(actions()).build().await?;
    /// let id = app.submit("broken", json!({ "n": 1 })).await?;
    /// assert!(!app.activation(id).await?.outcome.is_success());
    /// let letters = app.dead_letters(&ActivationQuery::default()).await?;
    /// assert_eq!(letters[0].job.payload.as_str(), r#"{"n":1}"#);
    /// // Once it is mended, it is run again with the same input, as a new activation.
    /// let again = app.redrive(id).await?;
    /// assert!(again != id && app.dead_letter(id).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn dead_letters(&self, query: &ActivationQuery) -> Result<Vec<DeadLetter>, Error> {
        self.0.store.dead_letters(query).await
    }

    /// The dead letter of an activation, if it is one.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn dead_letter(&self, id: ActivationId) -> Result<Option<DeadLetter>, Error> {
        self.0.store.find_dead_letter(id).await
    }

    /// Accepts the job of a dead letter once more, as a new activation whose cause is the old one, and tells its id. The
    /// dead letter is one no more, in the same step; its record stays.
    ///
    /// # Errors
    /// `NotFound` when there is no such dead letter; `Overloaded` when the queue is full; `Closed`; `Unavailable`.
    ///
    /// # Cancel safety
    /// Dropping it leaves the job accepted or the dead letter where it was.
    pub async fn redrive(&self, id: ActivationId) -> Result<ActivationId, Error> {
        let _entered = self.0.in_flight.enter()?;
        self.0.redrive(id).await
    }

    /// [`redrive`](Self::redrive) of all dead letters that match by now, and how many that were.
    ///
    /// # Errors
    /// As [`redrive`](Self::redrive); those before the error are accepted.
    ///
    /// # Cancel safety
    /// Dropping it leaves some of them accepted, and the others where they were.
    pub async fn redrive_all(&self, query: &ActivationQuery) -> Result<u64, Error> {
        let _entered = self.0.in_flight.enter()?;
        let mut ids = Vec::new();
        let most = query.limit.unwrap_or(usize::MAX);
        while ids.len() < most {
            let (skip, limit) = (query.skip + ids.len(), Some(PAGE.min(most - ids.len())));
            let page = self.0.store.dead_letters(&ActivationQuery { skip, limit, ..query.clone() }).await?;
            if page.is_empty() {
                break;
            }
            ids.extend(page.iter().map(|letter| letter.job.id));
        }
        let mut redriven = 0;
        for id in ids {
            match self.0.redrive(id).await {
                Ok(_) => redriven += 1,
                // Somebody else was first.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(redriven)
    }

    /// Drops a dead letter; its record stays.
    ///
    /// # Errors
    /// `NotFound` when there is no such dead letter; `Unavailable`.
    ///
    /// # Cancel safety
    /// Dropping it leaves the dead letter dropped or not.
    pub async fn drop_dead_letter(&self, id: ActivationId) -> Result<(), Error> {
        self.0.store.drop_dead_letter(id).await
    }

    /// Runs an activation again with the input that its record keeps, as a new activation, and waits for that. The code
    /// is what the name stands for now.
    ///
    /// ```
    /// use faas_core::prelude::*;
    /// use serde_json::{Value, json};
    ///
    /// #[action]
    /// async fn echo(input: Value) -> Value {
    ///     input
    /// }
    /// actions![echo];
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let app =
    ///     Platform::builder().backend(LocalBackend::new()).actions(actions()).record_inputs(true).build().await?;
    /// let first = app.invoke("echo", json!({ "n": 1 })).await?;
    /// let again = app.replay(first.id).await?;
    /// assert!(again.id != first.id && again.outcome == first.outcome);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when there is no such record; `InvalidArgument` when it keeps no input (see
    /// [`record_inputs`](crate::PlatformBuilder::record_inputs)) or is of a trigger; as [`invoke`](Self::invoke).
    ///
    /// # Cancel safety
    /// As [`invoke`](Self::invoke).
    pub async fn replay(&self, id: ActivationId) -> Result<Activation, Error> {
        let found = self.find(id).await?;
        let record =
            found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no activation {id}")))?;
        let refuse = |why: &str| {
            let text = format!("activation {id} cannot be replayed: {why}");
            Err(Error::new(ErrorKind::InvalidArgument, text))
        };
        if record.revision.kind == ActivationKind::Trigger {
            return refuse("it is of a trigger, which is fired again instead");
        }
        let Some(input) = record.input.clone() else {
            return refuse("its input was not recorded, for which record_inputs(true) is needed");
        };
        let options = InvokeOptions { namespace: record.invoker.clone(), ..InvokeOptions::default() };
        self.invoke_with(&format!("/{}", record.action()), input, options).await
    }
}

impl Inner {
    async fn redrive(self: &std::sync::Arc<Self>, id: ActivationId) -> Result<ActivationId, Error> {
        let letter = self.store.find_dead_letter(id).await?;
        let text = || format!("there is no dead letter {id}");
        let job = letter.ok_or_else(|| Error::new(ErrorKind::NotFound, text()))?.job;
        let now = self.entropy.wall_clock();
        let job = Job {
            id: self.new_id(now),
            accepted: self.dispatch.accepted_at(now),
            not_before: now,
            cause: Some(id),
            key: None,
            ..job
        };
        let new = job.id;
        let platform = std::sync::Arc::clone(self);
        // In a task of its own: a caller who leaves meanwhile leaves no job behind that nobody is told of.
        let redriving = tokio::spawn(async move {
            platform.store.redrive(id, job).await?;
            platform.queued(1);
            Ok(())
        });
        redriving.await.unwrap_or_else(|_| Err(super::invoke::ended()))?;
        Ok(new)
    }
}
