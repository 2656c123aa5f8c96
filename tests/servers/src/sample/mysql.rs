//! The shop for MariaDB and MySQL.

use std::io::Cursor;

use crate::error::Result;
use crate::{Flavour, MySqlServer};

const SHOP: &[u8] = include_bytes!("../../sample/mysql-shop.sql");
const MARIADB: &[u8] = include_bytes!("../../sample/mysql-mariadb.sql");
const NASTY: &[u8] = include_bytes!("../../sample/mysql-nasty.sql");
const RARE: &[u8] = include_bytes!("../../sample/mysql-rare.sql");
const MYSQL: &[u8] = include_bytes!("../../sample/mysql-mysql.sql");

/// The accounts that own the shop's views and programs, every one of them hard on a tool that edits DEFINER clauses
/// as text: a blank, a backtick, a quote, the end of a comment, an `@`, a double quote.
pub const DEFINERS: [(&str, &str); 6] = [
    ("shop app", "10.0.%"),
    ("weird`user", "localhost"),
    ("it's", "%"),
    ("a */ b", "%"),
    ("admin@corp", "db-1.example.org"),
    ("ansi \"user\"", "%"),
];

/// Creates the database and the shop with 2000 customers, 8000 orders and everything around them: about 6 MB in
/// a second. Both flavours hold the same rows.
pub fn load_shop(server: &MySqlServer, db: &str) -> Result<()> {
    load_shop_of(server, db, 2000)
}

/// The same with another number of customers, up to 99,999.
pub fn load_shop_of(server: &MySqlServer, db: &str, customers: u32) -> Result<()> {
    server.sql(format!("CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;", quote(db)))?;
    for (user, host) in DEFINERS {
        let account = format!("{}@{}", quote(user), quote(host));
        server.sql(format!(
            "CREATE USER IF NOT EXISTS {account}; GRANT ALL ON {}.* TO {account};",
            quote(db)
        ))?;
    }
    let script = format!("SET @customers = {customers};\n").into_bytes();
    server.load(db, Cursor::new([&script, SHOP].concat()))
}

/// Adds what only the server's own flavour has to a loaded shop: MariaDB's sequence, system-versioned table, package
/// and role as definer; MySQL's functional and multi-valued indexes, SRIDs, invisible generated keys.
pub fn load_shop_specials(server: &MySqlServer, db: &str) -> Result<()> {
    if server.flavour() == Flavour::MariaDb {
        server
            .sql(format!("CREATE ROLE IF NOT EXISTS app_role; GRANT ALL ON {}.* TO app_role;", quote(db)))?;
        return server.load(db, Cursor::new(MARIADB));
    }
    server.load(db, Cursor::new(MYSQL))
}

/// Creates the database and what both flavours have and samples seldom show: types at their ends, partitions, foreign keys in a circle.
pub fn load_rare(server: &MySqlServer, db: &str) -> Result<()> {
    server.sql(format!("CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;", quote(db)))?;
    server.load(db, Cursor::new(RARE))
}

/// Creates the database and what is legal and rare in it: names and an account with line breaks and ends of comments,
/// bytes of several character sets that look like quotes, and two rows of `wide` bytes.
pub fn load_nasty(server: &MySqlServer, db: &str, wide: u32) -> Result<()> {
    server.sql(format!("CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;", quote(db)))?;
    let account = "`new\nline */ user`@`%`";
    server.sql(format!("CREATE USER IF NOT EXISTS {account}; GRANT ALL ON {}.* TO {account};", quote(db)))?;
    let script = format!("SET @wide = {wide};\n").into_bytes();
    server.load(db, Cursor::new([&script, NASTY].concat()))
}

pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
