//! What happens to bytes on their way from a source to a destination. Each module is one kind of [`pipeline::Transform`].

pub mod codec;
pub mod crypt;
pub mod interpret;
pub mod mysql;
pub mod postgres;
pub mod rdb;
pub mod tar;
