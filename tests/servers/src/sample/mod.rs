//! Data that dump tools have lost or changed before, in sizes from a second to a benchmark.

mod bulk;
mod mysql;
mod postgres;
mod tree;

pub use bulk::{bulk_mysql, bulk_postgres, load_bulk, load_postgres_bulk};
pub use mysql::{DEFINERS, load_nasty, load_rare, load_shop, load_shop_of, load_shop_specials};
pub use postgres::{
    ROLES, create_database, load_postgres_nasty, load_postgres_rare, load_postgres_shop,
    load_postgres_shop_of,
};
pub use tree::make_tree;
