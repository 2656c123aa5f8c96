use bytes::Bytes;
use pipeline::{Transform, TransformReport};
use proptest::prelude::*;

use super::*;

fn run(options: Options, pieces: impl IntoIterator<Item = Vec<u8>>) -> (Vec<u8>, TransformReport) {
    let mut rewrite = Box::new(MysqlRewrite::new(options));
    let mut out = Vec::new();
    for piece in pieces {
        rewrite.push(Bytes::from(piece), &mut out).expect("rewrites");
    }
    let report = rewrite.finish(&mut out).expect("ends");
    (out, report)
}

fn with_policy(definer: DefinerPolicy) -> Options {
    Options { definer, ..Options::default() }
}

fn rewrite(options: &Options, text: &str) -> String {
    let (whole, _) = run(options.clone(), [text.as_bytes().to_vec()]);
    let (bytes, _) = run(options.clone(), text.bytes().map(|byte| vec![byte]));
    assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&bytes), "cut into single bytes");
    let (again, report) = run(options.clone(), [whole.clone()]);
    assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&again), "idempotent");
    assert!(report.changes.is_empty(), "the second time there is nothing to change: {:?}", report.changes);
    String::from_utf8(whole).expect("UTF-8")
}

/// Each case: what goes in, what comes out when stripped.
const STRIPPED: &[(&str, &str)] = &[
    // A view as mysqldump writes it, in three comments.
    (
        "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 1 AS `1` */;\n",
        "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 1 AS `1` */;\n",
    ),
    (
        "/*!50001 CREATE ALGORITHM=MERGE */\n/*!50013 DEFINER=`a`@`b` */\n/*!50001 VIEW `v` AS select 1 */\n/*!50002 WITH CASCADED CHECK OPTION */;",
        "/*!50001 CREATE ALGORITHM=MERGE */\n/*!50001 VIEW `v` AS select 1 */\n/*!50002 WITH CASCADED CHECK OPTION */;",
    ),
    (
        "DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.x='DEFINER=`q`@`w`; '*/;;\nDELIMITER ;\n",
        "DELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.x='DEFINER=`q`@`w`; '*/;;\nDELIMITER ;\n",
    ),
    (
        "DELIMITER ;;\n/*!50106 CREATE*/ /*!50117 DEFINER=`a`@`b`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */ ;;\nDELIMITER ;\n",
        "DELIMITER ;;\n/*!50106 CREATE*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */ ;;\nDELIMITER ;\n",
    ),
    (
        "/*!50106 CREATE DEFINER=`a`@`b` EVENT `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */;",
        "/*!50106 CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */;",
    ),
    (
        "DELIMITER ;;\nCREATE DEFINER=`a`@`b` PROCEDURE `p`()\nBEGIN SELECT 'DEFINER=`x`@`y`'; -- DEFINER=`x`@`y`\nEND ;;\n",
        "DELIMITER ;;\nCREATE PROCEDURE `p`()\nBEGIN SELECT 'DEFINER=`x`@`y`'; -- DEFINER=`x`@`y`\nEND ;;\n",
    ),
    (
        "/*!50003 CREATE*/ /*!50020 DEFINER=`a`@`b`*/ /*!50003 PROCEDURE `p`() SELECT 1 */;",
        "/*!50003 CREATE*/ /*!50003 PROCEDURE `p`() SELECT 1 */;",
    ),
    (
        "CREATE ALGORITHM=UNDEFINED DEFINER=`a`@`b` SQL SECURITY DEFINER VIEW `v` AS SELECT 1;",
        "CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS SELECT 1;",
    ),
    (
        "CREATE DEFINER=\"pk\"@\"%\" PACKAGE \"pkg\" AS\nPROCEDURE p;\nEND;",
        "CREATE PACKAGE \"pkg\" AS\nPROCEDURE p;\nEND;",
    ),
    (
        "CREATE OR REPLACE DEFINER=`a`@`b` PACKAGE BODY `pkg` AS x",
        "CREATE OR REPLACE PACKAGE BODY `pkg` AS x",
    ),
    (
        "CREATE OR REPLACE DEFINER=a@b AGGREGATE FUNCTION f(x INT) RETURNS INT RETURN 1;",
        "CREATE OR REPLACE AGGREGATE FUNCTION f(x INT) RETURNS INT RETURN 1;",
    ),
    ("/*M!100303 CREATE DEFINER=a@b PACKAGE p AS x */;", "/*M!100303 CREATE PACKAGE p AS x */;"),
    ("ALTER DEFINER=`a`@`b` EVENT e ENABLE;", "ALTER EVENT e ENABLE;"),
    (
        "ALTER ALGORITHM=MERGE DEFINER = 'a'@'b' SQL SECURITY INVOKER VIEW v AS SELECT 1;",
        "ALTER ALGORITHM=MERGE SQL SECURITY INVOKER VIEW v AS SELECT 1;",
    ),
    // Accounts.
    ("CREATE DEFINER=`a``b`@`c``d` VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER='a''b'@'c' VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER='a\\'b'@'c' VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=\"a\"@\"b\" VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=root@localhost VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=root@10.0.0.1 VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=root@% VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=`root`@'%' VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=app_role VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=`app role` PROCEDURE p() SELECT 1;", "CREATE PROCEDURE p() SELECT 1;"),
    ("CREATE DEFINER=``@`%` VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=`a@b`@`c` VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=CURRENT_USER VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=current_user() VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER = CURRENT_USER ( ) VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=CURRENT_ROLE VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("create definer=`A`@`B` view v as select 1;", "create view v as select 1;"),
    ("CREATE\nDEFINER\t=\n`a` @ `b`\nVIEW v AS SELECT 1;", "CREATE\nVIEW v AS SELECT 1;"),
    (
        "CREATE /* x */ DEFINER /* = */ = -- y\n a@b /* z */ VIEW v AS SELECT 1;",
        "CREATE /* x */ /* z */ VIEW v AS SELECT 1;",
    ),
    ("/*!50013 CREATE DEFINER=`a*/b`@`c` VIEW v AS SELECT 1 */;", "/*!50013 CREATE VIEW v AS SELECT 1 */;"),
    ("CREATE DEFINER=`a\nDEFINER=b`@`c` VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=`a;b`@`c` VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    ("CREATE DEFINER=`PROCEDURE `@`VIEW` VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
    // Nothing may be glued together, and an emptied comment goes.
    ("CREATE/*!50020 DEFINER=a@b*/PROCEDURE p() SELECT 1;", "CREATE PROCEDURE p() SELECT 1;"),
    ("CREATE/**/DEFINER=a@b/**/VIEW v AS SELECT 1;", "CREATE/**//**/VIEW v AS SELECT 1;"),
    ("CREATE /*!50013 DEFINER=a@b */ VIEW v AS SELECT 1;", "CREATE VIEW v AS SELECT 1;"),
];

/// Data and bodies that look like clauses.
const UNTOUCHED: &[&str] = &[
    "INSERT INTO t VALUES ('CREATE DEFINER=`a`@`b` VIEW v');",
    "INSERT INTO t VALUES ('x\\'; CREATE DEFINER=`a`@`b` VIEW v AS SELECT 1; --');",
    "INSERT INTO t VALUES ('x''; CREATE DEFINER=`a`@`b` VIEW v AS SELECT 1; --');",
    "INSERT INTO t VALUES (\"x'; CREATE DEFINER=`a`@`b` VIEW v AS SELECT 1; --\");",
    "INSERT INTO t VALUES (_binary '\\0DEFINER=`a`@`b`',0x444546,b'01');",
    "-- CREATE DEFINER=`a`@`b` VIEW v\n# CREATE DEFINER=a@b VIEW v\n/* CREATE DEFINER=a@b VIEW v */\n",
    "CREATE TABLE t (a text DEFAULT 'x' COMMENT 'DEFINER=`a`@`b`') COMMENT='CREATE DEFINER=`a`@`b` VIEW';",
    "CREATE TABLE `DEFINER=``a``@``b`` VIEW` (a int);",
    "CREATE VIEW v AS SELECT 'DEFINER=`a`@`b`' AS `DEFINER=x`;",
    "CREATE PROCEDURE p() BEGIN /* DEFINER=a@b */ SET @s = 'CREATE DEFINER=`a`@`b` VIEW v'; END",
    "SET @DEFINER='a@b';",
    "CREATE DEFINER=a@b DEFINER=c@d VIEW v AS SELECT 1;",
    "CREATE TABLE t (definer varchar(10) DEFAULT 'a', x int);",
    "USE `DEFINER=a@b`\nINSERT INTO x VALUES (1)",
    "SET sql_mode='NO_BACKSLASH_ESCAPES';INSERT INTO t VALUES ('\\');SELECT ';CREATE DEFINER=a@b VIEW v AS SELECT 1;';",
];

#[test]
fn strips_every_spelling_and_nothing_else() {
    for (text, expected) in STRIPPED {
        assert_eq!(rewrite(&with_policy(DefinerPolicy::Strip), text), *expected, "from {text}");
        assert_eq!(rewrite(&with_policy(DefinerPolicy::Keep), text), *text);
    }
}

#[test]
fn leaves_what_only_looks_like_a_clause() {
    for policy in [DefinerPolicy::Strip, DefinerPolicy::Set { user: "u".into(), host: "h".into() }] {
        for text in UNTOUCHED {
            assert_eq!(rewrite(&with_policy(policy.clone()), text), *text);
        }
    }
}

#[test]
fn makes_objects_run_as_their_user() {
    let options = with_policy(DefinerPolicy::Invoker);
    for (text, expected) in [
        (
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`a`@`b` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 1 */;",
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 SQL SECURITY INVOKER */\n/*!50001 VIEW `v` AS select 1 */;",
        ),
        (
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`a`@`b` */\n/*!50001 VIEW `v` AS select 1 */;",
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 SQL SECURITY INVOKER */\n/*!50001 VIEW `v` AS select 1 */;",
        ),
        ("CREATE VIEW v AS SELECT 1;", "CREATE SQL SECURITY INVOKER VIEW v AS SELECT 1;"),
        ("CREATE PROCEDURE \0 \"p\"(x int) SELECT 1;", "CREATE PROCEDURE \0 \"p\"(x int) SELECT 1;"),
        ("/*!50001 CREATE VIEW `v` AS SELECT 1 AS `a`*/;", "/*!50001 CREATE VIEW `v` AS SELECT 1 AS `a`*/;"),
        (
            "CREATE DEFINER=a@b PROCEDURE p(x enum('a)','SQL SECURITY DEFINER'))\nBEGIN END;",
            "CREATE PROCEDURE p(x enum('a)','SQL SECURITY DEFINER')) SQL SECURITY INVOKER\nBEGIN END;",
        ),
        (
            "CREATE DEFINER=a@b PROCEDURE p()\n    DETERMINISTIC\n    SQL SECURITY DEFINER\n    COMMENT 'x'\nSELECT 'SQL SECURITY DEFINER';",
            "CREATE PROCEDURE p()\n    DETERMINISTIC\n    SQL SECURITY INVOKER\n    COMMENT 'x'\nSELECT 'SQL SECURITY DEFINER';",
        ),
        (
            "CREATE DEFINER=a@b FUNCTION f(a int) RETURNS varchar(20) CHARSET utf8mb4 COLLATE utf8mb4_bin\nRETURN 'x';",
            "CREATE FUNCTION f(a int) RETURNS varchar(20) CHARSET utf8mb4 COLLATE utf8mb4_bin SQL SECURITY INVOKER\nRETURN 'x';",
        ),
        (
            "CREATE DEFINER=a@b FUNCTION f() RETURNS int(10) unsigned NO SQL SQL SECURITY INVOKER RETURN 1;",
            "CREATE FUNCTION f() RETURNS int(10) unsigned NO SQL SQL SECURITY INVOKER RETURN 1;",
        ),
        (
            "CREATE DEFINER=a@b PACKAGE p AS PROCEDURE x; END;",
            "CREATE PACKAGE p SQL SECURITY INVOKER AS PROCEDURE x; END;",
        ),
        (
            "CREATE FUNCTION f RETURNS STRING SONAME 'x.so';",
            "CREATE FUNCTION f RETURNS STRING SONAME 'x.so';",
        ),
        (
            "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a=1 */;",
            "/*!50003 CREATE*/ /*!50003 TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a=1 */;",
        ),
    ] {
        // The package is cut by the delimiter, as by the client; its head is what matters.
        assert_eq!(rewrite(&options, text), expected);
    }
}

#[test]
fn names_another_account() {
    let options = with_policy(DefinerPolicy::Set { user: "it`s".into(), host: "%".into() });
    for (text, expected) in [
        ("CREATE DEFINER=`a`@`b` VIEW v AS SELECT 1;", "CREATE DEFINER=`it``s`@`%` VIEW v AS SELECT 1;"),
        (
            "CREATE DEFINER = CURRENT_USER() PROCEDURE p() SELECT 1;",
            "CREATE DEFINER = `it``s`@`%` PROCEDURE p() SELECT 1;",
        ),
        (
            "/*!50003 CREATE*/ /*!50017 DEFINER=role*/ /*!50003 TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a=1 */;",
            "/*!50003 CREATE*/ /*!50017 DEFINER=`it``s`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a=1 */;",
        ),
    ] {
        assert_eq!(rewrite(&options, text), expected);
    }
}

#[test]
fn reports_what_it_changed() {
    let text = STRIPPED
        .iter()
        .map(|(text, _)| ["DELIMITER ;\n", text, "\nDELIMITER ;;\n;;"].concat())
        .collect::<String>();
    let (_, report) = run(with_policy(DefinerPolicy::Strip), [text.into_bytes()]);
    let total: u64 = report.changes.values().sum();
    assert_eq!(total, STRIPPED.len() as u64, "{:?}", report.changes);
    assert_eq!(report.changes["definer-stripped-trigger"], 1);
    assert_eq!(report.changes["definer-stripped-event"], 3);
    assert_eq!(report.changes["definer-stripped-package-body"], 1);
    assert_eq!(report.settings["definer"], "strip");
    assert_eq!(report.findings.len(), 1, "one line about privileges: {:?}", report.findings);
}

#[test]
fn leaves_a_clause_that_it_does_not_understand_and_says_so() {
    let text = b"CREATE DEFINER=(x) VIEW v AS SELECT 1;".to_vec();
    let (out, report) = run(with_policy(DefinerPolicy::Strip), [text.clone()]);
    assert_eq!(out, text);
    assert_eq!(report.findings[0].code, "definer-not-understood");
}

#[test]
fn a_statement_too_long_to_rewrite_is_an_error_and_a_row_is_not() {
    let mut text = b"INSERT INTO t VALUES ('".to_vec();
    text.resize(40 << 20, b'x');
    text.extend_from_slice(b"');");
    let mut rewrite = Box::new(MysqlRewrite::new(with_policy(DefinerPolicy::Strip)));
    let mut out = Vec::new();
    for piece in text.chunks(1 << 20) {
        let before = out.len();
        rewrite.push(Bytes::copy_from_slice(piece), &mut out).expect("passes");
        assert!(out.len() + 64 > before + piece.len(), "row data is not held back");
    }
    rewrite.finish(&mut out).expect("ends");
    assert!(out == text, "the row is unchanged");

    text.splice(..23, b"CREATE VIEW v AS SELECT'".iter().copied());
    let mut rewrite = MysqlRewrite::new(with_policy(DefinerPolicy::Strip));
    let error = text
        .chunks(1 << 20)
        .try_for_each(|piece| rewrite.push(Bytes::copy_from_slice(piece), &mut Vec::new()));
    assert_eq!(error.expect_err("too long").exit_code(), 4);
}

#[test]
fn a_statement_with_more_places_than_memory_is_planned_for_is_an_error() {
    let places = |number: usize| {
        format!("CREATE TABLE t (a int) {};", "COLLATE utf8mb4_uca1400_ai_ci ".repeat(number)).into_bytes()
    };
    let rewrite = |text: Vec<u8>| {
        let options = Options { profile: Some(Profile::RdsMysql), ..Options::default() };
        let mut out = Vec::new();
        MysqlRewrite::new(options).push(text.into(), &mut out).map(|()| out)
    };
    let out = rewrite(places(10_000)).expect("within the plan");
    assert!(!out.windows(7).any(|window| window == b"uca1400"), "every place was rewritten");
    let error = rewrite(places(20_000)).expect_err("beyond the plan");
    assert_eq!(error.exit_code(), 4);
    assert!(error.context().contains(&("offset", "0".to_owned())), "{error:?}");
}

/// Pieces of a dump: as they go in, and as they come out when stripped.
fn piece() -> impl Strategy<Value = (String, String)> {
    let text = "([a-z ,;#/*`\"-]|\\\\\\\\|\\\\'|''|CREATE DEFINER=`a`@`b` VIEW v|/\\*!50013 DEFINER=`a`@`b` \\*/|\n){0,30}";
    let same = |text: String| (text.clone(), text);
    prop_oneof![
        text.prop_map(move |text| same(format!("INSERT INTO `t` VALUES (1,'{text}',NULL,-1),(2,_binary '{text}',3);\n"))),
        text.prop_map(move |text| same(format!("CREATE TABLE t (a int COMMENT '{text}') COMMENT='{text}';\n"))),
        "[a-z;'\"`]{0,20}".prop_map(move |text| same(format!("-- DEFINER=`a`@`b` {text}\n/* CREATE DEFINER=a@b {text} */\n"))),
        text.prop_map(|text| {
            let body = format!("PROCEDURE `p`()\nBEGIN SELECT '{text}'; /* DEFINER=`x`@`y` ' */ END ;;\nDELIMITER ;\n");
            (format!("DELIMITER ;;\nCREATE DEFINER=`u`@`%` {body}"), format!("DELIMITER ;;\nCREATE {body}"))
        }),
        text.prop_map(|text| {
            let end = format!("SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select '{text}' AS `DEFINER=x` */;\n");
            (
                format!("/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`a``*/ b`@`c` {end}"),
                format!("/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 {end}"),
            )
        }),
        Just(same("/*!50003 SET @saved_sql_mode = @@sql_mode */ ;\nSET sql_mode = 'NO_BACKSLASH_ESCAPES';\nSELECT '\\';\n/*!50003 SET sql_mode = @saved_sql_mode */ ;\n".to_owned())),
        prop::sample::select(STRIPPED.iter().filter(|(text, _)| text.ends_with(';')).collect::<Vec<_>>())
            .prop_map(|(text, expected)| (format!("{text}\n"), format!("{expected}\n"))),
    ]
}

proptest! {
    #[test]
    fn changes_clauses_and_nothing_else(
        pieces in prop::collection::vec(piece(), 0..12),
        sizes in prop::collection::vec(1..300_usize, 1..6),
    ) {
        let text: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
        let expected: String = pieces.iter().map(|(_, expected)| expected.as_str()).collect();
        let mut cut = Vec::new();
        let mut rest = text.as_bytes();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at(rest.len().min(*size));
            cut.push(piece.to_vec());
            rest = tail;
        }
        let options = with_policy(DefinerPolicy::Strip);
        let (out, report) = run(options.clone(), cut);
        prop_assert_eq!(String::from_utf8_lossy(&out), expected.as_str());
        let (again, second) = run(options.clone(), [out]);
        prop_assert_eq!(String::from_utf8_lossy(&again), expected.as_str());
        prop_assert!(second.changes.is_empty());
        let (bytes, by_bytes) = run(options, text.bytes().map(|byte| vec![byte]));
        prop_assert_eq!(String::from_utf8_lossy(&bytes), expected.as_str());
        prop_assert_eq!(report, by_bytes);

        let set = DefinerPolicy::Set { user: "o`wner".to_owned(), host: "%".to_owned() };
        for policy in [DefinerPolicy::Invoker, set, DefinerPolicy::Keep] {
            let (once, _) = run(with_policy(policy.clone()), [text.clone().into_bytes()]);
            let (twice, second) = run(with_policy(policy.clone()), [once.clone()]);
            prop_assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once));
            prop_assert!(second.changes.is_empty(), "{:?}: {:?}", policy, second.changes);
        }
    }

    #[test]
    fn carries_noise_the_same_for_any_cutting(
        pieces in prop::collection::vec(prop::sample::select(
            ["CREATE ", "DEFINER=", "a@b ", "'", "\"", "`", "\\", ";", "\n", "/*!50001 ", "/*", "*/", "-- ", "VIEW ", "SET sql_mode=", "COLLATE ",
             "utf8mb4_uca1400_ai_ci", "TABLE t(", ")", "ENGINE=Aria ", ",", "PAGE_CHECKSUM=1", "DELIMITER ;;\n", "GTID_PURGED=", "/*!999999\\- x */"].to_vec()), 0..40),
    ) {
        let text = pieces.concat();
        for definer in [DefinerPolicy::Strip, DefinerPolicy::Invoker] {
            let options = Options { definer, profile: Some(Profile::RdsMysql), require_trailer: false };
            let whole = run(options.clone(), [text.as_bytes().to_vec()]);
            let bytes = run(options, text.bytes().map(|byte| vec![byte]));
            prop_assert_eq!(whole, bytes);
        }
    }
}
