//! The shop for PostgreSQL.

use std::io::Cursor;

use crate::PostgresServer;
use crate::error::Result;

const SHOP: &[u8] = include_bytes!("../../sample/postgres-shop.sql");
const RARE: &[u8] = include_bytes!("../../sample/postgres-rare.sql");
const NASTY: &[u8] = include_bytes!("../../sample/postgres-nasty.sql");

/// The roles that own and may read the shop, as the statements that make them: a server that a dump is restored into
/// with its owners needs them first, and one that stands for a managed service does not get them.
pub const ROLES: &str = "
    CREATE ROLE shop_owner NOLOGIN;
    CREATE ROLE \"shop reader\" NOLOGIN;
    CREATE ROLE \"weird \"\"owner\"\";\" NOLOGIN;
";

/// Creates the roles, the database and the shop with 2000 customers and 8000 orders: about 10 MB in two seconds.
pub fn load_postgres_shop(server: &PostgresServer, db: &str) -> Result<()> {
    load_postgres_shop_of(server, db, 2000)
}

/// The same with another number of customers.
pub fn load_postgres_shop_of(server: &PostgresServer, db: &str, customers: u32) -> Result<()> {
    server.sql("postgres", ROLES)?;
    create_database(server, db)?;
    let script = format!("\\set customers {customers}\n").into_bytes();
    server.load(db, Cursor::new([&script, SHOP].concat()))
}

/// Creates the database and what is legal and rare in it: names with line breaks, text that looks like commands of
/// psql, and a row with two values of `wide` bytes.
pub fn load_postgres_nasty(server: &PostgresServer, db: &str, wide: u32) -> Result<()> {
    create_database(server, db)?;
    let script = format!("\\set wide {wide}\n").into_bytes();
    server.load(db, Cursor::new([&script, NASTY].concat()))
}

/// Creates the database and one of every kind of object that an ordinary owner may make.
pub fn load_postgres_rare(server: &PostgresServer, db: &str) -> Result<()> {
    create_database(server, db)?;
    server.load(db, Cursor::new(RARE))
}

/// An empty UTF-8 database, for a sample or for a restore.
pub fn create_database(server: &PostgresServer, db: &str) -> Result<()> {
    let name = db.replace('"', "\"\"");
    server.sql("postgres", format!("CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8';"))
}
