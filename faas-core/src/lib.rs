//! Functions as a service.
