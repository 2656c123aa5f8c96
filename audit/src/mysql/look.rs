//! The catalogue of a MySQL or MariaDB database, from `information_schema`.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use pipeline::Result;

use super::{Side, bytes, normal, quote};
use crate::catalogue::{Catalogue, Column, Table};

pub(super) struct Look<'a> {
    pub(super) side: &'a Side,
    pub(super) conn: &'a mut Conn,
}

/// Of each table's indexes: whether it is unique, and its columns, `None` where it is not a whole column.
type Keys = BTreeMap<(String, String), (bool, Vec<Option<String>>)>;

/// A row as text; a NULL is `None`.
type Record = Vec<Option<String>>;

fn text(record: &Record, at: usize) -> String {
    record.get(at).cloned().flatten().unwrap_or_default()
}

impl Look<'_> {
    pub(super) async fn all(mut self) -> Result<Catalogue> {
        let mut catalogue = Catalogue::default();
        if !self.side.mariadb {
            // Or sizes and counters are those of a day ago. Servers before 8.0 have no such cache.
            self.conn.query_drop("SET SESSION information_schema_stats_expiry = 0").await.ok();
        }
        self.database(&mut catalogue).await?;
        self.tables(&mut catalogue).await?;
        self.partitions(&mut catalogue).await?;
        let json = self.checks(&mut catalogue).await?;
        self.columns(&mut catalogue, &json).await?;
        self.indexes(&mut catalogue).await?;
        self.foreign_keys(&mut catalogue).await?;
        self.views(&mut catalogue).await?;
        self.routines(&mut catalogue).await?;
        self.triggers(&mut catalogue).await?;
        self.events(&mut catalogue).await?;
        Ok(catalogue)
    }

    async fn query(&mut self, what: &str, sql: &str) -> Result<Vec<Record>> {
        let rows: Vec<Row> = self.conn.query(sql).await.map_err(|error| self.side.failed(what, error))?;
        let text = |cell: Option<Vec<u8>>| cell.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(rows.into_iter().map(|row| bytes(row).into_iter().map(text).collect()).collect())
    }

    fn expression(&self, text: &str) -> String {
        if self.side.across {
            return normal::expression(text, &self.side.database);
        }
        text.replace(&format!("{}.", quote(&self.side.database)), "")
    }

    fn mode(&self, text: &str) -> String {
        // MariaDB's catalogue has another name for this one than its variable.
        let name = |mode: &str| if mode == "INVALID_DATES" { "ALLOW_INVALID_DATES" } else { mode }.to_owned();
        let text = &text.split(',').map(name).collect::<Vec<_>>().join(",");
        if self.side.across { normal::sql_mode(text) } else { text.to_owned() }
    }

    async fn database(&mut self, catalogue: &mut Catalogue) -> Result<()> {
        let sql = "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = DATABASE()";
        for row in self.query("the database", sql).await? {
            catalogue.add("database", "", [("character set", text(&row, 0)), ("~collation", text(&row, 1))]);
        }
        Ok(())
    }

    async fn tables(&mut self, catalogue: &mut Catalogue) -> Result<()> {
        let sql = "SELECT table_name, table_type, engine, table_collation, create_options, table_comment, auto_increment, \
                   coalesce(data_length, 0) FROM information_schema.tables WHERE table_schema = DATABASE()";
        for row in self.query("its tables", sql).await? {
            let name = text(&row, 0);
            match text(&row, 1).as_str() {
                "VIEW" | "SYSTEM VIEW" => continue,
                "SEQUENCE" => {
                    catalogue.add("sequence", name.clone(), []);
                    let query = format!(
                        "SELECT next_not_cached_value, minimum_value, maximum_value, start_value, increment, cache_size, cycle_option, cycle_count FROM {}",
                        quote(&name)
                    );
                    let columns = [
                        "next value",
                        "minimum",
                        "maximum",
                        "start",
                        "increment",
                        "cache",
                        "cycle",
                        "cycles",
                    ];
                    for values in self.query("a sequence", &query).await? {
                        let named =
                            columns.iter().enumerate().map(|(at, column)| (*column, text(&values, at)));
                        catalogue.add("sequence", name.clone(), named);
                    }
                    continue;
                }
                _ => {}
            }
            let collation = text(&row, 3);
            let charset = collation.split('_').next().unwrap_or_default();
            let counter = text(&row, 6);
            let counter = if counter.is_empty() { "1" } else { &counter };
            let options = text(&row, 4).to_ascii_lowercase();
            catalogue.add(
                "table",
                name.clone(),
                [
                    ("character set", charset.replace("utf8mb3", "utf8")),
                    ("comment", text(&row, 5)),
                    ("next auto_increment", counter.to_owned()),
                    ("partitioned", options.contains("partitioned").to_string()),
                    ("~collation", collation),
                    ("~engine", text(&row, 2)),
                    ("~kind", text(&row, 1)),
                ],
            );
            let bytes = text(&row, 7).parse().unwrap_or(0);
            let table = Table { sql: quote(&name), bytes, ..Table::default() };
            catalogue.tables.insert(name, table);
        }
        Ok(())
    }

    async fn partitions(&mut self, catalogue: &mut Catalogue) -> Result<()> {
        let sql = "SELECT table_name, partition_name, partition_method, partition_expression, partition_description, subpartition_name \
                   FROM information_schema.partitions WHERE table_schema = DATABASE() AND partition_name IS NOT NULL \
                   AND partition_method <> 'SYSTEM_TIME' ORDER BY table_name, partition_ordinal_position, subpartition_ordinal_position";
        for row in self.query("its partitions", sql).await? {
            let expression = normal::expression(&text(&row, 3), &self.side.database);
            let (method, limit) = (text(&row, 2), text(&row, 4));
            let item = format!("{} {method} {expression} {limit} {}", text(&row, 1), text(&row, 5));
            catalogue.append("table", text(&row, 0), "partitions", item.trim_end());
        }
        Ok(())
    }

    /// Also answers which columns are JSON as MariaDB has it: a text with a check that it is.
    async fn checks(&mut self, catalogue: &mut Catalogue) -> Result<BTreeSet<(String, String)>> {
        let mut json = BTreeSet::new();
        let sql = if self.side.mariadb {
            "SELECT table_name, constraint_name, check_clause, 'YES' FROM information_schema.check_constraints WHERE constraint_schema = DATABASE()"
        } else {
            "SELECT t.table_name, c.constraint_name, c.check_clause, t.enforced FROM information_schema.check_constraints c \
             JOIN information_schema.table_constraints t ON t.constraint_schema = c.constraint_schema AND t.constraint_name = c.constraint_name \
             AND t.constraint_type = 'CHECK' WHERE c.constraint_schema = DATABASE()"
        };
        // Servers before 8.0.16 have none, and no table to ask.
        let exists = self
            .query(
                "its constraints",
                "SELECT 1 FROM information_schema.tables WHERE table_schema = 'information_schema' AND upper(table_name) = 'CHECK_CONSTRAINTS'",
            )
            .await?;
        if exists.is_empty() {
            return Ok(json);
        }
        for row in self.query("its constraints", sql).await? {
            let (table, name, clause) = (text(&row, 0), text(&row, 1), text(&row, 2));
            let column = clause.strip_prefix("json_valid(`").and_then(|rest| rest.strip_suffix("`)"));
            // MariaDB's JSON is a text with such a check, and stays one when its dump is loaded into MySQL.
            if let Some(column) = column.filter(|_| self.side.across || self.side.mariadb) {
                json.insert((table, column.replace("``", "`")));
                continue;
            }
            // A check without a name gets one that differs between the makers.
            let (name, clause) =
                if self.side.across { (self.expression(&clause), String::new()) } else { (name, clause) };
            let properties = [("condition", clause), ("enforced", text(&row, 3))];
            catalogue.add("check", format!("{table}.{name}"), properties);
        }
        Ok(json)
    }

    async fn columns(&mut self, catalogue: &mut Catalogue, json: &BTreeSet<(String, String)>) -> Result<()> {
        let sql = "SELECT table_name, column_name, ordinal_position, column_default, is_nullable, column_type, character_set_name, \
                   collation_name, extra, column_comment, generation_expression FROM information_schema.columns \
                   WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position";
        for row in self.query("its columns", sql).await? {
            let (table, name) = (text(&row, 0), text(&row, 1));
            let mut kind = normal::column_type(&text(&row, 5));
            let mut charset = row[6].clone().map(|charset| charset.replace("utf8mb3", "utf8"));
            if json.contains(&(table.clone(), name.clone())) {
                (kind, charset) = ("json".to_owned(), None);
            }
            if !catalogue.tables.contains_key(&table) {
                continue;
            }
            let extra = text(&row, 8).to_ascii_lowercase();
            let generated = extra.contains("virtual generated")
                || extra.contains("stored generated")
                || extra.contains("persistent");
            let default = self.default(row[3].as_deref(), &extra);
            let extra: Vec<String> = extra
                .replace("default_generated", "")
                .replace("current_timestamp()", "current_timestamp")
                .replace("without system versioning", "")
                .split_whitespace()
                .map(str::to_owned)
                .collect();
            let collation = if charset.is_some() { text(&row, 7) } else { String::new() };
            let properties = [
                ("position", text(&row, 2)),
                ("type", kind.clone()),
                ("nullable", text(&row, 4)),
                ("character set", charset.clone().unwrap_or_default()),
                ("~collation", collation),
                ("default", default),
                ("attributes", extra.join(" ")),
                ("comment", text(&row, 9)),
                ("generated as", self.expression(&text(&row, 10))),
            ];
            catalogue.add("column", format!("{table}.{name}"), properties);
            if !generated && let Some(table) = catalogue.tables.get_mut(&table) {
                table.columns.push(Column { name, kind, charset });
            }
        }
        Ok(())
    }

    fn default(&self, text: Option<&str>, extra: &str) -> String {
        let Some(text) = text else { return "none".to_owned() };
        let found = if self.side.mariadb {
            normal::mariadb_default(text)
        } else if extra.contains("default_generated") {
            Some(normal::Default::Expression(text.to_owned()))
        } else {
            Some(normal::Default::Literal(text.to_owned()))
        };
        match found {
            None => "none".to_owned(),
            Some(normal::Default::Literal(text)) => format!("'{text}'"),
            // CURRENT_TIMESTAMP comes with and without parentheses.
            Some(normal::Default::Expression(text)) => normal::expression(&text, &self.side.database),
        }
    }

    async fn indexes(&mut self, catalogue: &mut Catalogue) -> Result<()> {
        let has = |column: &str| {
            format!(
                "SELECT 1 FROM information_schema.columns WHERE table_schema = 'information_schema' AND upper(table_name) = 'STATISTICS' AND upper(column_name) = '{column}'"
            )
        };
        let expression = !self.query("its indexes", &has("EXPRESSION")).await?.is_empty();
        let visible = !self.query("its indexes", &has("IS_VISIBLE")).await?.is_empty();
        let ignored = !self.query("its indexes", &has("IGNORED")).await?.is_empty();
        let sql = format!(
            "SELECT table_name, index_name, non_unique, column_name, collation, sub_part, index_type, index_comment, {}, {} \
             FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index",
            if expression { "expression" } else { "NULL" },
            if visible {
                "is_visible"
            } else if ignored {
                "if(ignored = 'YES', 'NO', 'YES')"
            } else {
                "'YES'"
            },
        );
        let mut keys = Keys::new();
        for row in self.query("its indexes", &sql).await? {
            let (table, index, kind) = (text(&row, 0), text(&row, 1), text(&row, 6));
            let unique = text(&row, 2) == "0";
            let name = format!("{table}.{index}");
            let properties = [
                ("unique", unique.to_string()),
                ("type", kind.clone()),
                ("comment", text(&row, 7)),
                ("visible", text(&row, 9)),
            ];
            catalogue.add("index", name.clone(), properties);
            let mut item = match &row[3] {
                Some(column) => column.clone(),
                None => format!("({})", self.expression(&text(&row, 8))),
            };
            let plain = kind == "BTREE" || kind == "HASH";
            if let (Some(length), true) = (&row[5], plain) {
                item = format!("{item}({length})");
            }
            if text(&row, 4) == "D" {
                item.push_str(" DESC");
            }
            catalogue.append("index", name, "columns", &item);
            let key = keys.entry((table, index)).or_insert((unique, Vec::new()));
            // A prefix does not tell rows apart by the whole value, and neither does an expression.
            key.1.push(if row[5].is_none() { row[3].clone() } else { None });
        }
        Self::choose_keys(catalogue, keys);
        Ok(())
    }

    /// The primary key, else the first unique one without a column that can be NULL.
    fn choose_keys(catalogue: &mut Catalogue, keys: Keys) {
        let nullable = |catalogue: &Catalogue, table: &str, column: &str| {
            let key = ("column".to_owned(), format!("{table}.{column}"));
            catalogue.objects.get(&key).and_then(|c| c.get("nullable")).is_none_or(|answer| answer != "NO")
        };
        for ((name, index), (unique, columns)) in keys {
            let columns: Option<Vec<String>> = columns.into_iter().collect();
            let Some(columns) = columns.filter(|_| unique) else { continue };
            let Some(table) = catalogue.tables.get(&name) else { continue };
            let fits = columns.iter().all(|column| {
                table.columns.iter().any(|c| c.name == *column) && !nullable(catalogue, &name, column)
            });
            let better = index == "PRIMARY" || table.key.is_empty();
            if fits
                && better
                && let Some(table) = catalogue.tables.get_mut(&name)
            {
                table.key = columns;
            }
        }
    }

    async fn foreign_keys(&mut self, catalogue: &mut Catalogue) -> Result<()> {
        let sql = "SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_name, k.referenced_column_name, \
                   r.update_rule, r.delete_rule FROM information_schema.key_column_usage k \
                   JOIN information_schema.referential_constraints r ON r.constraint_schema = k.constraint_schema \
                   AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name \
                   WHERE k.table_schema = DATABASE() AND k.referenced_table_name IS NOT NULL ORDER BY k.table_name, k.constraint_name, k.ordinal_position";
        for row in self.query("its foreign keys", sql).await? {
            let name = format!("{}.{}", text(&row, 0), text(&row, 1));
            // InnoDB treats the two alike, and the servers print the default differently.
            let rule = |at: usize| text(&row, at).replace("NO ACTION", "RESTRICT");
            catalogue.add("foreign key", name.clone(), [("on update", rule(5)), ("on delete", rule(6))]);
            let item = format!("{} → {}.{}", text(&row, 2), text(&row, 3), text(&row, 4));
            catalogue.append("foreign key", name, "columns", &item);
        }
        Ok(())
    }

    async fn views(&mut self, catalogue: &mut Catalogue) -> Result<()> {
        let sql = "SELECT table_name, view_definition, check_option, security_type, definer FROM information_schema.views WHERE table_schema = DATABASE()";
        for row in self.query("its views", sql).await? {
            // The columns of a view are in its definition; the catalogue lists them only once the server has looked at what is below it.
            let definition = normal::joins(&self.expression(&text(&row, 1)));
            let properties = [
                ("definition", definition),
                ("check option", text(&row, 2)),
                ("~security", text(&row, 3)),
                ("~definer", text(&row, 4)),
            ];
            catalogue.add("view", text(&row, 0), properties);
        }
        Ok(())
    }

    async fn routines(&mut self, catalogue: &mut Catalogue) -> Result<()> {
        let sql = "SELECT routine_name, routine_type, dtd_identifier, routine_definition, is_deterministic, sql_data_access, routine_comment, \
                   sql_mode, security_type, definer FROM information_schema.routines WHERE routine_schema = DATABASE()";
        let mut kinds = BTreeMap::new();
        for row in self.query("its routines", sql).await? {
            let (name, kind) = (text(&row, 0), text(&row, 1).to_ascii_lowercase());
            let body = self.body(&name, &kind, &row).await?;
            let properties = [
                ("returns", normal::column_type(&text(&row, 2))),
                ("body", body),
                ("deterministic", text(&row, 4)),
                ("data access", text(&row, 5)),
                ("comment", text(&row, 6)),
                ("sql_mode", self.mode(&text(&row, 7))),
                ("~security", text(&row, 8)),
                ("~definer", text(&row, 9)),
            ];
            catalogue.add(&kind, name.clone(), properties);
            kinds.insert((name, kind.clone()), kind);
        }
        let sql = "SELECT specific_name, routine_type, parameter_mode, parameter_name, dtd_identifier, character_set_name \
                   FROM information_schema.parameters WHERE specific_schema = DATABASE() ORDER BY specific_name, routine_type, ordinal_position";
        for row in self.query("its parameters", sql).await? {
            let (name, kind) = (text(&row, 0), text(&row, 1).to_ascii_lowercase());
            if !kinds.contains_key(&(name.clone(), kind.clone())) {
                continue;
            }
            let charset = text(&row, 5).replace("utf8mb3", "utf8");
            let item = format!(
                "{} {} {} {charset}",
                text(&row, 2),
                text(&row, 3),
                normal::column_type(&text(&row, 4))
            );
            catalogue.append(&kind, name, "parameters", item.trim());
        }
        Ok(())
    }

    /// MySQL's catalogue garbles a body with quoted names of `ANSI_QUOTES`; the statement that creates it is right.
    async fn body(&mut self, name: &str, kind: &str, row: &Record) -> Result<String> {
        if !text(row, 7).contains("ANSI_QUOTES") {
            return Ok(text(row, 3));
        }
        let sql = format!("SHOW CREATE {kind} {}", quote(name));
        let shown = self.query("a routine", &sql).await?;
        let statement = shown.first().map(|row| text(row, 2)).unwrap_or_default();
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let rest = statement.split_once(&quoted).map(|(_, rest)| rest.to_owned());
        Ok(rest.unwrap_or(statement))
    }

    async fn triggers(&mut self, catalogue: &mut Catalogue) -> Result<()> {
        let sql = "SELECT trigger_name, event_object_table, action_timing, event_manipulation, action_order, action_statement, sql_mode, definer \
                   FROM information_schema.triggers WHERE trigger_schema = DATABASE()";
        for row in self.query("its triggers", sql).await? {
            let properties = [
                ("table", text(&row, 1)),
                ("fires", format!("{} {}", text(&row, 2), text(&row, 3))),
                ("order", text(&row, 4)),
                ("body", text(&row, 5)),
                ("sql_mode", self.mode(&text(&row, 6))),
                ("~definer", text(&row, 7)),
            ];
            catalogue.add("trigger", text(&row, 0), properties);
        }
        Ok(())
    }

    async fn events(&mut self, catalogue: &mut Catalogue) -> Result<()> {
        let sql = "SELECT event_name, event_definition, event_type, execute_at, interval_value, interval_field, starts, ends, status, \
                   on_completion, event_comment, time_zone, sql_mode, definer FROM information_schema.events WHERE event_schema = DATABASE()";
        for row in self.query("its events", sql).await? {
            let schedule: Vec<String> = (2..8).map(|at| text(&row, at)).collect();
            let properties = [
                ("body", text(&row, 1)),
                ("schedule", schedule.join(" ").trim_end().to_owned()),
                ("status", text(&row, 8)),
                ("on completion", text(&row, 9)),
                ("comment", text(&row, 10)),
                ("time zone", text(&row, 11)),
                ("sql_mode", self.mode(&text(&row, 12))),
                ("~definer", text(&row, 13)),
            ];
            catalogue.add("event", text(&row, 0), properties);
        }
        Ok(())
    }
}
