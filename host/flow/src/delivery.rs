//! The delivery of one batch as a state machine.
