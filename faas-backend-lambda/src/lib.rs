//! Runs faas actions as AWS Lambda functions, over aws-sdk-lambda.
//!
//! The crate reserves its place in the workspace: it holds no backend yet. It will implement
//! the backend seam of `faas-core` and pass the conformance suite of `faas-testkit`.
