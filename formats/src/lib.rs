//! Sans-IO codecs: bytes in, meaning out. No tokio, no sockets, nothing of dbferry's engine.

pub mod mysql;
pub mod postgres;
pub mod rdb;
pub mod tar;
