//! Object stores as dbferry speaks to them: addresses, credentials, requests, retries. Sources and sinks stand on it, so that both ends
//! of a copy treat an endpoint and its answers alike.

pub mod s3;
