//! The AWS engine against servers that others wrote. Their endpoints come from the environment.

mod fleet;
mod kinesis;
mod leases;
mod table_stream;
